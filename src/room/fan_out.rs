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
use crate::limits::{INLINE_BYTES_MAX, ROUND_MS, ROUND_SESSIONS_MIN, SEATS_PER_THREAD_MIN};
use crate::wire::voice::SharedFrame;
use crate::wire::y_websocket;

/// The sessions of a room.
#[derive(Default)]
pub(super) struct Seats {
    by_session: HashMap<SessionId, Arc<Seat>>,
    /// All of them in a row, for threads to share; made when it is needed.
    row: Option<Arc<[Arc<Seat>]>>,
}

impl Seats {
    pub(super) fn insert(&mut self, seat: Arc<Seat>) {
        self.row = None;
        self.by_session.insert(seat.session, seat);
    }

    pub(super) fn remove(&mut self, session: SessionId) -> Option<Arc<Seat>> {
        self.row = None;
        self.by_session.remove(&session)
    }

    pub(super) fn get(&self, session: SessionId) -> Option<&Arc<Seat>> {
        self.by_session.get(&session)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Seat>> {
        self.by_session.values()
    }

    pub(super) fn len(&self) -> usize {
        self.by_session.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_session.is_empty()
    }

    fn row(&mut self) -> Arc<[Arc<Seat>]> {
        Arc::clone(self.row.get_or_insert_with(|| self.by_session.values().cloned().collect()))
    }
}

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

/// A committed batch, as it is shown.
#[derive(Debug)]
pub(crate) enum Shown {
    /// One update, merged with others of its round and encoded when that begins.
    Small(Bytes, Author),
    /// A whole frame: merging and copying it would keep the room waiting, so that was done where the
    /// batch was folded.
    Large(SharedFrame, Author),
    /// Updates that cannot be one: each is a frame of its own.
    Apart(Vec<Bytes>, Author),
}

impl Shown {
    /// Committed updates in their order: as one if they follow each other. They do not always where several
    /// instances store: the same blocks come in records of each, whole or with what another one has stored in between
    /// left out.
    pub(crate) fn of(updates: Vec<Bytes>, author: Author) -> Self {
        match merged(&updates) {
            Some(update) => Self::new(update, author),
            None => Self::Apart(updates, author),
        }
    }

    pub(crate) fn new(update: Bytes, author: Author) -> Self {
        if update.len() <= INLINE_BYTES_MAX {
            Self::Small(update, author)
        } else {
            Self::Large(SharedFrame::new(y_websocket::update_frame(&update)), author)
        }
    }
}

/// Committed updates on their way to the sessions.
pub(super) struct FanOut {
    /// Whose round has not begun.
    waiting: Vec<Shown>,
    round_began: Instant,
    due: Option<Instant>,
}

impl FanOut {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: Vec::new(), round_began: now, due: None }
    }

    /// When the next round begins, if one waits for its time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes a committed batch. Returns whether a round should begin now.
    pub(super) fn add(&mut self, shown: Shown, sessions: usize) -> bool {
        self.waiting.push(shown);
        let next_round = self.round_began + Duration::from_millis(ROUND_MS);
        let now = sessions <= ROUND_SESSIONS_MIN || Instant::now() >= next_round;
        if !now {
            self.due.get_or_insert(next_round);
        }
        now
    }

    /// Begins a round: one merged frame for everyone, and one for each large update. Returns whether
    /// there was anything. When it returns, all is handed over: every session has it, or is busy and
    /// will take it.
    pub(super) async fn release(&mut self, ring: &Ring, seats: &mut Seats) -> bool {
        self.due = None;
        if self.waiting.is_empty() {
            return false;
        }
        self.round_began = Instant::now();
        // Taken, not cleared: a quiet room keeps no place for updates.
        for frame in frames(std::mem::take(&mut self.waiting)) {
            let number = ring.push(frame.clone());
            hand_over(number, frame, seats).await;
        }
        true
    }
}

/// What a round shows: the small updates merged, each other one by itself, in order.
fn frames(waiting: Vec<Shown>) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(1);
    let (mut small, mut author) = (Vec::new(), Author::Nobody);
    for shown in waiting {
        match shown {
            Shown::Small(update, by) => {
                small.push(update);
                author = author.and(by);
            }
            Shown::Large(bytes, by) => {
                flush(&mut small, &mut author, &mut frames);
                frames.push(Frame { bytes, sole_author: by.sole() });
            }
            Shown::Apart(updates, by) => {
                flush(&mut small, &mut author, &mut frames);
                frames.extend(updates.iter().map(|update| frame_of(update, by)));
            }
        }
    }
    flush(&mut small, &mut author, &mut frames);
    frames
}

/// Makes frames of the small updates that were collected.
fn flush(small: &mut Vec<Bytes>, author: &mut Author, frames: &mut Vec<Frame>) {
    let (small, author) = (std::mem::take(small), std::mem::replace(author, Author::Nobody));
    match merged(&small) {
        Some(update) => frames.push(frame_of(&update, author)),
        None => frames.extend(small.iter().map(|update| frame_of(update, author))),
    }
}

fn frame_of(update: &Bytes, author: Author) -> Frame {
    Frame { bytes: SharedFrame::new(y_websocket::update_frame(update)), sole_author: author.sole() }
}

/// Updates as one, if they follow each other and there are any.
fn merged(updates: &[Bytes]) -> Option<Bytes> {
    match updates {
        [] => None,
        [only] => Some(only.clone()),
        several => {
            let slices: Vec<&[u8]> = several.iter().map(AsRef::as_ref).collect();
            gate::try_merge(&slices).ok().map(Bytes::from)
        }
    }
}

/// Goes through the seats with a frame. Where there are many, all threads do: a thousand writes take
/// one of them 6 ms, and the last in the row would wait for all others.
async fn hand_over(number: u64, frame: Frame, seats: &mut Seats) {
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    let parts = threads.min(seats.len() / SEATS_PER_THREAD_MIN);
    if parts < 2 {
        seats.all().for_each(|seat| seat.show(number, &frame));
        return;
    }
    let row = seats.row();
    let part = |part: usize| {
        let (row, frame) = (Arc::clone(&row), frame.clone());
        let range = part * row.len() / parts..(part + 1) * row.len() / parts;
        tokio::spawn(async move { row[range].iter().for_each(|seat| seat.show(number, &frame)) })
    };
    // All are on their way before the first is waited for.
    let parts: Vec<_> = (0..parts).map(part).collect();
    for part in parts {
        if let Err(error) = part.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use yrs::{Doc, Text, Transact};

    use super::*;

    /// [R28] Updates that overlap, or leave out what another instance has stored in between, are shown each by itself.
    #[test]
    fn what_cannot_be_one_update_is_shown_apart() {
        let doc = Doc::with_client_id(1);
        let text = doc.get_or_insert_text("t");
        let keystrokes = |_| {
            let mut transaction = doc.transact_mut();
            text.push(&mut transaction, "x");
            Bytes::from(transaction.encode_update_v1())
        };
        let [one, two, three] = std::array::from_fn(keystrokes);
        let several = Author::Several;
        let count = |updates: &[&Bytes]| {
            frames(vec![Shown::of(updates.iter().copied().cloned().collect(), several)]).len()
        };
        assert_eq!(count(&[&one, &two, &three]), 1);
        assert_eq!(count(&[&one, &three]), 2, "the second is stored by somebody else");
        assert_eq!(count(&[&one, &two, &two]), 3, "it is stored twice");
        let round = [&one, &three].map(|update| Shown::new(update.clone(), several));
        assert_eq!(frames(round.into()).len(), 2, "also in one round");
    }
}
