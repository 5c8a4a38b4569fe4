//! A room: one live document and the sessions on it. The server sees [`Rooms`] and [`Member`];
//! behind them `actor` waits, `state` decides, `ring` and `seat` show, `presence` knows who is here.
//!
//! Invariants:
//! - Nobody is shown an update before the log has it; nothing is acked before either.
//! - A room is loaded once, however many join at the same time.
//! - A session that cannot keep up gets one diff; it is never skipped.
//! - A panic in one room ends the sessions of that room, and no other.

mod actor;
mod append;
mod catch_up;
mod drafts;
mod fan_out;
mod inbox;
mod inflow;
mod line;
mod load;
mod loss;
mod order;
pub mod outside;
mod owners;
mod pace;
pub(crate) mod people;
mod presence;
mod registry;
mod removal;
mod ring;
mod seat;
mod state;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::board::drafts::Draft;
use crate::caller::Caller;
use crate::gate::{self, Refusal, Source};
use crate::ids::{RoomName, SessionId};
use crate::session::Permit;
use crate::throttle::SessionPass;
use crate::wire::close::{self, Close};
use crate::wire::voice::Voice;
use inbox::Inbox;
use inflow::Inflow;
use owners::Owners;
use presence::{Announcer, Presence};
use ring::{Cursor, PresenceChange, Ring};
use seat::Seat;

pub use drafts::{RevealError, Revealed};
pub(crate) use load::genesis_record;
pub use owners::OwnerMetrics;
pub use registry::{Rooms, RoomsOptions};
pub use seat::{Entry, Outlet, Post};

/// Milliseconds since 1970 by the wall clock: for records, never for decisions.
pub(crate) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What sessions ask of a room.
enum Command {
    Join {
        entry: Entry,
        reply: oneshot::Sender<Result<Member, String>>,
    },
    Sync {
        session: SessionId,
        state_vector: Bytes,
        reply: oneshot::Sender<Result<Synced, Close>>,
    },
    CatchUp {
        session: SessionId,
        covers: Bytes,
        reply: oneshot::Sender<Result<Synced, Close>>,
    },
    Submit(state::Submission),
    Relay {
        session: SessionId,
        payload: Bytes,
        cost: u32,
    },
    StateVector {
        reply: oneshot::Sender<Result<Bytes, Close>>,
    },
    /// Answered when the room is stored; not at all if it is not.
    Begin {
        caller: Arc<Caller>,
        reply: oneshot::Sender<()>,
    },
    Leave {
        session: SessionId,
    },
    Read {
        part: outside::Part,
        reply: oneshot::Sender<Result<outside::Copy, outside::ReadError>>,
    },
    Write(outside::Write),
    Look {
        reply: oneshot::Sender<drafts::Look>,
    },
    Retire(removal::Retire),
}

/// What a room answers to a Sync or a CatchUp.
#[derive(Clone)]
struct Synced {
    /// The Step2, or the one update that brings a slow session up to date, as a whole frame.
    frame: Bytes,
    /// Where to go on in the ring.
    cursor: Cursor,
}

/// What a room shares with its sessions.
struct Shared {
    name: RoomName,
    inbox: Inbox,
    ring: Ring,
    presence: Arc<Mutex<Presence>>,
    owners: Arc<Owners>,
    presence_changed: Notify,
    /// Bounds what waits for the log.
    inflow: Inflow,
    /// About how many bytes a Step2 with everything has.
    encoded_bytes: AtomicUsize,
    /// Client ids for edits from outside.
    clients: outside::SharedClients,
    /// Members that have not left.
    sessions: AtomicUsize,
    started: Instant,
}

impl Shared {
    fn new(name: RoomName, inflow: Inflow) -> Self {
        let presence = Arc::<Mutex<Presence>>::default();
        Self {
            name,
            inbox: Inbox::default(),
            ring: Ring::new(),
            owners: Arc::new(Owners::new(Arc::clone(&presence))),
            presence,
            presence_changed: Notify::new(),
            inflow,
            encoded_bytes: AtomicUsize::new(0),
            clients: outside::SharedClients::default(),
            sessions: AtomicUsize::new(0),
            started: Instant::now(),
        }
    }

