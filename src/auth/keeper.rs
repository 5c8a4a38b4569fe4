//! Has all instances of a store know what is revoked: each looks every two seconds for what others have revoked, and puts
//! back what the store has lost.
//!
//! A revocation holds here from the moment that it is made, whether it could be stored or not; it is stored again until it
//! is. A store that does not answer changes nothing: neither does anybody look revoked, nor is anything un-revoked.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Auth, Revocation};
use crate::limits::{REVOCATIONS_LOOK_MS, REVOCATIONS_LOOK_MS_MAX};
use crate::log::{Log, LogError, Note};
use crate::room::wall_clock_ms;

/// Revokes: here at once, on other instances within five seconds.
///
/// # Errors
/// [`LogError`] if the store did not take it. It holds here, is tried again, and is gone only if this process ends
/// before that.
pub async fn revoke(auth: &Auth, log: &dyn Log, revocation: Revocation) -> Result<(), LogError> {
    let id = rand::random();
    auth.revoked.forget_expired(wall_clock_ms());
    let note = note_of(id, &revocation);
    if !auth.revoked.add(id, revocation) {
        return Err(LogError::Full(
            "the list of revocations is full; older ones end with their tokens".to_owned(),
        ));
    }
    log.put_note(note).await
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
pub async fn go_on(auth: &Auth, log: &dyn Log) {
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
    auth.revoked.forget_expired(wall_clock_ms());
    let notes = log.notes().await?;
    notes.iter().for_each(|note| take_in(auth, note));
    let stored: HashSet<u128> = notes.iter().map(|note| note.id).collect();
    for (id, revocation) in auth.revoked.all() {
        if !stored.contains(&id) {
            log.put_note(note_of(id, &revocation)).await?;
            tracing::warn!("a revocation that the store did not have is stored again");
        }
    }
    Ok(())
}

fn take_in(auth: &Auth, note: &Note) {
    let now_ms = wall_clock_ms();
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
