//! The bus: what one instance hears of a room while others work in it too.
//!
//! The log is the truth; the bus says sooner what the log says. It may lose anything, so long as it
//! says [`Heard::Behind`] at some later time. Whoever follows a room compares what it hears with what it
//! has ([`Seen`]) and reads the log where the two do not join.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::record::StoredRecord;
use crate::ids::{InstanceId, Position};
use crate::limits::BUS_HEARD_MAX;

/// A stretch of a room's log in which the store lost nothing. A new one begins when what was lost is
/// healed. Random; zero: none is known, or the store cannot lose anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Of a room that was never seen, and of all rooms in a store that loses nothing.
    pub const NONE: Self = Self(0);
}

/// How far somebody knows a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The newest record that is known, with all before it.
    pub last: Position,
    /// The epoch in which it was seen.
    pub epoch: Epoch,
}

/// A batch that was stored, by whomever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Who appended it.
    pub instance: InstanceId,
    /// Its number there.
    pub number: u64,
    /// The epoch that it stands in.
    pub epoch: Epoch,
    /// The record right before it: [`Position::START`] if it created the room.
    pub before: Position,
    /// All of its records, the genesis record too if it made one: 1 or more, without holes.
    pub records: Vec<StoredRecord>,
}

/// What other instances tell each other of a room, stored nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whisper {
    /// An awareness update with states of sessions of the sender.
    Presence(Bytes),
    /// The sender has opened the room and wants to know who is here.
    WhoIsHere,
    /// A message for people that is not part of the document: UTF-8.
    Stateless(Bytes),
}

/// What a follower hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A batch is stored. One's own are heard too.
    Stored(Stored),
    /// The room's log may not be what was heard of it: look.
    Behind,
    /// For a while nothing could be heard; now it can. What was whispered meanwhile is lost.
    Again,
    /// Another instance says something.
    Whispered {
        /// Which one.
        from: InstanceId,
        /// What.
        whisper: Whisper,
    },
}

/// One room's ear on the bus. Dropping it ends the following.
pub struct Follower {
    line: Option<Line>,
}

/// The receiving end.
struct Line {
    shared: Arc<LineState>,
    /// Ends the subscription when it goes.
    _held: Box<dyn Send + Sync>,
}

/// What both ends of a line know. Most rooms are quiet: a channel would keep room for what never comes.
#[derive(Default)]
struct LineState {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Default)]
struct Inner {
    heard: VecDeque<Heard>,
    /// Something was missed behind what is in `heard`.
    behind: bool,
    /// The follower was deaf for a while.
    again: bool,
    seen: Seen,
}

/// The sending end, as a store holds it. Clones speak to the same follower.
#[derive(Clone)]
pub struct Speaker {
    shared: Weak<LineState>,
}

impl Follower {
    /// Of a store that no other process can write to: it never hears anything.
    #[must_use]
    pub fn silent() -> Self {
        Self { line: None }
    }

    /// A follower, and what speaks to it: for whoever implements [`Log::follow`](super::Log::follow). `held` is
    /// dropped with the follower.
    pub fn new(held: impl Send + Sync + 'static) -> (Self, Speaker) {
        let shared = Arc::<LineState>::default();
        let speaker = Speaker { shared: Arc::downgrade(&shared) };
        (Self { line: Some(Line { shared, _held: Box::new(held) }) }, speaker)
    }

    /// What is heard next; never resolves if nothing can be heard. Cancel-safe.
    pub async fn next(&mut self) -> Heard {
        let Some(line) = &self.line else { return std::future::pending().await };
        loop {
            if let Some(heard) = line.shared.inner.lock().take() {
                return heard;
            }
            line.shared.news.notified().await;
        }
    }

    /// Says how far the room is known, for the store to compare with.
    pub fn note(&self, seen: Seen) {
        if let Some(line) = &self.line {
            line.shared.inner.lock().seen = seen;
        }
    }

    /// Whether other instances may be heard here.
    #[must_use]
    pub fn hears(&self) -> bool {
        self.line.is_some()
    }
}

impl Inner {
    /// What was heard before a gap is still of use: it goes first.
    fn take(&mut self) -> Option<Heard> {
        let heard = self.heard.pop_front();
        if self.heard.is_empty() {
            self.heard = VecDeque::new();
        }
        let behind = || std::mem::take(&mut self.behind).then_some(Heard::Behind);
        heard.or_else(behind).or_else(|| std::mem::take(&mut self.again).then_some(Heard::Again))
    }
}

impl Speaker {
    /// Says something, or, if the follower does not listen fast enough, that it is behind. What is not
    /// stored is dropped silently then.
    pub fn say(&self, heard: Heard) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut inner = shared.inner.lock();
        match heard {
            Heard::Behind => inner.behind = true,
            Heard::Again => inner.again = true,
            // Behind a gap nothing else is of use before the gap is filled.
            heard if inner.heard.len() < BUS_HEARD_MAX && !inner.behind => inner.heard.push_back(heard),
            Heard::Stored(_) => inner.behind = true,
            Heard::Whispered { .. } => return,
        }
        drop(inner);
        shared.news.notify_one();
    }

    /// Has the follower look at the log, once it has taken in what it heard.
    pub fn behind(&self) {
        self.say(Heard::Behind);
    }

    /// How far the follower says that it knows the room; `None` if it is gone.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        self.shared.upgrade().map(|shared| shared.inner.lock().seen)
    }

    /// Whether the follower is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.strong_count() == 0
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn whisper() -> Heard {
        Heard::Whispered { from: InstanceId(1), whisper: Whisper::WhoIsHere }
    }

    fn stored(seq: u64) -> Heard {
        let position = Position { seq, ms: 1 };
        let records = vec![StoredRecord::Damaged { position, why: "a test".to_owned() }];
        let before = Position { seq: seq - 1, ms: 1 };
        Heard::Stored(Stored { instance: InstanceId(1), number: seq, epoch: Epoch(1), before, records })
    }

    /// [L71] Who does not listen fast enough is told so, after what it did hear, and once.
    #[tokio::test]
    async fn a_slow_follower_is_told_that_it_is_behind() {
        let (mut follower, speaker) = Follower::new(());
        let count = BUS_HEARD_MAX as u64;
        (1..=count + 10).for_each(|seq| speaker.say(stored(seq)));
        for seq in 1..=count {
            assert_eq!(follower.next().await, stored(seq));
        }
        assert_eq!(follower.next().await, Heard::Behind);
        assert_eq!(follower.next().now_or_never(), None);
        speaker.say(stored(count + 11));
        assert_eq!(follower.next().await, stored(count + 11));
    }

    /// [L71] Whispers are droppable: a follower that missed some is not behind.
    #[tokio::test]
    async fn missed_whispers_are_no_loss() {
        let (mut follower, speaker) = Follower::new(());
        (0..BUS_HEARD_MAX + 5).for_each(|_| speaker.say(whisper()));
        for _ in 0..BUS_HEARD_MAX {
            assert_eq!(follower.next().await, whisper());
        }
        assert_eq!(follower.next().now_or_never(), None);
    }

    /// [L71] A silent follower hears nothing, ever; a speaker knows when its follower is gone.
    #[tokio::test]
    async fn silence_and_the_end_of_following() {
        assert_eq!(Follower::silent().next().now_or_never(), None);
        let (follower, speaker) = Follower::new(());
        assert!(!speaker.is_closed());
        drop(follower);
        assert!(speaker.is_closed());
    }
}
