//! Who has written in a room, and when last; and who of them is here. Nothing is judged by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Owners;
use crate::caller::UserId;
use crate::limits::BOARD_WRITERS_MAX;

impl Owners {
    /// A record of a user is stored, at this time by the log.
    pub(crate) fn note_written(&self, user: &str, at_ms: u64) {
        let mut inner = self.inner.lock();
        let wrote = &mut inner.get_or_insert_default().wrote;
        let has_place = wrote.len() < BOARD_WRITERS_MAX;
        match wrote.get_mut(user) {
            Some(last_ms) => *last_ms = at_ms.max(*last_ms),
            None if has_place => {
                wrote.insert(user.into(), at_ms);
            }
            None => {}
        }
    }

    /// Learns what another life in memory of the same room knows of it.
    pub(crate) fn learn_written(&self, of: &Self) {
        let wrote: Vec<_> = of.inner.lock().iter().flat_map(|inner| inner.wrote.clone()).collect();
        wrote.into_iter().for_each(|(user, at_ms)| self.note_written(&user, at_ms));
    }

    /// Everyone who has written, with the time of the newest record if it is known: who has claimed an id has.
    pub(crate) fn writers(&self) -> BTreeMap<UserId, Option<u64>> {
        let inner = self.inner.lock();
        let Some(inner) = inner.as_deref() else { return BTreeMap::new() };
        let mut writers: BTreeMap<UserId, Option<u64>> =
            inner.stored.values().map(|user| (Arc::clone(user), None)).collect();
        writers.extend(inner.wrote.iter().map(|(user, at_ms)| (Arc::clone(user), Some(*at_ms))));
        writers
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

    /// [B41] Who has written is known by records, with their time, and by claims without one; the newest record counts.
    #[test]
    fn writers_are_known_by_records_and_by_claims() {
        let owners = Owners::default();
        assert!(owners.writers().is_empty() && owners.connected().is_empty());
        owners.learn([(7, "ann".into()), (8, "bob".into())]);
        owners.note_written("bob", 20);
        owners.note_written("bob", 10);
        owners.note_written("eve", 30);
        let expected = [("ann", None), ("bob", Some(20)), ("eve", Some(30))];
        assert_eq!(owners.writers(), expected.map(|(user, at)| (user.into(), at)).into());
        let next = Owners::default();
        next.note_written("bob", 25);
        next.learn_written(&owners);
        assert_eq!(next.writers(), [("bob".into(), Some(25)), ("eve".into(), Some(30))].into());
        owners.seat(SessionId(1), Some(&"eve".into()));
        assert_eq!(owners.connected(), [UserId::from("eve")]);
    }
}
