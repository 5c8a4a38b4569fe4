//! A seat: what a room keeps for one session, and where the two meet.
//!
//! A session that has nothing to do *parks*: it promises not to write, and the room writes new
//! frames to its socket itself. That saves waking a task for each delivery, which costs as much as
//! the write. A socket that does not take a whole frame at once is left to its session: it is
//! woken, with the rest of the frame.
//!
//! Invariants:
//! - Only one side writes: the room while the seat is parked, the session otherwise.
//! - When the room has gone through its seats, a frame is *handed over*: every session has taken
//!   it, or is busy and will. So the room clocks itself: load makes batches larger, not queues.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ring::{Cursor, PresenceChange, Ring, Taken};
use crate::caller::Caller;
use crate::ids::{Position, SessionId};
use crate::life::deadline;
use crate::limits::STATELESS_WAITING_MAX;
use crate::throttle::Address;
use crate::wire::close::Close;
use crate::wire::voice::{SharedFrame, Voice};

/// Where a session's bytes go: the writing end of its socket, as far as it never waits.
pub trait Outlet: Send + Sync {
    /// Writes the front of `bytes` now, as much as is taken; returns how much that was. Zero if
    /// nothing is taken, or the socket is broken: the session will notice.
    fn offer(&self, bytes: &[u8]) -> usize;
}

/// Who enters a room.
#[derive(Clone)]
pub struct Entry {
    /// Who it is, and what it may do.
    pub caller: Arc<Caller>,
    /// How its client is spoken to.
    pub voice: Voice,
    /// Where its frames go.
    pub outlet: Arc<dyn Outlet>,
    /// Where it comes from, for bounds by address; `None`: from this machine, or it is not known.
    pub address: Option<Address>,
}

impl Entry {
    /// Somebody without a name who may do all, with a client of `ruang.v1`.
    #[must_use]
    pub fn anonymous(outlet: Arc<dyn Outlet>) -> Self {
        Self { caller: Caller::anyone(), voice: Voice::YWebsocket { ruang: true }, outlet, address: None }
    }
}

/// What the room has for one session alone. A slow session costs little more than a fast one: of most kinds the newest
/// replaces the one before; stateless messages are at most [`STATELESS_WAITING_MAX`], and refusals at most those of the messages
/// that the session has sent since it took its post, which it does before it reads much more.
#[derive(Debug, Default)]
pub struct Post {
    /// Which of its Step2 and Update messages were refused, by their number, in order; the session stays. Whether all
    /// before them are decided is told by `ack`.
    pub refused: Vec<u64>,
    /// Which of them broke a rule of the board, by their number, and which rule; in order.
    pub broken: Vec<(u64, crate::board::rules::Reason)>,
    /// How many of its Step2 and Update messages are decided, and the newest stored position.
    pub ack: Option<(u64, Position)>,
    /// Something of what it sent builds on what the room does not have.
    pub gap: bool,
    /// Messages of others that are not part of the document, in order.
    pub stateless: Vec<Arc<str>>,
    /// Something of what it sent is somebody else's to bring. It is asked for later.
    pub left_out: bool,
    /// The room may go in so many milliseconds.
    pub expires_in_ms: Option<u64>,
    /// The session is over.
    pub close: Option<Close>,
}

/// One session's place in a room.
pub(crate) struct Seat {
    pub(crate) session: SessionId,
    /// Who it is.
    pub(crate) caller: Arc<Caller>,
    /// How its client is spoken to.
    pub(crate) voice: Voice,
    outlet: Arc<dyn Outlet>,
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Default)]
struct Inner {
    post: Post,
    /// None before the first sync: nothing is shown then.
    cursor: Option<Cursor>,
    parked: bool,
    /// What the socket did not take of the frame that the room wrote last.
    rest: Bytes,
    /// The room has written something since the last beat.
    written: bool,
    /// Nothing of the room is for this session any more, whatever it is about to ask.
    expelled: bool,
    /// When the session was warned last that the room may go, by the room's steady clock.
    warned_ms: Option<u64>,
}

/// All that waits for a session.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) post: Post,
    pub(crate) taken: Taken,
    /// The rest of a frame; it comes before everything else.
    pub(crate) rest: Bytes,
    /// With a beat: whether the room has written anything since the beat before.
    pub(crate) written: bool,
}

impl Seat {
    pub(crate) fn new(session: SessionId, entry: Entry) -> Self {
        let Entry { caller, voice, outlet, address: _ } = entry;
        Self { session, caller, voice, outlet, inner: Mutex::default(), wake: Notify::new() }
    }

    /// Whether the client can be told what is stored; others are not woken for it.
    pub(crate) fn wants_acks(&self) -> bool {
        self.voice.hears_acks()
    }

    /// The room has something for this session alone.
    pub(crate) fn put(&self, change: impl FnOnce(&mut Post)) {
        change(&mut self.inner.lock().post);
        self.wake.notify_one();
    }

