//! The ring: committed frames of one room, shared by all its sessions, each with a cursor.
//!
//! Presence is a second ring of length one: always the newest, droppable. A beat now and then
//! makes every session look up, for keepalives and for noticing dead sockets.
//!
//! Invariant: the ring is bounded in frames and bytes; it never waits for a reader. A cursor that
//! falls off is told so, and its session gets one diff instead of what it missed.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::ids::SessionId;
use crate::limits::{RING_BYTES_MAX, RING_FRAMES_MAX, RING_TAKE_BYTES_MAX};
use crate::wire::close::Close;
use crate::wire::voice::SharedFrame;

/// One frame for everyone.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// A whole WebSocket frame, encoded once for all sessions.
    pub(crate) bytes: SharedFrame,
    /// The session that wrote all of it, if one did: it has no use for the frame.
    pub(crate) sole_author: Option<SessionId>,
}

/// The frames of one room.
pub(crate) struct Ring {
    inner: Mutex<Inner>,
}

struct Inner {
    frames: VecDeque<Frame>,
    /// Number of the oldest frame kept; the first frame of a room has number zero.
    first: u64,
    bytes: usize,
    presence: Option<SharedFrame>,
    /// Counts presence ticks. `presence` holds what changed in the newest one.
    presence_tick: u64,
    /// Counts beats.
    beat: u64,
    /// The committed state vector at the last beat: what a session that had everything then has.
    checkpoint: Bytes,
    /// Why the room ends, once it does.
    closed: Option<Close>,
}

/// Where a session stands in the ring.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    /// Number of the next frame to take.
    pub(crate) next: u64,
    /// The newest presence tick taken.
    pub(crate) presence_tick: u64,
    beat: u64,
    /// A state vector that the session is known to cover: what to compute its diff from.
    pub(crate) covers: Bytes,
}

/// What there is for a session.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Frames to write, oldest first.
    pub(crate) frames: Vec<SharedFrame>,
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
    Tick(SharedFrame),
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
                presence: None,
                presence_tick: 0,
                beat: 0,
                checkpoint: Bytes::from_static(&[0]),
                closed: None,
            }),
        }
    }

    /// A cursor at the newest frame, for a session that covers `state_vector`.
    pub(crate) fn cursor(&self, state_vector: Bytes) -> Cursor {
        let inner = self.inner.lock();
        Cursor {
            next: inner.end(),
            presence_tick: inner.presence_tick,
            beat: inner.beat,
            covers: state_vector,
        }
    }

    /// Whether a cursor whose next frame is `next` is far from falling off: it has at most a quarter
    /// of the ring to read.
    pub(crate) fn is_near(&self, next: u64) -> bool {
        let inner = self.inner.lock();
        let Some(skip) = next.checked_sub(inner.first).and_then(|skip| usize::try_from(skip).ok()) else {
            return false;
        };
        let unread = inner.frames.iter().skip(skip);
        let (frames, bytes) =
            unread.fold((0, 0), |(frames, bytes), frame| (frames + 1, bytes + frame.bytes.len()));
        frames <= RING_FRAMES_MAX / 4 && bytes <= RING_BYTES_MAX / 4
    }

    /// Adds a frame; returns its number.
    pub(crate) fn push(&self, frame: Frame) -> u64 {
        let mut inner = self.inner.lock();
        let number = inner.end();
        inner.bytes += frame.bytes.len();
        inner.frames.push_back(frame);
        while inner.frames.len() > RING_FRAMES_MAX || inner.bytes > RING_BYTES_MAX && inner.frames.len() > 1 {
            if let Some(oldest) = inner.frames.pop_front() {
                inner.bytes -= oldest.bytes.len();
                inner.first += 1;
            }
        }
        number
    }

    /// Lets go of frames before number `next`: everyone has taken them.
    pub(crate) fn forget_before(&self, next: u64) {
        let mut inner = self.inner.lock();
        while inner.first < next
            && let Some(oldest) = inner.frames.pop_front()
        {
            inner.bytes -= oldest.bytes.len();
            inner.first += 1;
        }
        if inner.frames.is_empty() {
            inner.frames = VecDeque::new();
        }
    }

    /// Replaces presence by what changed since the tick before.
    pub(crate) fn set_presence(&self, tick: u64, frame: SharedFrame) {
        let mut inner = self.inner.lock();
        inner.presence = Some(frame);
        inner.presence_tick = tick;
    }

    /// Begins a beat. `checkpoint` is the committed state vector, and all that it covers is in the
    /// ring or before it.
    pub(crate) fn beat(&self, checkpoint: Bytes) {
        let mut inner = self.inner.lock();
        inner.beat += 1;
        inner.checkpoint = checkpoint;
    }

    /// Ends all sessions. The first reason stands.
    pub(crate) fn close(&self, close: Close) {
        self.inner.lock().closed.get_or_insert(close);
    }

    /// Why the room has ended, if it has.
    pub(crate) fn closed(&self) -> Option<Close> {
        self.inner.lock().closed.clone()
    }

    /// Whether there is nothing for this cursor.
    pub(crate) fn is_quiet(&self, cursor: &Cursor) -> bool {
        let inner = self.inner.lock();
        cursor.next == inner.end()
            && cursor.presence_tick == inner.presence_tick
            && cursor.beat == inner.beat
            && inner.closed.is_none()
    }

    /// Takes what there is, up to `RING_TAKE_BYTES_MAX` of frames at once.
    pub(crate) fn take(&self, cursor: &mut Cursor, me: SessionId) -> Taken {
        let inner = self.inner.lock();
        let mut taken = Taken { closed: inner.closed.clone(), ..Taken::default() };
        if cursor.next < inner.first {
            taken.fell_off = true;
            return taken;
        }
        inner.take_frames(cursor, me, &mut taken.frames);
        inner.take_presence(cursor, &mut taken);
        if cursor.beat != inner.beat {
            cursor.beat = inner.beat;
            taken.beat = true;
            if cursor.next == inner.end() {
                cursor.covers = inner.checkpoint.clone();
            }
        }
        taken
    }
}

