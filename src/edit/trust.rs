//! Whether the engine is still trusted with edits that are described in JSON. Pure.
//!
//! When it panics inside a transaction, the copy that it was given can be neither used nor freed: its lock is held for ever.
//! So each panic costs a document's memory, and whoever has found an edit that does it could take all there is.

use std::collections::HashMap;

use crate::ids::RoomName;
use crate::limits::{EDIT_PANICS_MAX, EDIT_PANICS_PER_ROOM_MAX};

/// How often it has panicked, since the process began.
#[derive(Debug, Default)]
pub struct Trust {
    panics: usize,
    /// At most as many rooms as there were panics.
    by_room: HashMap<RoomName, usize>,
}

impl Trust {
    /// Whether another edit of this room may be tried.
    #[must_use]
    pub fn holds(&self, room: &RoomName) -> bool {
        let of_room = self.by_room.get(room).copied().unwrap_or(0);
        self.panics < EDIT_PANICS_MAX && of_room < EDIT_PANICS_PER_ROOM_MAX
    }

    /// The engine has panicked over an edit of this room. Returns how often it has in all.
    pub fn panicked(&mut self, room: &RoomName) -> usize {
        self.panics += 1;
        *self.by_room.entry(room.clone()).or_insert(0) += 1;
        self.panics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [P90] A room in which the engine has panicked twice is not edited in JSON any more; others are, until it has panicked
    /// sixteen times in all.
    #[test]
    fn trust_ends() {
        let mut trust = Trust::default();
        let room = |n: usize| RoomName::parse(&format!("room-{n}")).expect("a name");
        let mut panics = 0;
        for n in 0.. {
            if !trust.holds(&room(n)) {
                break;
            }
            while trust.holds(&room(n)) {
                panics = trust.panicked(&room(n));
            }
            assert!(panics <= EDIT_PANICS_MAX);
        }
        println!("{panics} panics in {} rooms", trust.by_room.len());
        assert_eq!(
            (panics, trust.by_room.len()),
            (EDIT_PANICS_MAX, EDIT_PANICS_MAX / EDIT_PANICS_PER_ROOM_MAX)
        );
        assert!(!trust.holds(&room(999)));
    }
}
