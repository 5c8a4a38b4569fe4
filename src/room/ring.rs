//! The ring: committed frames of one room, shared by all its sessions, each with a cursor.
//!
//! Presence is a second ring of length one: always the newest, droppable. A beat now and then
//! wakes everyone, for keepalives and for noticing dead sockets.
//!
//! Invariants:
//! - The ring is bounded in frames and bytes; it never waits for a reader. A cursor that falls off
//!   is told so, and its session gets one diff instead of what it missed.
//! - The room starts no new append until the last frames are *handed over*: every session that was
//!   waiting for them has taken them (never: written them). Load makes batches larger, not queues
//!   longer.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::ids::SessionId;
use crate::limits::{RING_BYTES_MAX, RING_FRAMES_MAX};
use crate::wire::close::Close;

/// One frame for everyone.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The message, encoded once for all sessions of the family.
    pub(crate) message: Bytes,
    /// The session that wrote all of it, if one did: it has no use for the frame.
    pub(crate) sole_author: Option<SessionId>,
}

/// The frames of one room.
pub(crate) struct Ring {
    inner: Mutex<Inner>,
    /// Wakes all waiting sessions.
    published: Notify,
    /// Wakes the room when nothing is outstanding any more.
    handed_over: Notify,
}

struct Inner {
    frames: VecDeque<Frame>,
    /// Number of the oldest frame kept; the first frame of a room has number zero.
    first: u64,
    bytes: usize,
    presence: Bytes,
    /// Counts presence ticks. `presence` holds what changed in the newest one.
    presence_tick: u64,
    /// Counts beats.
    beat: u64,
    /// The committed state vector at the last beat: what a session that had everything then has.
    checkpoint: Bytes,
    /// Why the room ends, once it does.
    closed: Option<Close>,
    /// Counts wakes, to tell sessions that wait for the next from those that have not come yet.
    wakes: u64,
    waiting: usize,
    outstanding: usize,
}

/// Where a session stands in the ring.
#[derive(Debug)]
pub(crate) struct Cursor {
    next: u64,
    presence_tick: u64,
    beat: u64,
    /// A state vector that the session is known to cover: what to compute its diff from.
    pub(crate) covers: Bytes,
    /// The wake that the session waits for.
    parked: Option<u64>,
}

/// What there is for a session.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Messages to write, oldest first.
    pub(crate) messages: Vec<Bytes>,
    /// Presence has changed.
    pub(crate) presence: Option<PresenceChange>,
    /// A beat has passed.
    pub(crate) beat: bool,
    /// Frames are gone that this session never took: it needs a diff.
    pub(crate) fell_off: bool,
    /// The room ends.
    pub(crate) closed: Option<Close>,
}