impl Inner {
    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    fn take_frames(&self, cursor: &mut Cursor, me: SessionId, frames: &mut Vec<SharedFrame>) {
        let mut bytes = 0;
        let skip = usize::try_from(cursor.next - self.first).unwrap_or(usize::MAX);
        for frame in self.frames.iter().skip(skip) {
            if bytes > 0 && bytes + frame.bytes.len() > RING_TAKE_BYTES_MAX {
                break;
            }
            cursor.next += 1;
            if frame.sole_author != Some(me) {
                bytes += frame.bytes.len();
                frames.push(frame.bytes.clone());
            }
        }
    }

    fn take_presence(&self, cursor: &mut Cursor, taken: &mut Taken) {
        let seen = std::mem::replace(&mut cursor.presence_tick, self.presence_tick);
        taken.presence = match self.presence_tick - seen {
            0 => None,
            1 => self.presence.clone().map(PresenceChange::Tick),
            _ => Some(PresenceChange::Since(seen)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: SessionId = SessionId(1);

    fn shared(text: &'static str) -> SharedFrame {
        SharedFrame::new(Bytes::from_static(text.as_bytes()))
    }

    fn frame(text: &'static str) -> Frame {
        Frame { bytes: shared(text), sole_author: None }
    }

    /// [R5] Each cursor sees each frame once, in order, but not its own.
    #[test]
    fn cursors_read_in_order_and_skip_their_own() {
        let ring = Ring::new();
        let mut cursor = ring.cursor(Bytes::new());
        assert!(ring.is_quiet(&cursor));
        ring.push(frame("a"));
        ring.push(Frame { sole_author: Some(ME), ..frame("mine") });
        assert_eq!(ring.push(frame("b")), 2);
        assert!(!ring.is_quiet(&cursor));
        assert_eq!(ring.take(&mut cursor, ME).frames, ["a", "b"]);
        assert!(ring.is_quiet(&cursor));
        assert!(ring.is_quiet(&ring.cursor(Bytes::new())), "a new cursor stands at the end");
    }

    /// [R5] The ring never waits for a reader: one that is too slow falls off and is told so.
    #[test]
    fn slow_cursors_fall_off() {
        let ring = Ring::new();
        let mut cursor = ring.cursor(Bytes::new());
        for _ in 0..=RING_FRAMES_MAX {
            ring.push(frame("x"));
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
        ring.push(frame("small"));
        ring.push(Frame { bytes: SharedFrame::new(vec![0; RING_BYTES_MAX + 1].into()), sole_author: None });
        assert!(ring.take(&mut cursor, ME).fell_off, "the small one had to go");
        assert_eq!(ring.inner.lock().frames.len(), 1);
    }

    /// [R5] Frames that everyone has taken are let go; who has all of them goes on as before.
    #[test]
    fn frames_that_everyone_has_are_forgotten() {
        let ring = Ring::new();
        let (mut here, mut late) = (ring.cursor(Bytes::new()), ring.cursor(Bytes::new()));
        ring.push(frame("a"));
        ring.push(frame("b"));
        assert_eq!(ring.take(&mut here, ME).frames, ["a", "b"]);
        ring.forget_before(here.next.min(late.next));
        assert_eq!(ring.take(&mut late, ME).frames, ["a", "b"], "one had not taken them");
        ring.forget_before(here.next.min(late.next));
        assert_eq!(ring.inner.lock().bytes, 0);
        assert!(ring.inner.lock().frames.is_empty());
        ring.forget_before(99);
        assert_eq!(ring.push(frame("c")), 2, "numbers go on");
        assert_eq!(ring.take(&mut here, ME).frames, ["c"]);
    }

    /// [R7] Presence is always the newest: who missed ticks learns what changed since.
    #[test]
    fn presence_is_the_newest_only() {
        let ring = Ring::new();
        let mut cursor = ring.cursor(Bytes::new());
        ring.set_presence(1, shared("p1"));
        assert!(matches!(ring.take(&mut cursor, ME).presence, Some(PresenceChange::Tick(p)) if p == "p1"));
        ring.set_presence(2, shared("p2"));
        ring.set_presence(3, shared("p3"));
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
            ring.push(frame("x"));
        }
        ring.beat(Bytes::from_static(b"sv2"));
        assert!(ring.take(&mut late, ME).fell_off);
        assert_eq!(late.covers, "");
    }
}
