//! What a loaded room does for its log: it counts what stands behind the newest snapshot, and has
//! the room compacted when that is due.
//!
//! A compaction that fails is not tried again before as much again is new, and twice as much after
//! each further failure: a store that cannot take snapshots costs little.

use std::future::pending;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::registry::Rooms;
use crate::history::{CompactError, Compacted, Outcome, SetAside, Tail, WalkError};
use crate::ids::RoomName;
use crate::limits::DRAFT_COMPACT_TIMES;

/// How often the wait is doubled at most.
const DOUBLINGS_MAX: u32 = 10;

type Done = Option<Result<Compacted, CompactError>>;

/// See the module.
pub(super) struct Upkeep {
    /// Records and bytes of the room's whole log.
    log: Tail,
    /// The same when the newest snapshot was taken, or when one could not be taken.
    covered: Tail,
    failures: u32,
    /// So many times more must be new than in other rooms.
    times: u64,
    /// A record of this room cannot be folded: there is nothing to be done for it while it is loaded.
    stopped: bool,
    running: Option<JoinHandle<Done>>,
}

impl Upkeep {
    /// For a room whose log has this much, of which its newest snapshot covers so much.
    pub(super) fn new(log: Tail, covered: Tail) -> Self {
        Self { log, covered, failures: 0, times: 1, stopped: false, running: None }
    }

    /// A draft: to tell what its author has changed in a card that was moved, the records from then on are needed one by one.
    pub(super) fn keep_longer(self) -> Self {
        Self { times: DRAFT_COMPACT_TIMES, ..self }
    }

    /// Takes note of records that were appended, up to this counter.
    pub(super) fn note_appended(&mut self, last: u64, bytes: u64) {
        self.log.records = last;
        self.log.bytes += bytes;
    }

    /// Another instance compacts the room now: what is new counts from here.
    pub(super) fn leave_to_others(&mut self) {
        self.covered = self.log;
    }

    /// Has the room compacted if that is due.
    pub(super) fn start_if_due(&mut self, rooms: &Arc<Rooms>, room: &RoomName, document_bytes: usize) {
        if !self.rests() && self.tail().is_due(document_bytes) {
            self.running = Some(rooms.compact(room));
        }
    }

    /// Has the room compacted if it is worth a snapshot now that nobody is there.
    pub(super) fn start_if_worth_it(&mut self, rooms: &Arc<Rooms>, room: &RoomName) {
        if !self.rests() && self.failures == 0 && self.tail().is_worth_it() {
            self.running = Some(rooms.compact(room));
        }
    }

    /// Resolves when a compaction of this room has ended; never if none runs. Cancel-safe.
    pub(super) async fn done(&mut self) -> Done {
        let Some(running) = &mut self.running else { return pending().await };
        let done = running.await;
        self.running = None;
        done.unwrap_or_else(|error| Some(Err(WalkError::Stopped(error.to_string()).into())))
    }

    /// Takes note of how a compaction has ended. Returns a record that stops all further ones, once.
    pub(super) fn note_done(&mut self, done: Done) -> Option<SetAside> {
        let now = self.log;
        match done {
            Some(Ok(Compacted { outcome, stopped, .. })) => {
                self.failures = 0;
                self.covered = match outcome {
                    Outcome::Written(written) => {
                        Tail { records: written.through.seq, bytes: written.log_bytes }
                    }
                    _ => now,
                };
                if let Some(record) = stopped {
                    self.stopped = true;
                    return Some(record);
                }
            }
            Some(Err(_)) => {
                self.covered = now;
                self.failures = (self.failures + 1).min(DOUBLINGS_MAX);
            }
            // Another life of this room had begun one, which covers about the same.
            None => self.covered = now,
        }
        None
    }

    /// What counts as new: halved with each failure.
    fn tail(&self) -> Tail {
        let Tail { records, bytes } = self.log.since(self.covered);
        let of = |count: u64| (count / self.times) >> self.failures;
        Tail { records: of(records), bytes: of(bytes) }
    }

    fn rests(&self) -> bool {
        self.stopped || self.running.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Written;
    use crate::ids::Position;

    fn due(upkeep: &Upkeep) -> bool {
        !upkeep.rests() && upkeep.tail().is_due(0)
    }

    fn written(through: u64, log_bytes: u64) -> Done {
        let through = Position { seq: through, ms: 0 };
        let written = Written { revision: 1, through, bytes: 1, log_bytes, trimmed: Ok(0) };
        Some(Ok(Compacted { outcome: Outcome::Written(written), stopped: None, damaged: Vec::new() }))
    }

    /// [H7] What came while a snapshot was written counts for the next one.
    #[test]
    fn a_snapshot_covers_what_it_says() {
        let mut upkeep = Upkeep::new(Tail { records: 1_500, bytes: 60_000 }, Tail::default());
        assert!(due(&upkeep));
        upkeep.note_appended(1_800, 12_000);
        assert_eq!(upkeep.note_done(written(1_500, 60_000)), None);
        assert!(!due(&upkeep));
        upkeep.note_appended(2_500, 28_000);
        assert!(due(&upkeep), "1,000 records stand behind the snapshot");
    }

    /// [B71] A draft is compacted later: what was changed in cards that were moved is told by its records.
    #[test]
    fn a_draft_keeps_its_records_longer() {
        let mut upkeep = Upkeep::new(Tail::default(), Tail::default()).keep_longer();
        upkeep.note_appended(15_999, 0);
        assert!(!due(&upkeep) && Upkeep::new(upkeep.log, Tail::default()).tail().is_due(0));
        upkeep.note_appended(16_000, 0);
        assert!(due(&upkeep));
    }

    /// [H8] A failure is not tried again before as much again is new, then twice as much.
    #[test]
    fn failures_are_not_tried_again_at_once() {
        let mut upkeep = Upkeep::new(Tail { records: 1_000, bytes: 0 }, Tail::default());
        let mut waits = Vec::new();
        for _ in 0..4 {
            let before = upkeep.log.records;
            while !due(&upkeep) {
                upkeep.note_appended(upkeep.log.records + 100, 0);
            }
            waits.push(upkeep.log.records - before);
            upkeep.note_done(Some(Err(WalkError::Overtaken.into())));
        }
        assert_eq!(waits, [0, 2_000, 4_000, 8_000]);
        upkeep.note_done(written(upkeep.log.records, 0));
        upkeep.note_appended(upkeep.log.records + 1_000, 0);
        assert!(due(&upkeep), "a success forgives");
    }

    /// [H5] A record that cannot be folded is told once, and the room rests.
    #[test]
    fn a_record_that_stops_compaction_is_told_once() {
        let mut upkeep = Upkeep::new(Tail { records: 5_000, bytes: 0 }, Tail::default());
        let record = SetAside { position: Position { seq: 9, ms: 0 }, why: "it is damaged".to_owned() };
        let stopped = Some(record.clone());
        let done = Some(Ok(Compacted { outcome: Outcome::Nothing, stopped, damaged: Vec::new() }));
        assert_eq!(upkeep.note_done(done), Some(record));
        upkeep.note_appended(100_000, 0);
        assert!(!due(&upkeep));
    }
}
