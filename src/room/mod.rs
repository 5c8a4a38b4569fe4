//! A room: one live document and the sessions on it. The server sees [`Rooms`] and [`Member`];
//! behind them `actor` waits, `state` decides, `ring` shows, `presence` knows who is here.
//!
//! Invariants:
//! - Nobody is shown an update before the log has it; nothing is acked before either.
//! - A room is loaded once, however many join at the same time.
//! - A session that cannot keep up gets one diff; it is never skipped.
//! - A panic in one room ends the sessions of that room, and no other.

mod actor;
mod load;
mod presence;
mod registry;
mod ring;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::gate::{self, Refusal, Source};
use crate::ids::{Position, RoomName, SessionId};
use crate::limits::{INFLOW_UNIT_BYTES, INFLOW_UNITS_MAX};
use crate::wire::close::{self, Close};
use presence::Presence;
use ring::{Cursor, PresenceChange, Ring};

pub use registry::{Rooms, RoomsOptions};

/// Milliseconds since 1970 by the wall clock: for records, never for decisions.
pub(crate) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What sessions ask of a room.
enum Command {
    Join { outbox: Arc<Outbox>, reply: oneshot::Sender<Result<SessionId, String>> },
    Sync { state_vector: Bytes, first: bool, reply: oneshot::Sender<Result<Synced, Close>> },
    CatchUp { covers: Bytes, reply: oneshot::Sender<Result<Synced, Close>> },
    Submit(state::Submission),
    StateVector { reply: oneshot::Sender<Result<Bytes, Close>> },
    Leave { session: SessionId },
}

/// What a room answers to a Sync or a CatchUp.
struct Synced {
    /// The Step2, or the one update that brings a slow session up to date.
    message: Bytes,
    /// Where to go on in the ring.
    cursor: Cursor,
}

/// What the room has for one session alone. The newest of each kind replaces the one before, so
/// that a slow session costs no more than a fast one.
#[derive(Default)]
struct Outbox {
    inner: Mutex<Post>,
    /// Whether `inner` may hold anything: most wakes are for frames.
    filled: AtomicBool,
    wake: Notify,
}

/// What a session finds in its outbox.
#[derive(Debug, Default)]
pub struct Post {
    /// How many of its Step2 and Update messages are decided, and the newest stored position.
    pub ack: Option<(u64, Position)>,
    /// Something of what it sent builds on what the room does not have.
    pub gap: bool,
    /// The session is over.
    pub close: Option<Close>,
}

impl Outbox {
    fn put(&self, change: impl FnOnce(&mut Post)) {
        change(&mut self.inner.lock());
        self.filled.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// What a room shares with its sessions, beside its inbox.
struct Shared {
    name: RoomName,
    inbox: mpsc::UnboundedSender<Command>,
    ring: Ring,
    presence: Mutex<Presence>,
    presence_changed: Notify,
    /// Bounds what waits for the log, in units of `INFLOW_UNIT_BYTES`.
    inflow: Semaphore,
    sessions: AtomicUsize,
    started: Instant,
}

impl Shared {
    fn new(name: RoomName, inbox: mpsc::UnboundedSender<Command>) -> Self {
        Self {
            name,
            inbox,
            ring: Ring::new(),
            presence: Mutex::default(),
            presence_changed: Notify::new(),
            inflow: Semaphore::new(INFLOW_UNITS_MAX as usize),
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
    outbox: Arc<Outbox>,
    session: SessionId,
    cursor: Option<Cursor>,
}

/// What there is to write to a session's socket.
#[derive(Debug, Default)]
pub struct News {
    /// Messages to write, oldest first.
    pub messages: Vec<Bytes>,
    /// A beat has passed: write a keepalive if nothing else was written lately.
    pub beat: bool,
    /// The room ends.
    pub close: Option<Close>,
    /// Frames were missed: call [`Member::catch_up`].
    pub fell_off: bool,
}

impl Member {
    /// The session's number within this instance.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The Step2 message for a client that has `state_vector`. The first one starts the relay.
    ///
    /// # Errors
    /// A close for the session: the state vector is refused, or the room has ended.
    pub async fn sync(&mut self, state_vector: Bytes, first: bool) -> Result<Bytes, Close> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Sync { state_vector, first, reply })?;
        let synced = answer.await.map_err(|_| room_ended())??;
        if first {
            self.set_cursor(synced.cursor);
        }
        Ok(synced.message)
    }

    /// One update instead of all the frames that this session has missed.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn catch_up(&mut self) -> Result<Bytes, Close> {
        let covers = self.cursor.as_ref().map(|cursor| cursor.covers.clone()).unwrap_or_default();
        let (reply, answer) = oneshot::channel();
        self.send(Command::CatchUp { covers, reply })?;
        let synced = answer.await.map_err(|_| room_ended())??;
        self.set_cursor(synced.cursor);
        Ok(synced.message)
    }

    /// The committed state vector: the body of our SyncStep1.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn state_vector(&self) -> Result<Bytes, Close> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::StateVector { reply })?;
        answer.await.map_err(|_| room_ended())?
    }

