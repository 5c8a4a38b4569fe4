//! Fan-out: committed updates become one frame, shown to every seat.
//!
//! In rooms above `ROUND_SESSIONS_MIN` sessions it goes in rounds, at least `ROUND_MS` apart: a
//! write costs as much as everything else in a delivery, so a write should carry several updates.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::ring::{Frame, Ring};
use super::seat::Seat;
use crate::gate;
use crate::ids::SessionId;
use crate::limits::{ROUND_MS, ROUND_SESSIONS_MIN};
use crate::wire::{websocket, y_websocket};

/// The sessions of a room.
pub(super) type Seats = HashMap<SessionId, Arc<Seat>>;

/// Who wrote a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    Nobody,
    One(SessionId),
    Several,
}

impl Author {
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, author) | (author, Self::Nobody) => author,
            (Self::One(one), Self::One(two)) if one == two => self,
            _ => Self::Several,
        }
    }

    pub(crate) fn sole(self) -> Option<SessionId> {
        if let Self::One(session) = self { Some(session) } else { None }
    }
}

/// Committed updates on their way to the sessions.
pub(super) struct FanOut {
    /// Whose round has not begun.
    waiting: Vec<Bytes>,
    author: Author,
    round_ended: Instant,
    due: Option<Instant>,
}

impl FanOut {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: Vec::new(), author: Author::Nobody, round_ended: now, due: None }
    }

    /// When the next round begins, if one waits for its time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes a committed batch. Returns whether a round should begin now.
    pub(super) fn add(&mut self, update: Bytes, author: Author, sessions: usize) -> bool {
        self.waiting.push(update);
        self.author = self.author.and(author);
        let next_round = self.round_ended + Duration::from_millis(ROUND_MS);
        let now = sessions <= ROUND_SESSIONS_MIN || Instant::now() >= next_round;
        if !now {
            self.due.get_or_insert(next_round);
        }
        now
    }

    /// Begins a round: one merged frame for everyone. Returns whether there was anything. When it
    /// returns, the frame is handed over: every session has it, or is busy and will take it.
    pub(super) fn release(&mut self, ring: &Ring, seats: &Seats) -> bool {
        self.due = None;
        let author = std::mem::replace(&mut self.author, Author::Nobody);
        // Taken, not cleared: a quiet room keeps no place for updates.
        let waiting = std::mem::take(&mut self.waiting);
        let update = match waiting.as_slice() {
            [] => return false,
            [only] => only.clone(),
            several => {
                let slices: Vec<&[u8]> = several.iter().map(AsRef::as_ref).collect();
                gate::merge(&slices).into()
            }
        };
        self.round_ended = Instant::now();
        let bytes = websocket::frame(&y_websocket::update(&update));
        let frame = Frame { bytes, sole_author: author.sole() };
        let number = ring.push(frame.clone());
        for seat in seats.values() {
            seat.show(number, &frame);
        }
        true
    }
}
