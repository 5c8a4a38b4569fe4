//! The bus of the log in memory: for tests with several instances in one process.
//!
//! What is told under the lock of the rooms is told in the order of the log. Each message to each follower
//! can meet a [`Fate`].

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ids::{InstanceId, RoomName};
use crate::log::bus::{Follower, Heard, Speaker, Stored, Whisper};

/// What becomes of one message to one follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is heard.
    Heard,
    /// It is lost, and nobody says so before [`super::Faults::check_heads`].
    Lost,
    /// It is heard twice.
    Twice,
    /// It is heard behind the one that comes after it.
    Late,
}

type Decide = Box<dyn FnMut(&Heard) -> Fate + Send>;

/// Who follows which room.
#[derive(Default)]
pub(super) struct Bus {
    ears: Mutex<HashMap<RoomName, Vec<Ear>>>,
    decide: Mutex<Option<Decide>>,
}

struct Ear {
    speaker: Speaker,
    late: Option<Heard>,
}

impl Bus {
    pub(super) fn follow(&self, room: &RoomName) -> Follower {
        let (follower, speaker) = Follower::new(());
        let mut ears = self.ears.lock();
        let room = ears.entry(room.clone()).or_default();
        room.retain(|ear| !ear.speaker.is_closed());
        room.push(Ear { speaker, late: None });
        follower
    }

    pub(super) fn decide(&self, decide: impl FnMut(&Heard) -> Fate + Send + 'static) {
        *self.decide.lock() = Some(Box::new(decide));
    }

    pub(super) fn tell_stored(&self, room: &RoomName, stored: impl FnOnce() -> Stored) {
        let mut ears = self.ears.lock();
        if let Some(ears) = ears.get_mut(room).filter(|ears| !ears.is_empty()) {
            let heard = Heard::Stored(stored());
            ears.iter_mut().for_each(|ear| self.tell(ear, &heard));
        }
    }

    /// One's own whispers come back too, as they do from a real bus.
    pub(super) fn whisper(&self, room: &RoomName, from: InstanceId, whisper: Whisper) {
        let heard = Heard::Whispered { from, whisper };
        let mut ears = self.ears.lock();
        ears.get_mut(room).into_iter().flatten().for_each(|ear| self.tell(ear, &heard));
    }

    /// Every follower that knows the room otherwise than `head` says is told to look.
    pub(super) fn check(&self, head: impl Fn(&RoomName) -> crate::log::bus::Seen) {
        for (room, ears) in self.ears.lock().iter_mut() {
            let head = head(room);
            for ear in ears {
                if let Some(late) = ear.late.take() {
                    ear.speaker.say(late);
                }
                if ear.speaker.seen() != Some(head) {
                    ear.speaker.behind();
                }
            }
        }
    }

    fn tell(&self, ear: &mut Ear, heard: &Heard) {
        let fate = self.decide.lock().as_mut().map_or(Fate::Heard, |decide| decide(heard));
        let late = if fate == Fate::Late { ear.late.replace(heard.clone()) } else { ear.late.take() };
        let times = match fate {
            Fate::Heard => 1,
            Fate::Twice => 2,
            Fate::Lost | Fate::Late => 0,
        };
        (0..times).for_each(|_| ear.speaker.say(heard.clone()));
        if let Some(late) = late {
            ear.speaker.say(late);
        }
    }
}

/// A bus, if there is one: without it the log is of one instance, which hears nothing.
pub(super) type SharedBus = Option<Arc<Bus>>;
