//! Has all instances of a store know what is revoked: each looks every two seconds for what others have revoked, and puts
//! back what the store has lost.
//!
//! A revocation that finds a place in the list holds here from the moment that it is made, whether it could be stored or not;
//! it is stored again until it is. A store that does not answer changes nothing: neither does anybody look revoked, nor is anything un-revoked.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Auth, Metrics, Revocation};
use crate::clock::wall_ms;
use crate::limits::{REVOCATIONS_LOOK_MS, REVOCATIONS_LOOK_MS_MAX};
use crate::log::{Log, LogError, Note};

/// Why a revocation is not on all instances.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// As many hold as there may be. This one does not, nowhere.
    #[error("the list of revocations is full; older ones end with their tokens")]
    ListFull,
    /// The store did not take it. It holds here all the same, is tried again, and is gone only if this process ends
    /// before that.
    #[error(transparent)]
    Store(#[from] LogError),
}

/// Revokes: here at once, on other instances within five seconds.
///
/// # Errors
/// [`RevokeError`] says where it holds.
pub async fn revoke(auth: &Auth, log: &dyn Log, revocation: Revocation) -> Result<(), RevokeError> {
    let id = rand::random();
    auth.revoked.forget_expired(wall_ms());
    let note = note_of(id, &revocation);
    if !auth.revoked.add(id, revocation) {
        return Err(RevokeError::ListFull);
    }
    Ok(log.put_notes(vec![note]).await?)
}

/// Takes over what is revoked, before anybody is let in.
///
/// # Errors
/// [`LogError`] if the store does not say.
pub async fn load(auth: &Auth, log: &dyn Log) -> Result<(), LogError> {
    let notes = log.notes().await?;
    notes.iter().for_each(|note| take_in(auth, note));
    Ok(())
}

/// Looks again and again, for as long as it is polled.
pub async fn go_on(auth: &Auth, log: &dyn Log, metrics: &Metrics) {
    let mut ticks = interval(Duration::from_millis(REVOCATIONS_LOOK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_away = false;
    loop {
        ticks.tick().await;
        let looked = timeout(Duration::from_millis(REVOCATIONS_LOOK_MS_MAX), look(auth, log)).await;
        let failed = match looked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if failed.is_some() {
            metrics.looks_failed.inc();
        }
        match &failed {
            Some(why) if !was_away => {
                tracing::warn!(why, "what other instances revoke cannot be seen; what is known holds");
            }
            None if was_away => tracing::info!("what other instances revoke can be seen again"),
            _ => {}
        }
        was_away = failed.is_some();
    }
}

/// Takes in what others have revoked, and stores what the store does not have (any more).
async fn look(auth: &Auth, log: &dyn Log) -> Result<(), LogError> {
    auth.revoked.forget_expired(wall_ms());
    let notes = log.notes().await?;
    notes.iter().for_each(|note| take_in(auth, note));
    let stored: HashSet<u128> = notes.iter().map(|note| note.id).collect();
    let known = auth.revoked.all();
    let lost: Vec<Note> = known
        .iter()
        .filter(|(id, _)| !stored.contains(id))
        .map(|(id, revocation)| note_of(*id, revocation))
        .collect();
    if lost.is_empty() {
        return Ok(());
    }
    let count = lost.len();
    log.put_notes(lost).await?;
    tracing::warn!(count, "revocations that the store did not have are stored again");
    Ok(())
}

fn take_in(auth: &Auth, note: &Note) {
    let now_ms = wall_ms();
    match Revocation::from_bytes(&note.body) {
        Ok(revocation) if revocation.until_ms <= now_ms => {}
        Ok(revocation) => {
            if !auth.revoked.add(note.id, revocation) {
                tracing::error!("the list of revocations is full: one of another instance is left out");
            }
        }
        // Of a newer version, perhaps: others understand it.
        Err(error) => tracing::warn!(%error, "a note in the store is not understood"),
    }
}

fn note_of(id: u128, revocation: &Revocation) -> Note {
    Note { id, until_ms: revocation.until_ms, body: revocation.to_bytes().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Target;
    use crate::limits::NOTES_MAX;
    use crate::log::memory::MemoryLog;

    fn revocation(user: u128) -> Revocation {
        let target = Target::User(user.to_string().into());
        Revocation::new(target, None, None, wall_ms(), 60_000).expect("a user")
    }

    /// [A20] A full list revokes nothing and says so; what a store does not take, a full one too, holds here. What a store has
    /// lost is put back in one call.
    #[tokio::test]
    async fn a_full_list_is_told_from_a_full_store() {
        let (auth, (log, faults)) = (Auth::open(), MemoryLog::with_faults());
        (1..NOTES_MAX as u128).for_each(|id| assert!(auth.revoked.add(id, revocation(id))));
        faults.fail_change(0, LogError::Full("a test".to_owned()));
        let unstored = revoke(&auth, &log, revocation(0)).await;
        assert!(matches!(unstored, Err(RevokeError::Store(LogError::Full(_)))), "{unstored:?}");
        assert_eq!(auth.revoked.all().len(), NOTES_MAX, "it holds here");
        let refused = revoke(&auth, &log, revocation(u128::MAX)).await;
        assert!(matches!(refused, Err(RevokeError::ListFull)), "{refused:?}");
        assert_eq!(auth.revoked.all().len(), NOTES_MAX);
        assert_eq!(log.notes().await.expect("it answers"), []);
        look(&auth, &log).await.expect("it takes them");
        assert_eq!(log.notes().await.expect("it answers").len(), NOTES_MAX);
    }
}
