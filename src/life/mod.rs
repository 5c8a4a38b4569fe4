//! The life of rooms: when one may go, and how it goes.
//!
//! A room's deadline is the later of its last edit and its last leave, plus `--room-ttl`. Each append
//! sets it; the room's task *touches* it while there are sessions and when the last one leaves. The
//! [`Sweeper`] looks for rooms whose deadline has passed; what goes is archived first, if the operator
//! wants that. `deadline` decides all of it (pure); the rest waits.
//!
//! Invariants:
//! - A room that is open here never expires, and nobody enters one while it is being removed: a
//!   join finds it whole or absent.
//! - A room goes only if its deadline is still the one that was found passed.
//! - While this process runs, no jump of the wall clock makes a room go earlier than `--room-ttl`
//!   after its last edit and leave, give or take a minute
//!   (`docs/decisions/0007-when-a-room-may-go.md`).
//! - What cannot be archived stays.

pub(crate) mod archive;
pub(crate) mod deadline;
mod sweeper;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::clock::{Clock, in_ms, system_clock};
use crate::limits::EXPIRY_GRACE_MS;
use crate::telemetry::counter;
pub use archive::{Archive, ArchiveError};
pub use deadline::Now;
pub use sweeper::{Sweeper, Swept};

/// How rooms end.
#[derive(Debug, Clone)]
pub struct LifeOptions {
    /// Where an export of what expires is kept.
    pub archive: Option<PathBuf>,
    /// No room expires for so long after the start.
    pub grace: Duration,
    /// What time it is.
    pub clocks: Clocks,
}

impl Default for LifeOptions {
    fn default() -> Self {
        Self { archive: None, grace: Duration::from_millis(EXPIRY_GRACE_MS), clocks: Clocks::system() }
    }
}

/// The two clocks that decisions on the life of rooms are made by.
#[derive(Clone)]
pub struct Clocks {
    /// Milliseconds since 1970: the clock of deadlines, which is the store's. It may jump.
    pub wall: Clock,
    /// Milliseconds since some moment of this process. It never jumps.
    pub steady: Clock,
}

impl Clocks {
    /// The clocks of this machine.
    #[must_use]
    pub fn system() -> Self {
        let began = Instant::now();
        let steady = Arc::new(move || in_ms(began.elapsed()));
        Self { wall: system_clock(), steady }
    }

    /// Both of them.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { wall_ms: (self.wall)(), steady_ms: (self.steady)() }
    }
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clocks({:?})", self.now())
    }
}

/// What is counted about the life of rooms.
pub struct Metrics {
    /// Rooms whose time had passed and that are gone.
    pub expired: Counter,
    /// Rooms that were deleted on request.
    pub deleted: Counter,
    /// Rooms that stay because their export cannot be written.
    pub archive_failures: Counter,
    /// Touches that the store refused.
    pub touch_failures: Counter,
    /// 1 while no room may expire because the clock has jumped.
    pub expiry_suspended: Gauge,
}

impl Metrics {
    /// All of them, under the names that operators see.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let mut counter = |name, help| counter(registry, name, help);
        let expired = counter("rooms_expired", "Rooms whose time had passed and that are gone");
        let deleted = counter("rooms_deleted", "Rooms that were deleted on request");
        let archive_failures =
            counter("archive_failures", "Rooms that could not go because their export could not be written");
        let touch_failures = counter("touch_failures", "Deadlines that the store did not move when asked");
        let expiry_suspended = Gauge::default();
        let help = "1 while no room may expire because the clock has jumped";
        registry.register("expiry_suspended", help, expiry_suspended.clone());
        Self { expired, deleted, archive_failures, touch_failures, expiry_suspended }
    }
}
