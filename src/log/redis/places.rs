//! Where records were seen last. The ids of a stream begin with milliseconds, and readers ask by counter: a reader that
//! goes on finds its place here without a search. What is not here is searched for.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::ids::{Position, RoomName};
use crate::limits::{REDIS_PLACES_MAX, REDIS_PLACES_ROOMS_MAX};

#[derive(Default)]
pub(super) struct Places {
    rooms: Mutex<HashMap<RoomName, Known>>,
}

struct Known {
    /// Positions of another log of the same name are worth nothing.
    epoch: String,
    places: VecDeque<Position>,
}

impl Places {
    pub(super) fn note(&self, room: &RoomName, epoch: &str, position: Position) {
        let mut rooms = self.rooms.lock();
        if !rooms.contains_key(room) && rooms.len() >= REDIS_PLACES_ROOMS_MAX {
            // Any of them: who needs it searches once.
            let other = rooms.keys().next().cloned();
            other.and_then(|other| rooms.remove(&other));
        }
        let fresh = || Known { epoch: epoch.to_owned(), places: VecDeque::new() };
        let known = rooms.entry(room.clone()).or_insert_with(fresh);
        if known.epoch != epoch {
            *known = fresh();
        }
        if !known.places.contains(&position) {
            known.places.push_back(position);
            if known.places.len() > REDIS_PLACES_MAX {
                known.places.pop_front();
            }
        }
    }

    /// The position of that counter, if it is known.
    pub(super) fn find(&self, room: &RoomName, epoch: &str, seq: u64) -> Option<Position> {
        let rooms = self.rooms.lock();
        let known = rooms.get(room).filter(|known| known.epoch == epoch)?;
        known.places.iter().find(|place| place.seq == seq).copied()
    }

    pub(super) fn forget(&self, room: &RoomName) {
        self.rooms.lock().remove(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places are of one log only, and bounded.
    #[test]
    fn places_are_remembered_within_bounds() {
        let (places, room) = (Places::default(), RoomName::parse("a").expect("a name"));
        let at = |seq| Position { seq, ms: seq + 7 };
        for seq in 1..=100 {
            places.note(&room, "one", at(seq));
        }
        assert_eq!(places.find(&room, "one", 100), Some(at(100)));
        assert_eq!(places.find(&room, "one", 1), None);
        assert_eq!(places.find(&room, "two", 100), None);
        places.note(&room, "two", at(3));
        assert_eq!((places.find(&room, "one", 100), places.find(&room, "two", 3)), (None, Some(at(3))));
        for number in 0..REDIS_PLACES_ROOMS_MAX {
            places.note(&RoomName::parse(&number.to_string()).expect("a name"), "e", at(1));
        }
        assert_eq!(places.rooms.lock().len(), REDIS_PLACES_ROOMS_MAX);
        places.forget(&room);
        assert_eq!(places.find(&room, "two", 3), None);
    }
}
