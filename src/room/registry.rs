//! All rooms that are open: one entry, one task, one load each.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::actor::Actor;
use super::drafts::Movers;
use super::inflow::Inflow;
use super::pace::Load;
use super::{Command, Entry, Member, Shared, outside};
use crate::edit::Trust;
use crate::history::{CompactError, Compacted, Compactor, Retention};
use crate::ids::{InstanceId, RoomName, SessionId};
use crate::kind::Boards;
use crate::life::{LifeOptions, Now, Sweeper};
use crate::limits::{INFLOW_UNITS_INSTANCE_MAX, ROOM_TTL_MS, STORE_PATIENCE_MS};
use crate::log::Log;
use crate::telemetry::Metrics;
use crate::throttle::{Limits, Throttle};
use crate::webhooks::Notices;
use crate::wire::close::{self, Close};

/// How rooms behave.
#[derive(Debug, Clone)]
pub struct RoomsOptions {
    /// How rooms end.
    pub life: LifeOptions,
    /// Which rooms are boards when they are made.
    pub boards: Boards,
    /// How long a room without sessions stays loaded.
    pub idle_unload: Duration,
    /// How long a room lives after its last edit and its last leave; `None`: for ever.
    pub ttl: Option<Duration>,
    /// How much of a room's past stays replayable record by record.
    pub retention: Retention,
    /// How long a room waits for a store that does not take its edits, before its people are asked to come
    /// back later.
    pub store_patience: Duration,
    /// How many sessions and new rooms there may be, and how large a document.
    pub limits: Limits,
    /// Who is told what happens.
    pub notices: Notices,
}

impl Default for RoomsOptions {
    fn default() -> Self {
        Self {
            life: LifeOptions::default(),
            boards: Boards::default(),
            idle_unload: Duration::from_secs(30),
            ttl: Some(Duration::from_millis(ROOM_TTL_MS)),
            retention: Retention::default(),
            store_patience: Duration::from_millis(STORE_PATIENCE_MS),
            limits: Limits::default(),
            notices: Notices::default(),
        }
    }
}

/// The open rooms of one instance.
pub struct Rooms {
    pub(super) listed: Mutex<Listed>,
    pub(crate) log: Arc<dyn Log>,
    pub(super) instance: InstanceId,
    pub(crate) options: RoomsOptions,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) throttle: Arc<Throttle>,
    compactor: Compactor,
    pub(super) movers: Movers,
    /// What all rooms together have to deliver.
    pub(super) load: Load,
    /// Whether edits on copies may still be tried.
    pub(super) trust: Mutex<Trust>,
    pub(crate) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    sessions: AtomicU64,
    lives: AtomicU32,
    /// What all rooms together may have on its way into the log.
    inflow: Arc<Semaphore>,
}

/// Who may be entered, and who may not.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) open: HashMap<RoomName, Arc<Shared>>,
    /// Rooms that are being removed. Joins wait until the token is cancelled.
    pub(super) reserved: HashMap<RoomName, CancellationToken>,
}

