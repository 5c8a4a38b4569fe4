//! When a room is compacted, which snapshots stay, and what is trimmed. Pure.
//!
//! Ages are measured between records, by the positions that the store gave them, never against a
//! clock: so no clock, however wrong, makes anything go that a verified snapshot does not cover.

use crate::ids::Position;
use crate::limits::{
    COMPACT_BYTES, COMPACT_QUIET_BYTES, COMPACT_QUIET_RECORDS, COMPACT_RECORDS, COMPACT_SHARE,
    LOG_RETENTION_BYTES, LOG_RETENTION_MS, SNAPSHOTS_KEPT_MAX,
};
use crate::log::{Head, SnapshotRef};

/// How much of a room's past stays replayable, record by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Records that are older than this, in ms, may be trimmed …
    pub age_ms: u64,
    /// … and records behind which more bytes than this follow.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age_ms: LOG_RETENTION_MS, bytes: LOG_RETENTION_BYTES }
    }
}

/// What a room's log has behind its newest snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tail {
    /// All that a room's log ever had.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self { records: head.last.seq, bytes: head.bytes }
    }

    /// What a snapshot covers of that.
    #[must_use]
    pub fn covered_by(snapshot: &SnapshotRef) -> Self {
        Self { records: snapshot.through.seq, bytes: snapshot.log_bytes }
    }

    /// Whether a room in use is to be compacted now. The larger the document, the more must be new:
    /// a snapshot costs as much as loading and writing all of it.
    #[must_use]
    pub fn is_due(self, document_bytes: usize) -> bool {
        let share = document_bytes as u64 / COMPACT_SHARE;
        self.records >= COMPACT_RECORDS.max(share / RECORD_BYTES_USUAL)
            || self.bytes >= COMPACT_BYTES.max(share)
    }

    /// Whether a room that has become quiet is worth a snapshot.
    #[must_use]
    pub fn is_worth_it(self) -> bool {
        self.records >= COMPACT_QUIET_RECORDS || self.bytes >= COMPACT_QUIET_BYTES
    }

    /// What is here beyond `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            records: self.records.saturating_sub(earlier.records),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// Bytes of a small update with its metadata: what makes a share of bytes a number of records.
const RECORD_BYTES_USUAL: u64 = 64;

/// What to do with a room's snapshots and records when a new snapshot comes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// Revisions of snapshots to let go.
    pub(super) drop: Vec<u64>,
    /// The snapshot that becomes the base of the tail: what it covers is trimmed. `None`: nothing is
    /// trimmed now.
    pub(super) base: Option<SnapshotRef>,
}

/// Plans for a snapshot through `new`. `unusable` are revisions of snapshots that are damaged: they
/// go, and none of them becomes the base.
#[must_use]
pub(super) fn plan(head: &Head, new: Position, retention: Retention, unusable: &[u64]) -> Plan {
    let is_sound = |snapshot: &&SnapshotRef| !unusable.contains(&snapshot.revision);
    let is_old = |snapshot: &&SnapshotRef| {
        head.last.ms.saturating_sub(snapshot.through.ms) >= retention.age_ms
            || head.bytes.saturating_sub(snapshot.log_bytes) >= retention.bytes
    };
    let base = head.snapshots.iter().filter(is_sound).rfind(is_old).copied();
    let floor = base.map_or(0, |base| base.through.seq);
    let (mut kept, gone): (Vec<&SnapshotRef>, Vec<&SnapshotRef>) =
        head.snapshots.iter().partition(|snapshot| is_sound(snapshot) && snapshot.through.seq >= floor);
    let mut drop: Vec<u64> = gone.iter().map(|snapshot| snapshot.revision).collect();
    while kept.len() >= SNAPSHOTS_KEPT_MAX {
        let Some(densest) = densest(&kept, new.seq) else { break };
        drop.push(kept.remove(densest).revision);
    }
    Plan { drop, base: base.filter(|base| base.through.seq > head.base) }
}