    /// Milliseconds by a steady clock: presence counts in it.
    fn steady_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One session in one room, as the socket holds it. Dropping it leaves the room.
pub struct Member {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    /// Its place among the sessions of its user, its room and the instance.
    pass: Option<SessionPass>,
    announcer: Announcer,
}

/// What there is to write to a session's socket, in this order.
#[derive(Debug, Default)]
pub struct News {
    /// The rest of a frame whose beginning the room has written already.
    pub rest: Bytes,
    /// Frames were missed: call [`Member::catch_up`] before writing the others.
    pub fell_off: bool,
    /// Whole frames, oldest first.
    pub frames: Vec<Bytes>,
    /// What is for this session alone.
    pub post: Post,
    /// A beat has passed: write a keepalive if nothing was written since the one before.
    pub beat: bool,
    /// With a beat: the room has written since the one before.
    pub written: bool,
}

impl Member {
    fn new(shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
        shared.sessions.fetch_add(1, Ordering::Relaxed);
        let announcer = Announcer::new(seat.session, &seat.caller);
        Self { shared, seat, pass: None, announcer }
    }

    fn with_pass(mut self, pass: SessionPass) -> Self {
        self.pass = Some(pass);
        self
    }

    /// The Step2 for a client that has `state_vector`, as a whole frame. The first one starts the
    /// relay.
    ///
    /// # Errors
    /// A close for the session: the state vector is refused, or the room has ended, or this is
    /// another life of it.
    pub async fn sync(&mut self, state_vector: Bytes, first: bool) -> Result<Bytes, Close> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Sync { session: self.seat.session, state_vector, reply })?;
        let synced = answer.await.map_err(|_| self.ended())?.map_err(|close| self.seat.reason(close))?;
        if first {
            self.seat.set_cursor(synced.cursor);
        }
        Ok(self.seat.voice.reframe(synced.frame))
    }

    /// One frame with an update instead of all the frames that this session has missed.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn catch_up(&mut self) -> Result<Bytes, Close> {
        let covers = self.seat.covers();
        let (reply, answer) = oneshot::channel();
        self.send(Command::CatchUp { session: self.seat.session, covers, reply })?;
        let synced = answer.await.map_err(|_| self.ended())?.map_err(|close| self.seat.reason(close))?;
        self.seat.resume(synced.cursor);
        Ok(self.seat.voice.reframe(synced.frame))
    }

    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.seat.caller
    }

    /// How its client is spoken to.
    #[must_use]
    pub fn voice(&self) -> &Voice {
        &self.seat.voice
    }

    /// About how many bytes a Step2 with everything has.
    #[must_use]
    pub fn document_bytes(&self) -> usize {
        self.shared.encoded_bytes.load(Ordering::Relaxed)
    }

    /// Whether this is a draft room.
    #[must_use]
    pub fn is_in_draft(&self) -> bool {
        Draft::of(&self.shared.name).is_some()
    }

    /// The committed state vector: the body of our SyncStep1.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn state_vector(&self) -> Result<Bytes, Close> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::StateVector { reply })?;
        answer.await.map_err(|_| self.ended())?
    }

    /// Sees to it that the room is stored, though nobody has written to it. Returns when it is.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn begin(&self) -> Result<(), Close> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Begin { caller: Arc::clone(&self.seat.caller), reply })?;
        answer.await.map_err(|_| self.ended())
    }

    /// Gives an update to the room. Waits while too much is on its way into the log, so that the
    /// socket is not read. What becomes of it comes with the [`News`].
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn submit(
        &self,
        update: Bytes,
        source: Source,
        permit: Permit,
        ordinal: u64,
    ) -> Result<(), Close> {
        let cost = self.shared.inflow.enter(update.len()).await.map_err(|_| self.ended())?;
        self.send(Command::Submit(state::Submission {
            session: self.seat.session,
            ordinal,
            caller: Arc::clone(&self.seat.caller),
            update,
            source,
            permit,
            at: None,
            cost,
            admitted_ms: wall_clock_ms(),
        }))
    }

    /// Gives the others whose clients take such a message that is not part of the document: UTF-8. Waits as
    /// [`Member::submit`] does.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn relay(&self, payload: Bytes) -> Result<(), Close> {
        let cost = self.shared.inflow.enter(payload.len()).await.map_err(|_| self.ended())?;
        self.send(Command::Relay { session: self.seat.session, payload, cost })
    }

    /// Announces presence states. What other users show is not this session's to say, and dropped.
    ///
    /// # Errors
    /// [`Refusal`] if the bytes are no awareness update, or a state is no JSON.
    pub fn announce(&self, update: &[u8]) -> Result<(), Refusal> {
        let entries = gate::parse_presence(update)?;
        let max = self.pass.as_ref().map_or(usize::MAX, SessionPass::presence_bytes);
        if entries.iter().any(|entry| entry.state.is_some_and(|state| state.len() > max)) {
            return Err(Refusal::PresenceTooLarge);
        }
        let now_ms = self.shared.steady_ms();
        let (owners, user) = (&self.shared.owners, self.seat.caller.user.as_ref());
        // Not while presence is locked: whoever judges updates asks the one, then the other.
        let taken = owners.taken(user, entries.iter().map(|entry| entry.client));
        let mut presence = self.shared.presence.lock();
        let announced =
            presence.announce(&self.announcer, |client| taken.contains(&client), &entries, now_ms)?;
        drop(presence);
        if announced.news {
            self.shared.presence_changed.notify_one();
        }
        Ok(())
    }

    /// One frame with everyone who is here, if anyone is.
    #[must_use]
    pub fn everyone(&self) -> Option<Bytes> {
        self.shared.presence.lock().everyone().map(|frame| self.seat.voice.reframe(frame))
    }

    /// Takes what is new. From now on only the session writes to its socket.
    pub fn news(&mut self) -> News {
        let mut waiting = self.seat.take(&self.shared.ring);
        let presence = waiting.presence();
        let mut news = News {
            rest: waiting.rest,
            fell_off: waiting.taken.fell_off,
            frames: waiting.taken.frames.iter().map(|frame| frame.for_voice(&self.seat.voice)).collect(),
            post: waiting.post,
            beat: waiting.taken.beat,
            written: waiting.written,
        };
        news.post.close = news.post.close.or(waiting.taken.closed);
        news.frames.extend(presence.and_then(|change| match change {
            PresenceChange::Tick(frame) => Some(frame.for_voice(&self.seat.voice)),
            PresenceChange::Since(tick) => {
                let since = self.shared.presence.lock().since(tick);
                since.map(|frame| self.seat.voice.reframe(frame))
            }
        }));
        news
    }

    /// Says that the session has nothing to do: from now on the room may write to the socket.
    /// Returns false if something has come meanwhile.
    pub fn park(&mut self) -> bool {
        self.seat.park(&self.shared.ring)
    }

    /// Says that the session is about to read or write. Returns the rest of a frame that the room
    /// has begun to write; it must be finished first.
    #[must_use = "the rest of a frame must be written"]
    pub fn unpark(&mut self) -> Bytes {
        self.seat.unpark()
    }

    /// Resolves when there may be news. Cancel-safe.
    pub async fn woken(&self) {
        self.seat.woken().await;
    }

    fn send(&self, command: Command) -> Result<(), Close> {
        self.shared.inbox.send(command).map_err(|_| self.ended())
    }

    /// Why the room has ended.
    fn ended(&self) -> Close {
        self.shared.ring.closed().unwrap_or_else(room_ended)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let session = self.seat.session;
        self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
        self.shared.presence.lock().leave(session, self.shared.steady_ms());
        // A room that has ended has nobody to tell.
        let _ = self.shared.inbox.send(Command::Leave { session });
    }
}

/// How a session ends whose bytes the gate refuses.
pub(crate) fn refusal_close(refusal: Refusal) -> Close {
    let code = if refusal.is_too_large() { close::TOO_LARGE } else { close::MALFORMED };
    Close::new(code, refusal.to_string())
}

/// How sessions end when the server does.
fn restarts() -> Close {
    Close::new(close::RESTART, "the server restarts")
}

fn room_ended() -> Close {
    Close::new(close::BUSY, "the room was reloaded: please come back")
}