    /// Gives an update to the room. Waits while too much is on its way into the log, so that the
    /// socket is not read. What becomes of it comes by [`Member::post`].
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn submit(&self, update: Bytes, source: Source, ordinal: u64) -> Result<(), Close> {
        let units = u32::try_from(update.len() / INFLOW_UNIT_BYTES + 1).unwrap_or(u32::MAX);
        let cost = units.min(INFLOW_UNITS_MAX);
        let permit = self.shared.inflow.acquire_many(cost).await.map_err(|_| room_ended())?;
        permit.forget();
        self.send(Command::Submit(state::Submission {
            session: self.session,
            ordinal,
            update,
            source,
            cost,
            admitted_ms: wall_clock_ms(),
        }))
    }

    /// Announces presence states.
    ///
    /// # Errors
    /// [`Refusal`] if the bytes are no awareness update, or a state is no JSON.
    pub fn announce(&self, update: &[u8]) -> Result<(), Refusal> {
        let entries = gate::parse_presence(update)?;
        let now_ms = self.shared.steady_ms();
        let news = self.shared.presence.lock().announce(self.session, &entries, now_ms)?;
        if news {
            self.shared.presence_changed.notify_one();
        }
        Ok(())
    }

    /// One message with everyone who is here, if anyone is.
    #[must_use]
    pub fn everyone(&self) -> Option<Bytes> {
        self.shared.presence.lock().everyone()
    }

    /// What is new for everyone. Nothing before the first sync. If there is nothing, the room
    /// counts this session as waiting.
    pub fn news(&mut self) -> News {
        let Some(cursor) = &mut self.cursor else {
            return News::default();
        };
        let taken = self.shared.ring.take(cursor, self.session);
        let mut news = News {
            messages: taken.messages,
            beat: taken.beat,
            close: taken.closed,
            fell_off: taken.fell_off,
        };
        news.messages.extend(taken.presence.and_then(|change| match change {
            PresenceChange::Tick(message) => Some(message),
            PresenceChange::Since(tick) => self.shared.presence.lock().since(tick),
        }));
        news
    }

    /// What is new for this session alone.
    #[must_use]
    pub fn post(&self) -> Post {
        if self.outbox.filled.swap(false, Ordering::Acquire) {
            std::mem::take(&mut self.outbox.inner.lock())
        } else {
            Post::default()
        }
    }

    /// Resolves when there may be post or news. Cancel-safe. Create the future of
    /// [`Waiter::published`] before calling [`Member::news`] for the last time.
    pub async fn posted(&self) {
        self.outbox.wake.notified().await;
    }

    /// See [`Member::posted`].
    #[must_use]
    pub fn waiter(&self) -> Waiter {
        Waiter { shared: Arc::clone(&self.shared) }
    }

    fn set_cursor(&mut self, cursor: Cursor) {
        if let Some(mut old) = self.cursor.replace(cursor) {
            self.shared.ring.leave(&mut old);
        }
    }

    fn send(&self, command: Command) -> Result<(), Close> {
        self.shared.inbox.send(command).map_err(|_| room_ended())
    }
}

/// Wakes when something is published; separate from [`Member`] so that both can be borrowed.
pub struct Waiter {
    shared: Arc<Shared>,
}

impl Waiter {
    /// Resolves at the next publication after its creation.
    pub fn published(&self) -> Notified<'_> {
        self.shared.ring.published()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(cursor) = &mut self.cursor {
            self.shared.ring.leave(cursor);
        }
        self.shared.presence.lock().leave(self.session, self.shared.steady_ms());
        // A room that has ended has nobody to tell.
        let _ = self.shared.inbox.send(Command::Leave { session: self.session });
    }
}

fn room_ended() -> Close {
    Close::new(close::BUSY, "the room was reloaded: please come back")
}