/// How a session catches up with presence.
#[derive(Debug)]
pub(crate) enum PresenceChange {
    /// One tick was missed: this is what changed in it, shared.
    Tick(Bytes),
    /// Several ticks were missed: take all that changed since this one.
    Since(u64),
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                frames: VecDeque::new(),
                first: 0,
                bytes: 0,
                presence: Bytes::new(),
                presence_tick: 0,
                beat: 0,
                checkpoint: Bytes::from_static(&[0]),
                closed: None,
                wakes: 0,
                waiting: 0,
                outstanding: 0,
            }),
            published: Notify::new(),
            handed_over: Notify::new(),
        }
    }

    /// A cursor at the newest frame, for a session that covers `state_vector`.
    pub(crate) fn cursor(&self, state_vector: Bytes) -> Cursor {
        let inner = self.inner.lock();
        Cursor {
            next: inner.first + inner.frames.len() as u64,
            presence_tick: inner.presence_tick,
            beat: inner.beat,
            covers: state_vector,
            parked: None,
        }
    }

    /// Shows a frame to everyone.
    pub(crate) fn publish(&self, frame: Frame) {
        let mut inner = self.inner.lock();
        inner.bytes += frame.message.len();
        inner.frames.push_back(frame);
        while inner.frames.len() > RING_FRAMES_MAX || inner.bytes > RING_BYTES_MAX && inner.frames.len() > 1 {
            if let Some(oldest) = inner.frames.pop_front() {
                inner.bytes -= oldest.message.len();
                inner.first += 1;
            }
        }
        self.wake(inner);
    }

    /// Shows what changed in presence since the tick before.
    pub(crate) fn publish_presence(&self, tick: u64, message: Bytes) {
        let mut inner = self.inner.lock();
        inner.presence = message;
        inner.presence_tick = tick;
        self.wake(inner);
    }

    /// Wakes everyone for keepalives. `checkpoint` is the committed state vector, and all that it
    /// covers is in the ring or before it.
    pub(crate) fn beat(&self, checkpoint: Bytes) {
        let mut inner = self.inner.lock();
        inner.beat += 1;
        inner.checkpoint = checkpoint;
        self.wake(inner);
    }

    /// Ends all sessions. The first reason stands.
    pub(crate) fn close(&self, close: Close) {
        let mut inner = self.inner.lock();
        inner.closed.get_or_insert(close);
        self.wake(inner);
    }

    fn wake(&self, mut inner: parking_lot::MutexGuard<'_, Inner>) {
        inner.wakes += 1;
        inner.outstanding += std::mem::take(&mut inner.waiting);
        drop(inner);
        self.published.notify_waiters();
    }

    /// Takes what there is, up to `RING_TAKE_BYTES` of frames at once. If there is nothing, the
    /// session waits from now on.
    pub(crate) fn take(&self, cursor: &mut Cursor, me: SessionId) -> Taken {
        let mut inner = self.inner.lock();
        self.unpark(&mut inner, cursor);
        if !inner.has_news(cursor) {
            inner.waiting += 1;
            cursor.parked = Some(inner.wakes);
            return Taken::default();
        }
        let mut taken = Taken { closed: inner.closed.clone(), ..Taken::default() };
        if cursor.next < inner.first {
            taken.fell_off = true;
            return taken;
        }
        inner.take_frames(cursor, me, &mut taken.messages);
        inner.take_presence(cursor, &mut taken);
        if cursor.beat != inner.beat {
            cursor.beat = inner.beat;
            taken.beat = true;
            if cursor.next == inner.first + inner.frames.len() as u64 {
                cursor.covers = inner.checkpoint.clone();
            }
        }
        taken
    }

    /// Registers a session for the next wake. The future must be created *before* the last
    /// [`Ring::take`], so that nothing falls between.
    pub(crate) fn published(&self) -> Notified<'_> {
        self.published.notified()
    }

    /// The session waits no longer: it is gone, or has another cursor.
    pub(crate) fn leave(&self, cursor: &mut Cursor) {
        let mut inner = self.inner.lock();
        self.unpark(&mut inner, cursor);
    }

    fn unpark(&self, inner: &mut Inner, cursor: &mut Cursor) {
        match cursor.parked.take() {
            None => {}
            Some(wake) if wake == inner.wakes => inner.waiting -= 1,
            Some(_) => {
                inner.outstanding -= 1;
                if inner.outstanding == 0 {
                    self.handed_over.notify_one();
                }
            }
        }
    }

    /// Whether every session that was woken has come for its frames.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.inner.lock().outstanding == 0
    }

    /// Resolves when the last woken session has come.
    pub(crate) async fn handed_over(&self) {
        self.handed_over.notified().await;
    }
}

impl Inner {
    fn has_news(&self, cursor: &Cursor) -> bool {
        cursor.next != self.first + self.frames.len() as u64
            || cursor.presence_tick != self.presence_tick
            || cursor.beat != self.beat
            || self.closed.is_some()
    }

    fn take_frames(&self, cursor: &mut Cursor, me: SessionId, messages: &mut Vec<Bytes>) {
        let mut bytes = 0;
        let skip = usize::try_from(cursor.next - self.first).unwrap_or(usize::MAX);
        for frame in self.frames.iter().skip(skip) {
            if bytes > 0 && bytes + frame.message.len() > RING_TAKE_BYTES {
                break;
            }
            cursor.next += 1;
            if frame.sole_author != Some(me) {
                bytes += frame.message.len();
                messages.push(frame.message.clone());
            }
        }
    }

    fn take_presence(&self, cursor: &mut Cursor, taken: &mut Taken) {
        let seen = std::mem::replace(&mut cursor.presence_tick, self.presence_tick);
        taken.presence = match self.presence_tick - seen {
            0 => None,
            1 => Some(PresenceChange::Tick(self.presence.clone())),
            _ => Some(PresenceChange::Since(seen)),
        };
    }
}

