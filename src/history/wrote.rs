//! Who has written in a room, and when last. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Fold;
use crate::limits::BOARD_WRITERS_MAX;
use crate::log::record::Kind;

/// Users by the time of the newest record of each, in milliseconds since 1970. So many are remembered; a snapshot remembers
/// none: those who have written only before it are known by their claims.
#[derive(Debug, Clone, Default)]
pub struct Wrote(BTreeMap<Arc<str>, u64>);

impl Wrote {
    /// A record of a user is stored, at this time by the log.
    pub fn note(&mut self, user: &str, of: Kind, at_ms: u64) {
        if of.is_written() {
            self.note_time(user, at_ms);
        }
    }

    /// The same that is known from elsewhere.
    pub fn learn(&mut self, of: &Self) {
        of.0.iter().for_each(|(user, at_ms)| self.note_time(user, *at_ms));
    }

    fn note_time(&mut self, user: &str, at_ms: u64) {
        let has_place = self.0.len() < BOARD_WRITERS_MAX;
        match self.0.get_mut(user) {
            Some(last_ms) => *last_ms = at_ms.max(*last_ms),
            None if has_place => {
                self.0.insert(user.into(), at_ms);
            }
            None => {}
        }
    }

    /// Nobody is known to have written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All who have, those who own client ids among them: of these the time may not be known.
    #[must_use]
    pub fn with_owners<'a>(
        &self,
        owners: impl Iterator<Item = &'a Arc<str>>,
    ) -> BTreeMap<Arc<str>, Option<u64>> {
        let mut all: BTreeMap<Arc<str>, Option<u64>> = owners.map(|user| (Arc::clone(user), None)).collect();
        all.extend(self.0.iter().map(|(user, at_ms)| (Arc::clone(user), Some(*at_ms))));
        all
    }
}

impl Fold {
    /// Everyone who has written; when last, in milliseconds since 1970, as far as that is known: see [`Wrote`].
    #[must_use]
    pub fn writers(&self) -> BTreeMap<Arc<str>, Option<u64>> {
        self.wrote.with_owners(self.claims().values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [B41] The newest record of each counts; what others know is learnt; there is an end of those who are remembered, and none is
    /// forgotten for a new one.
    #[test]
    fn the_newest_of_each_counts() {
        let mut wrote = Wrote::default();
        for (user, kind, at_ms) in [
            ("ann", Kind::Update, 20),
            ("ann", Kind::Revive, 10),
            ("bob", Kind::Import, 5),
            ("eve", Kind::Admin, 7),
            ("eve", Kind::Heal, 7),
        ] {
            wrote.note(user, kind, at_ms);
        }
        let mut other = Wrote::default();
        other.note("bob", Kind::Update, 6);
        wrote.learn(&other);
        let owners: [Arc<str>; 2] = ["ann".into(), "cy".into()];
        let all = wrote.with_owners(owners.iter());
        let expected = [("ann", Some(20)), ("bob", Some(6)), ("cy", None)];
        assert_eq!(all, expected.map(|(user, at)| (user.into(), at)).into());
        for n in 0..2 * BOARD_WRITERS_MAX {
            wrote.note(&n.to_string(), Kind::Update, 1);
        }
        wrote.note("ann", Kind::Update, 30);
        let all = wrote.with_owners([].into_iter());
        assert_eq!((all.len(), all["ann"]), (BOARD_WRITERS_MAX, Some(30)));
    }
}
