//! Who has written in a room, and when last; and who of them is here. Nothing is judged by it.

use std::collections::BTreeMap;

use super::Owners;
use crate::caller::UserId;
use crate::history::Wrote;
use crate::log::record::Kind;

impl Owners {
    /// A record of a user is stored, at this time by the log.
    pub(crate) fn note_written(&self, user: &str, of: Kind, at_ms: u64) {
        self.inner.lock().get_or_insert_default().wrote.note(user, of, at_ms);
    }

    /// Learns what the log tells of it.
    pub(crate) fn learn_written(&self, of: &Wrote) {
        if !of.is_empty() {
            self.inner.lock().get_or_insert_default().wrote.learn(of);
        }
    }

    /// What there is to tell another life in memory of the same room.
    pub(crate) fn written(&self) -> Wrote {
        self.inner.lock().as_ref().map(|inner| inner.wrote.clone()).unwrap_or_default()
    }

    /// Everyone who has written, with the time of the newest record if it is known: who has claimed an id has.
    pub(crate) fn writers(&self) -> BTreeMap<UserId, Option<u64>> {
        let inner = self.inner.lock();
        inner.as_deref().map(|inner| inner.wrote.with_owners(inner.stored.values())).unwrap_or_default()
    }

    /// Users with a session of this instance.
    pub(crate) fn connected(&self) -> Vec<UserId> {
        self.inner.lock().iter().flat_map(|inner| inner.connected.keys().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;

    /// [B41] Who has written is known by records, with their time, and by claims without one; who is here by their sessions.
    #[test]
    fn writers_are_known_by_records_and_by_claims() {
        let owners = Owners::default();
        assert!(owners.writers().is_empty() && owners.connected().is_empty());
        owners.learn([(7, "ann".into()), (8, "bob".into())]);
        owners.note_written("bob", Kind::Update, 20);
        owners.note_written("eve", Kind::Update, 30);
        let expected = [("ann", None), ("bob", Some(20)), ("eve", Some(30))];
        assert_eq!(owners.writers(), expected.map(|(user, at)| (user.into(), at)).into());
        let next = Owners::default();
        next.note_written("bob", Kind::Update, 25);
        next.learn_written(&owners.written());
        assert_eq!(next.writers(), [("bob".into(), Some(25)), ("eve".into(), Some(30))].into());
        owners.seat(SessionId(1), Some(&"eve".into()));
        assert_eq!(owners.connected(), [UserId::from("eve")]);
    }
}
