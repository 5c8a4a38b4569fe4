//! The compactions of one instance: one per room, a few at once, counted and reported.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::compact::{CompactError, Compacted, Outcome, Written, compact};
use super::plan::Retention;
use crate::ids::RoomName;
use crate::limits::COMPACTIONS_MAX;
use crate::log::Log;
use crate::telemetry::Metrics;

/// See the module.
pub struct Compactor {
    log: Arc<dyn Log>,
    retention: Retention,
    metrics: Arc<Metrics>,
    /// Rooms that are compacted now, or wait for it.
    rooms: Mutex<HashSet<RoomName>>,
    permits: Semaphore,
}

impl Compactor {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, retention: Retention, metrics: Arc<Metrics>) -> Self {
        Self { log, retention, metrics, rooms: Mutex::default(), permits: Semaphore::new(COMPACTIONS_MAX) }
    }

    /// Compacts a room when its turn comes; `None` if it is under way or waits already. Dropping the
    /// future stops it, which is safe at any moment.
    ///
    /// # Errors
    /// As [`compact`]. It is reported here; who calls only has to know that there is no snapshot now.
    pub async fn compact(&self, room: &RoomName) -> Option<Result<Compacted, CompactError>> {
        let _turn = Turn::of(&self.rooms, room)?;
        // Nobody closes the semaphore.
        let _permit = self.permits.acquire().await.ok()?;
        let began = Instant::now();
        let done = compact(&self.log, room, self.retention).await;
        self.metrics.compaction_seconds.inc_by(began.elapsed().as_secs_f64());
        self.report(room, &done, began);
        Some(done)
    }

    fn report(&self, room: &RoomName, done: &Result<Compacted, CompactError>, began: Instant) {
        let (room, took) = (room.log_id(), began.elapsed());
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                self.metrics.snapshots_failed.inc();
                tracing::warn!(
                    %room, %error, ?took,
                    "no snapshot of a room could be written; nothing is lost, its log stays longer, and it is tried again later"
                );
                return;
            }
        };
        for snapshot in &done.damaged {
            tracing::warn!(
                %room, revision = snapshot.revision, through = %snapshot.through, why = snapshot.why,
                "a damaged snapshot is not used any more"
            );
        }
        if let Outcome::Written(written) = &done.outcome {
            let Written { revision, through, bytes, log_bytes, trimmed } = written;
            self.metrics.snapshots_written.inc();
            self.metrics.snapshot_bytes.inc_by(*bytes);
            match trimmed {
                Ok(trimmed) => {
                    self.metrics.records_trimmed.inc_by(*trimmed);
                    tracing::debug!(%room, revision, %through, bytes, log_bytes, trimmed, ?took, "snapshot written");
                }
                Err(error) => tracing::warn!(
                    %room, revision, %through, %error,
                    "a snapshot is written, but the records before it could not be trimmed; it is tried again with the next one"
                ),
            }
        }
    }
}

/// A room's entry in the set of those that are compacted.
struct Turn<'a> {
    rooms: &'a Mutex<HashSet<RoomName>>,
    room: RoomName,
}

impl<'a> Turn<'a> {
    fn of(rooms: &'a Mutex<HashSet<RoomName>>, room: &RoomName) -> Option<Self> {
        rooms.lock().insert(room.clone()).then(|| Self { rooms, room: room.clone() })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.rooms.lock().remove(&self.room);
    }
}