    /// Ends the session at once: unlike with [`Seat::put`], it is not even shown what was stored before.
    pub(crate) fn expel(&self, close: Close) {
        let mut inner = self.inner.lock();
        (inner.expelled, inner.cursor, inner.parked) = (true, None, false);
        inner.post.close = Some(close);
        drop(inner);
        self.wake.notify_one();
    }

    /// Why the session is over, if the room has said so; else `close`.
    pub(crate) fn reason(&self, close: Close) -> Close {
        self.inner.lock().post.close.clone().unwrap_or(close)
    }

    /// Gives the session a message that is not part of the document, if it has synced and takes such. Returns false if
    /// too many wait for it.
    pub(crate) fn tell(&self, payload: &Arc<str>) -> bool {
        let mut inner = self.inner.lock();
        if !self.voice.hears_stateless() || inner.cursor.is_none() {
            return true;
        }
        if inner.post.stateless.len() >= STATELESS_WAITING_MAX {
            return false;
        }
        inner.post.stateless.push(Arc::clone(payload));
        self.wake.notify_one();
        true
    }

    /// Warns a session that the room may go, if it speaks `ruang.v1`, has synced, and was not warned
    /// just before.
    pub(crate) fn warn(&self, expires_in_ms: u64, now_ms: u64) {
        let mut inner = self.inner.lock();
        if self.voice.is_ruang() && inner.cursor.is_some() && deadline::may_warn(inner.warned_ms, now_ms) {
            inner.warned_ms = Some(now_ms);
            inner.post.expires_in_ms = Some(expires_in_ms);
            self.wake.notify_one();
        }
    }

    /// Shows the ring's newest frame, number `number`, to a session that waits for it.
    pub(crate) fn show(&self, number: u64, frame: &super::ring::Frame) {
        let mut inner = self.inner.lock();
        let Inner { cursor: Some(cursor), parked: true, .. } = &mut *inner else { return };
        if cursor.next != number {
            return; // it has taken the frame from the ring already
        }
        cursor.next += 1;
        if frame.sole_author != Some(self.session) {
            self.write(&mut inner, &frame.bytes.for_voice(&self.voice));
        }
    }

    /// Shows what changed in presence in the newest tick to a session that has seen the one before.
    pub(crate) fn show_presence(&self, tick: u64, frame: &SharedFrame) {
        let mut inner = self.inner.lock();
        let Inner { cursor: Some(cursor), parked: true, .. } = &mut *inner else { return };
        if cursor.presence_tick + 1 == tick {
            cursor.presence_tick = tick;
            self.write(&mut inner, &frame.for_voice(&self.voice));
        } else {
            self.wake.notify_one();
        }
    }

    fn write(&self, inner: &mut Inner, bytes: &Bytes) {
        let taken = self.outlet.offer(bytes).min(bytes.len());
        inner.written = true;
        if taken < bytes.len() {
            inner.rest = bytes.slice(taken..);
            inner.parked = false;
            self.wake.notify_one();
        }
    }

    /// Makes the session look up.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The session takes all that waits for it. The seat is not parked after that.
    pub(crate) fn take(&self, ring: &Ring) -> Waiting {
        let mut inner = self.inner.lock();
        inner.parked = false;
        let inner = &mut *inner;
        let taken = inner.cursor.as_mut().map(|cursor| ring.take(cursor, self.session)).unwrap_or_default();
        Waiting {
            post: std::mem::take(&mut inner.post),
            written: taken.beat && std::mem::take(&mut inner.written),
            taken,
            rest: std::mem::take(&mut inner.rest),
        }
    }

    /// The session has nothing to do: from now on the room may write. Returns false if something
    /// has come meanwhile.
    pub(crate) fn park(&self, ring: &Ring) -> bool {
        let mut inner = self.inner.lock();
        let quiet = inner.post.is_empty() && inner.cursor.as_ref().is_none_or(|cursor| ring.is_quiet(cursor));
        inner.parked = quiet;
        quiet
    }

    /// The session has something to write or to read. Returns the rest of a frame that has to be
    /// written before anything else.
    pub(crate) fn unpark(&self) -> Bytes {
        let mut inner = self.inner.lock();
        inner.parked = false;
        std::mem::take(&mut inner.rest)
    }

    /// Resolves when there may be something to take. Cancel-safe.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Puts the session at another place in the ring.
    pub(crate) fn set_cursor(&self, cursor: Cursor) {
        let mut inner = self.inner.lock();
        if !inner.expelled {
            inner.cursor = Some(cursor);
        }
    }

    /// Puts a session that fell off at another place in the ring. What it has seen of presence
    /// stays as it is: the diff brings none.
    pub(crate) fn resume(&self, mut cursor: Cursor) {
        let mut inner = self.inner.lock();
        if inner.expelled {
            return;
        }
        if let Some(before) = &inner.cursor {
            cursor.presence_tick = before.presence_tick;
        }
        inner.cursor = Some(cursor);
    }

