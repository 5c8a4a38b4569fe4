//! All rooms that are open: one entry, one task, one load each.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::actor::Actor;
use super::{Command, Member, Outlet, Shared};
use crate::ids::{InstanceId, RoomName, SessionId};
use crate::limits::ROOM_TTL_MS;
use crate::log::Log;
use crate::telemetry::Metrics;
use crate::wire::close::{self, Close};

/// How rooms behave.
#[derive(Debug, Clone)]
pub struct RoomsOptions {
    /// How long a room without sessions stays loaded.
    pub idle_unload: Duration,
    /// How long a room lives after its last edit and its last leave; `None`: for ever.
    pub ttl: Option<Duration>,
}

impl Default for RoomsOptions {
    fn default() -> Self {
        Self { idle_unload: Duration::from_secs(30), ttl: Some(Duration::from_millis(ROOM_TTL_MS)) }
    }
}

/// The open rooms of one instance.
pub struct Rooms {
    open: Mutex<HashMap<RoomName, Arc<Shared>>>,
    pub(super) log: Arc<dyn Log>,
    pub(super) instance: InstanceId,
    pub(super) options: RoomsOptions,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
    tasks: TaskTracker,
    sessions: AtomicU64,
    lives: AtomicU32,
}

/// A join is tried this often: a room may unload or fail between being found and being asked.
const JOIN_TRIES: usize = 4;

impl Rooms {
    /// Rooms on `log`. None is open yet.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        instance: InstanceId,
        options: RoomsOptions,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            log,
            instance,
            options,
            metrics,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            sessions: AtomicU64::new(0),
            lives: AtomicU32::new(0),
        })
    }

    /// Enters a room, loading it if nobody is there. `wants_acks`: the client speaks `ruang.v1`;
    /// `outlet` is the writing end of its socket.
    ///
    /// # Errors
    /// A close for the session, temporary: the room cannot be loaded now, or the server stops.
    pub async fn join(
        self: &Arc<Self>,
        name: &RoomName,
        wants_acks: bool,
        outlet: Arc<dyn Outlet>,
    ) -> Result<Member, Close> {
        for _ in 0..JOIN_TRIES {
            if self.stop.is_cancelled() {
                return Err(Close::new(close::RESTART, "the server restarts"));
            }
            let shared = self.get_or_start(name);
            let (reply, answer) = oneshot::channel();
            let _ = shared.inbox.send(Command::Join { wants_acks, outlet: Arc::clone(&outlet), reply });
            match answer.await {
                Ok(Ok(member)) => return Ok(member),
                Ok(Err(why)) => return Err(Close::new(close::BUSY, why)),
                // The room has ended between being found and being asked: its successor is there.
                Err(_) => tokio::task::yield_now().await,
            }
        }
        Err(Close::new(close::BUSY, "the room cannot be opened now"))
    }

    /// How many rooms are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.lock().len()
    }

    /// Stops all rooms: what is on its way into the log is finished, then sessions are told to
    /// come back. Returns when all rooms have ended.
    pub async fn shut_down(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn get_or_start(self: &Arc<Self>, name: &RoomName) -> Arc<Shared> {
        let mut open = self.open.lock();
        if let Some(shared) = open.get(name) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(Shared::new(name.clone()));
        open.insert(name.clone(), Arc::clone(&shared));
        self.metrics.rooms_open.inc();
        self.tasks.spawn(Arc::clone(self).run(Arc::clone(&shared)));
        shared
    }

    /// Runs one room to its end. A panic in it ends its sessions, which come back to a fresh load.
    async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let actor = Box::pin(Actor::run(Arc::clone(&self), Arc::clone(&shared)));
        if AssertUnwindSafe(actor).catch_unwind().await.is_err() {
            self.metrics.rooms_failed.inc();
            tracing::error!(
                room = %shared.name.log_id(),
                "a room has failed and is loaded again when someone joins; please report the panic above"
            );
        }
        self.forget(&shared);
        shared.inflow.close();
        drop(shared.inbox.close());
        shared.ring.close(super::room_ended());
    }

    /// Takes a room off the list, unless another life of it stands there.
    pub(super) fn forget(&self, shared: &Arc<Shared>) {
        let mut open = self.open.lock();
        if open.get(&shared.name).is_some_and(|listed| Arc::ptr_eq(listed, shared)) {
            open.remove(&shared.name);
            give_back(&mut open);
            self.metrics.rooms_open.dec();
        }
    }

    /// Takes an idle room off the list, unless someone has asked to join meanwhile: joins that
    /// come later find no room and start one.
    pub(super) fn forget_if(&self, shared: &Arc<Shared>, still_idle: impl FnOnce() -> bool) -> bool {
        let mut open = self.open.lock();
        if !still_idle() {
            return false;
        }
        if open.get(&shared.name).is_some_and(|listed| Arc::ptr_eq(listed, shared)) {
            open.remove(&shared.name);
            give_back(&mut open);
            self.metrics.rooms_open.dec();
        }
        true
    }

    /// Counts loads, of all rooms together.
    pub(super) fn next_life(&self) -> u32 {
        self.lives.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn next_session(&self) -> SessionId {
        SessionId(self.sessions.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Lets go of the places of rooms that were open once. Seldom, so that it costs nothing per room.
fn give_back(open: &mut HashMap<RoomName, Arc<Shared>>) {
    if open.capacity() > 8 * open.len().max(64) {
        open.shrink_to(2 * open.len());
    }
}
