//! One instance: real rooms on a runtime of their own, whose time stands still unless the simulation moves it.
//! Dropping the runtime is the crash: whatever was under way ends where it stood.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ruang::clock::Clock;
use ruang::history::Retention;
use ruang::ids::{InstanceId, RoomName};
use ruang::life::{Clocks, LifeOptions};
use ruang::log::Log;
use ruang::room::{Rooms, RoomsOptions};
use ruang::telemetry::Metrics;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::door::Door;
use crate::link::{Link, serve};
use crate::store::Store;

/// See the module.
pub struct Instance {
    pub id: InstanceId,
    pub rooms: Arc<Rooms>,
    pub metrics: Arc<Metrics>,
    runtime: Runtime,
    /// The process is stopped, and time goes by.
    pub is_paused: bool,
    owed: Duration,
    stopping: Option<JoinHandle<()>>,
}

impl Instance {
    /// `clock_ms`: the store's.
    pub fn start(id: InstanceId, store: &Arc<Store>, clock_ms: Arc<AtomicU64>) -> Self {
        // One thread for heavy jobs: they end in the order in which they were given.
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).max_blocking_threads(1).build();
        let runtime = runtime.expect("a runtime");
        let metrics = Arc::new(Metrics::new());
        let log: Arc<dyn Log> = Arc::new(Door { store: Arc::clone(store), instance: id });
        let rooms = {
            let _inside = runtime.enter();
            let retention = Retention { age_ms: 0, bytes: 0 };
            let idle_unload = Duration::from_millis(300);
            let wall: Clock = Arc::new(move || clock_ms.load(Ordering::Relaxed));
            let clocks = Clocks { wall, ..Clocks::system() };
            let life = LifeOptions { clocks, ..LifeOptions::default() };
            let options = RoomsOptions { life, idle_unload, retention, ..RoomsOptions::default() };
            Rooms::new(log, id, options, Arc::clone(&metrics))
        };
        Self { id, rooms, metrics, runtime, is_paused: false, owed: Duration::ZERO, stopping: None }
    }

    /// Lets time pass, and everything happen that can.
    pub fn drive(&mut self, time: Duration) {
        self.owed += time;
        if !self.is_paused {
            let time = std::mem::take(&mut self.owed);
            self.runtime.block_on(async { sleep(time).await });
        }
    }

    pub fn connect(&self, room: &RoomName) -> Arc<Link> {
        let link = Arc::<Link>::default();
        self.runtime.spawn(serve(Arc::clone(&self.rooms), room.clone(), Arc::clone(&link)));
        link
    }

    pub fn compact(&self, room: &RoomName) {
        let _inside = self.runtime.enter();
        drop(self.rooms.compact(room));
    }

    /// Begins to end well.
    pub fn stop(&mut self) {
        let rooms = Arc::clone(&self.rooms);
        self.stopping.get_or_insert_with(|| self.runtime.spawn(async move { rooms.shut_down().await }));
    }

    pub fn has_stopped(&self) -> bool {
        self.stopping.as_ref().is_some_and(JoinHandle::is_finished)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }
}