/// A list for this many rooms is kept when they have gone: a few KiB.
const ROOMS_LISTED_MIN: usize = 256;

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
        let compactor = Compactor::new(Arc::clone(&log), options.retention, Arc::clone(&metrics));
        let throttle = Throttle::new(options.limits, metrics.throttle.clone());
        Arc::new(Self {
            listed: Mutex::default(),
            throttle,
            compactor,
            movers: Movers::default(),
            load: Load::new(),
            trust: Mutex::default(),
            log,
            instance,
            options,
            metrics,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            sessions: AtomicU64::new(0),
            lives: AtomicU32::new(0),
            inflow: Arc::new(Semaphore::new(INFLOW_UNITS_INSTANCE_MAX as usize)),
        })
    }

    /// Enters a room, loading it if nobody is there.
    ///
    /// # Errors
    /// A close for the session, temporary: the room cannot be loaded now, there are too many already, or the
    /// server stops.
    pub async fn join(self: &Arc<Self>, name: &RoomName, entry: Entry) -> Result<Member, Close> {
        let pass = self.throttle.enter(entry.caller.user.as_ref(), name)?;
        let mut tries = 0;
        while tries < JOIN_TRIES {
            if self.stop.is_cancelled() {
                return Err(super::restarts());
            }
            let shared = match self.get_or_start(name) {
                Ok(shared) => shared,
                Err(removed) => {
                    removed.cancelled().await;
                    continue;
                }
            };
            tries += 1;
            let (reply, answer) = oneshot::channel();
            let _ = shared.inbox.send(Command::Join { entry: entry.clone(), reply });
            match answer.await {
                Ok(Ok(member)) => return Ok(member.with_pass(pass)),
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
        self.listed.lock().open.len()
    }

    /// Whether a room is open.
    #[must_use]
    pub fn is_open(&self, name: &RoomName) -> bool {
        self.listed.lock().open.contains_key(name)
    }

    /// How many sessions are in a room.
    #[must_use]
    pub fn sessions(&self, name: &RoomName) -> usize {
        self.listed.lock().open.get(name).map_or(0, |shared| shared.sessions.load(Ordering::Relaxed))
    }

    /// How much of a room is on its way into the log, in units of
    /// [`INFLOW_UNIT_BYTES`](crate::limits::INFLOW_UNIT_BYTES).
    #[must_use]
    pub fn inflow_units(&self, name: &RoomName) -> usize {
        self.listed.lock().open.get(name).map_or(0, |shared| shared.inflow.held())
    }

    /// What bounds those who come in.
    #[must_use]
    pub fn throttle(&self) -> &Arc<Throttle> {
        &self.throttle
    }

    /// What these rooms are counted in.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What time it is, by the clocks that rooms live by.
    #[must_use]
    pub fn now(&self) -> Now {
        self.options.life.clocks.now()
    }

    /// Starts the task that removes rooms whose time has passed. It ends with the rooms.
    pub fn start_sweeper(self: &Arc<Self>) {
        self.tasks.spawn(Sweeper::new(Arc::clone(self)).run());
    }

    /// Stops all rooms: what is on its way into the log is finished, then sessions are told to
    /// come back. Returns when all rooms have ended.
    pub async fn shut_down(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Has a room compacted, loaded or not, in a task of its own; it ends with the server. `None` comes
    /// back if that is under way already.
    pub fn compact(self: &Arc<Self>, room: &RoomName) -> JoinHandle<Option<Result<Compacted, CompactError>>> {
        let (rooms, room) = (Arc::clone(self), room.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = rooms.stop.cancelled() => None,
                done = rooms.compactor.compact(&room) => done,
            }
        })
    }

    /// The room, which is loaded if nobody is there; or, if it is being removed, what says when that
    /// is over.
    pub(super) fn get_or_start(self: &Arc<Self>, name: &RoomName) -> Result<Arc<Shared>, CancellationToken> {
        let mut listed = self.listed.lock();
        if let Some(removed) = listed.reserved.get(name) {
            return Err(removed.clone());
        }
        if let Some(shared) = listed.open.get(name) {
            return Ok(Arc::clone(shared));
        }
        let shared = Arc::new(Shared::new(name.clone(), Inflow::new(Arc::clone(&self.inflow))));
        listed.open.insert(name.clone(), Arc::clone(&shared));
        self.metrics.rooms_open.inc();
        self.tasks.spawn(Arc::clone(self).run(Arc::clone(&shared)));
        Ok(shared)
    }

    /// Runs one room to its end. A panic in it ends its sessions, which come back to a fresh load.
    async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let actor = Box::pin(Actor::run(Arc::clone(&self), Arc::clone(&shared)));
        let has_failed = AssertUnwindSafe(actor).catch_unwind().await.is_err();
        if has_failed {
            self.metrics.rooms_failed.inc();
            tracing::error!(
                room = %shared.name.log_id(),
                "a room has failed and is loaded again when someone joins; please report the panic above"
            );
        }
        self.forget(&shared);
        shared.inflow.close();
        let waiting = shared.inbox.close();
        if has_failed {
            outside::turn_away(waiting, "it has failed"); // the next one may at once
        } else {
            outside::let_go(waiting);
        }
        shared.ring.close(super::room_ended());
    }

    /// Takes a room off the list, unless another life of it stands there.
    pub(super) fn forget(&self, shared: &Arc<Shared>) {
        self.forget_if(shared, || true);
    }

    /// Takes an idle room off the list, unless someone has asked to join meanwhile: joins that
    /// come later find no room and start one.
    pub(super) fn forget_if(&self, shared: &Arc<Shared>, still_idle: impl FnOnce() -> bool) -> bool {
        let mut listed = self.listed.lock();
        if !still_idle() {
            return false;
        }
        if listed.open.get(&shared.name).is_some_and(|listed| Arc::ptr_eq(listed, shared)) {
            listed.open.remove(&shared.name);
            self.metrics.rooms_open.dec();
            let (len, capacity) = (listed.open.len(), listed.open.capacity());
            if capacity > ROOMS_LISTED_MIN && capacity > 8 * len {
                listed.open.shrink_to(2 * len);
            }
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