/// Bytes of frames that one take returns at most, unless a single frame is larger: what one write
/// carries.
const RING_TAKE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const ME: SessionId = SessionId(1);

    fn frame(text: &'static str) -> Frame {
        Frame { message: Bytes::from_static(text.as_bytes()), sole_author: None }
    }

    /// [R5] Each cursor sees each frame once, in order, but not its own.
    #[test]
    fn cursors_read_in_order_and_skip_their_own() {
        let ring = Ring::new();
        let mut cursor = ring.cursor(Bytes::new());
        ring.publish(frame("a"));
        ring.publish(Frame { sole_author: Some(ME), ..frame("mine") });
        ring.publish(frame("b"));
        assert_eq!(ring.take(&mut cursor, ME).messages, ["a", "b"]);
        assert!(ring.take(&mut cursor, ME).messages.is_empty());
        assert!(
            ring.take(&mut ring.cursor(Bytes::new()), ME).messages.is_empty(),
            "a new cursor stands at the end"
        );
    }

    /// [R5] The ring never waits for a reader: one that is too slow falls off and is told so.
    #[test]
    fn slow_cursors_fall_off() {
        let ring = Ring::new();
        let mut cursor = ring.cursor(Bytes::new());
        for _ in 0..=RING_FRAMES_MAX {
            ring.publish(frame("x"));
        }
        assert!(ring.take(&mut cursor, ME).fell_off);
        let mut caught_up = ring.cursor(Bytes::new());
        assert!(!ring.take(&mut caught_up, ME).fell_off);
    }

    /// [R5] A single frame above the byte bound is still delivered to those who keep up.
    #[test]
    fn a_huge_frame_stays_until_the_next() {
        let ring = Ring::new();
        let mut cursor = ring.cursor(Bytes::new());
        ring.publish(frame("small"));
        ring.publish(Frame { message: Bytes::from(vec![0; RING_BYTES_MAX + 1]), sole_author: None });
        assert!(ring.take(&mut cursor, ME).fell_off, "the small one had to go");
        assert_eq!(ring.inner.lock().frames.len(), 1);
    }

    /// [R6] Handed over means: every session that waited has come back, or has gone.
    #[test]
    fn handing_over_counts_those_who_waited() {
        let ring = Ring::new();
        let (mut one, mut two) = (ring.cursor(Bytes::new()), ring.cursor(Bytes::new()));
        let mut busy = ring.cursor(Bytes::new());
        ring.publish(frame("before"));
        for cursor in [&mut one, &mut two] {
            ring.take(cursor, ME);
            ring.take(cursor, ME); // nothing: it waits now
        }
        ring.take(&mut busy, ME);
        assert!(ring.is_handed_over());
        ring.publish(frame("a"));
        assert!(!ring.is_handed_over());
        ring.take(&mut one, ME);
        assert!(!ring.is_handed_over());
        ring.leave(&mut two);
        assert!(ring.is_handed_over());
    }

    /// [R7] Presence is always the newest: who missed ticks learns what changed since.
    #[test]
    fn presence_is_the_newest_only() {
        let ring = Ring::new();
        let mut cursor = ring.cursor(Bytes::new());
        ring.publish_presence(1, Bytes::from_static(b"p1"));
        assert!(matches!(ring.take(&mut cursor, ME).presence, Some(PresenceChange::Tick(p)) if p == "p1"));
        ring.publish_presence(2, Bytes::from_static(b"p2"));
        ring.publish_presence(3, Bytes::from_static(b"p3"));
        assert!(matches!(ring.take(&mut cursor, ME).presence, Some(PresenceChange::Since(1))));
    }

    /// [R5] A beat moves the state vector of those who have everything, and of nobody else.
    #[test]
    fn beats_checkpoint_those_who_are_up_to_date() {
        let ring = Ring::new();
        let (mut here, mut late) = (ring.cursor(Bytes::new()), ring.cursor(Bytes::new()));
        ring.beat(Bytes::from_static(b"sv1"));
        assert!(ring.take(&mut here, ME).beat);
        assert_eq!(here.covers, "sv1");
        for _ in 0..=RING_FRAMES_MAX {
            ring.publish(frame("x"));
        }
        ring.beat(Bytes::from_static(b"sv2"));
        assert!(ring.take(&mut late, ME).fell_off);
        assert_eq!(late.covers, "");
    }
}