/// The snapshot whose going leaves the smallest hole for its age: so the old ones stand further
/// apart. Never the oldest, which is the base of the tail, nor the newest.
fn densest(kept: &[&SnapshotRef], new: u64) -> Option<usize> {
    let hole = |at: usize| kept[at + 1].through.seq - kept[at - 1].through.seq;
    let age = |at: usize| new.saturating_sub(kept[at].through.seq) + 1;
    (1..kept.len().saturating_sub(1)).min_by(|&a, &b| {
        // hole(a) / age(a) against hole(b) / age(b)
        let (a, b) = (u128::from(hole(a)) * u128::from(age(b)), u128::from(hole(b)) * u128::from(age(a)));
        a.cmp(&b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::UploadId;

    const HOUR: u64 = 3_600_000;

    fn snapshot(revision: u64, seq: u64, ms: u64, log_bytes: u64) -> SnapshotRef {
        let through = Position { seq, ms };
        SnapshotRef { revision, upload: UploadId(revision), through, log_bytes, chunks: 1, bytes: 1 }
    }

    fn head(last: Position, bytes: u64, snapshots: Vec<SnapshotRef>) -> Head {
        let revision = snapshots.last().map_or(0, |snapshot| snapshot.revision);
        Head {
            last,
            epoch: crate::log::bus::Epoch::NONE,
            base: 0,
            bytes,
            snapshots,
            revision,
            deadline_ms: None,
            frozen: false,
        }
    }

    /// [H7] A thousand records or a mebibyte make a room due; in a large document it takes more.
    #[test]
    fn rooms_are_due_by_records_and_bytes() {
        let due = |records, bytes, document| Tail { records, bytes }.is_due(document);
        assert!(!due(999, (1 << 20) - 1, 0) && due(1_000, 0, 0) && due(0, 1 << 20, 0));
        assert!(due(1_000, 0, 200 << 10), "a usual board");
        assert!(!due(1_000, 40_000, 10 << 20) && due(1_000, 3 << 20, 10 << 20) && due(50_000, 0, 10 << 20));
        let worth = |records, bytes| Tail { records, bytes }.is_worth_it();
        assert!(!worth(1, 100) && worth(COMPACT_QUIET_RECORDS, 0) && worth(1, COMPACT_QUIET_BYTES));
    }

    /// [H6] Nothing is trimmed that is younger than the retention, by time or by bytes, and nothing but
    /// what a sound snapshot covers.
    #[test]
    fn the_base_is_the_newest_snapshot_that_is_old_enough() {
        let snapshots =
            vec![snapshot(1, 10, HOUR, 100), snapshot(2, 20, 2 * HOUR, 200), snapshot(3, 30, 26 * HOUR, 300)];
        let head = head(Position { seq: 40, ms: 27 * HOUR }, 400, snapshots);
        let day = Retention { age_ms: 24 * HOUR, bytes: 1_000 };
        let base = |retention, unusable: &[u64]| {
            let plan = plan(&head, head.last, retention, unusable);
            (plan.base.map(|base| base.revision), plan.drop)
        };
        assert_eq!(base(day, &[]), (Some(2), vec![1]));
        assert_eq!(base(day, &[2]), (Some(1), vec![2]), "a damaged snapshot is no base");
        assert_eq!(base(Retention { age_ms: 30 * HOUR, bytes: 1_000 }, &[]), (None, vec![]));
        assert_eq!(base(Retention { age_ms: 30 * HOUR, bytes: 250 }, &[]), (Some(1), vec![]));
        assert_eq!(base(Retention { age_ms: 0, bytes: 0 }, &[]), (Some(3), vec![1, 2]));
        assert_eq!(base(Retention { age_ms: 0, bytes: 0 }, &[1, 2, 3]), (None, vec![1, 2, 3]));
    }

    /// [H6] What is trimmed already is not planned again.
    #[test]
    fn a_base_that_stands_is_no_news() {
        let mut head = head(Position { seq: 40, ms: 0 }, 400, vec![snapshot(1, 10, 0, 100)]);
        head.base = 10;
        assert_eq!(plan(&head, head.last, Retention { age_ms: 0, bytes: 0 }, &[]), Plan::default());
    }

    /// [H6] However many snapshots are taken, at most eight stay; the oldest and the newest two do, and
    /// the holes between them grow with age.
    #[test]
    fn snapshots_are_thinned_by_age() {
        let mut snapshots: Vec<SnapshotRef> = Vec::new();
        for n in 1..=300 {
            let new = snapshot(n, n * 1_000, 0, n);
            let head = head(new.through, n, snapshots.clone());
            let plan = plan(&head, new.through, Retention::default(), &[]);
            assert_eq!(plan.base, None);
            snapshots.retain(|kept| !plan.drop.contains(&kept.revision));
            snapshots.push(new);
            assert!(snapshots.len() <= SNAPSHOTS_KEPT_MAX);
            assert_eq!(snapshots[0].revision, 1, "the base of the tail stays");
        }
        let revisions: Vec<u64> = snapshots.iter().map(|kept| kept.revision).collect();
        println!("kept of 300: {revisions:?}");
        assert_eq!(revisions[6..], [299, 300]);
        assert!(revisions[1] < 220 && revisions[3] < 290, "old ones stand further apart: {revisions:?}");
    }
}