    /// Number of the next frame that the session takes; none before its first sync.
    pub(crate) fn next_frame(&self) -> Option<u64> {
        self.inner.lock().cursor.as_ref().map(|cursor| cursor.next)
    }

    /// The state vector that the session is known to cover.
    pub(crate) fn covers(&self) -> Bytes {
        self.inner.lock().cursor.as_ref().map(|cursor| cursor.covers.clone()).unwrap_or_default()
    }
}

impl Post {
    fn is_empty(&self) -> bool {
        self.refused.is_empty()
            && self.broken.is_empty()
            && self.stateless.is_empty()
            && self.ack.is_none()
            && !self.gap
            && !self.left_out
            && self.expires_in_ms.is_none()
            && self.close.is_none()
    }
}

impl Waiting {
    /// How presence has changed, if it has.
    pub(crate) fn presence(&mut self) -> Option<PresenceChange> {
        self.taken.presence.take()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ring::Frame;
    use super::*;

    /// A socket that takes a number of bytes and then no more.
    #[derive(Default)]
    struct Pipe {
        written: Mutex<Vec<u8>>,
        room: Mutex<usize>,
    }

    impl Outlet for Pipe {
        fn offer(&self, bytes: &[u8]) -> usize {
            let mut room = self.room.lock();
            let taken = bytes.len().min(*room);
            *room -= taken;
            self.written.lock().extend_from_slice(&bytes[..taken]);
            taken
        }
    }

    fn seated(room: usize) -> (Ring, Arc<Pipe>, Seat) {
        let (ring, pipe) = (Ring::new(), Arc::new(Pipe::default()));
        *pipe.room.lock() = room;
        let seat = Seat::new(SessionId(1), Entry::anonymous(Arc::clone(&pipe) as Arc<dyn Outlet>));
        seat.set_cursor(ring.cursor(Bytes::new()));
        (ring, pipe, seat)
    }

    fn publish(ring: &Ring, seat: &Seat, text: &'static str) {
        let bytes = SharedFrame::new(Bytes::from_static(text.as_bytes()));
        let frame = Frame { bytes, sole_author: None };
        seat.show(ring.push(frame.clone()), &frame);
    }

    /// [R6] A parked session is written to by the room, and has nothing left to take.
    #[test]
    fn the_room_writes_to_parked_seats() {
        let (ring, pipe, seat) = seated(100);
        assert!(seat.park(&ring));
        publish(&ring, &seat, "one");
        publish(&ring, &seat, "two");
        assert_eq!(*pipe.written.lock(), b"onetwo");
        assert!(seat.take(&ring).taken.frames.is_empty());
    }

    /// [R6] A busy session takes its frames itself; nothing is written behind its back.
    #[test]
    fn busy_seats_take_for_themselves() {
        let (ring, pipe, seat) = seated(100);
        publish(&ring, &seat, "one");
        assert!(pipe.written.lock().is_empty());
        assert!(!seat.park(&ring), "there is news");
        assert_eq!(seat.take(&ring).taken.frames, ["one"]);
        assert!(seat.park(&ring));
    }

    /// [R6] What a socket does not take is left to its session, before anything newer.
    #[test]
    fn a_full_socket_is_left_to_its_session() {
        let (ring, pipe, seat) = seated(5);
        assert!(seat.park(&ring));
        publish(&ring, &seat, "one");
        publish(&ring, &seat, "two");
        publish(&ring, &seat, "three");
        assert_eq!(*pipe.written.lock(), b"onetw");
        let waiting = seat.take(&ring);
        assert_eq!(waiting.rest, "o");
        assert_eq!(waiting.taken.frames, ["three"]);
    }

    /// [R15] Who is expelled is shown nothing, not even what it has not taken yet; nor if it finds a
    /// place in the ring just then.
    #[test]
    fn the_expelled_are_shown_nothing_more() {
        let (ring, pipe, seat) = seated(100);
        publish(&ring, &seat, "one");
        seat.expel(Close::new(4409, "gone"));
        seat.set_cursor(ring.cursor(Bytes::new()));
        seat.resume(ring.cursor(Bytes::new()));
        publish(&ring, &seat, "two");
        assert_eq!(seat.reason(Close::new(1013, "")).code, 4409);
        let waiting = seat.take(&ring);
        assert!(waiting.taken.frames.is_empty() && pipe.written.lock().is_empty());
        assert_eq!(waiting.post.close.map(|close| close.code), Some(4409));
    }

    /// [R6] What comes for a session alone keeps it from parking.
    #[test]
    fn post_keeps_a_session_up() {
        let (ring, _, seat) = seated(5);
        seat.put(|post| post.gap = true);
        assert!(!seat.park(&ring));
        assert!(seat.take(&ring).post.gap);
        assert!(seat.park(&ring));
    }
}
