//! Reads the log behind what a room has seen of it, and sees whether that is still there.

use crate::ids::{Position, RoomName};
use crate::limits::REPLAY_PAGE_RECORDS;
use crate::log::bus::{Epoch, Seen};
use crate::log::record::StoredRecord;
use crate::log::{Head, Log, LogError};

/// What there is in the log behind what is seen.
#[derive(Debug)]
pub(super) enum ReadOn {
    Records {
        records: Vec<StoredRecord>,
        epoch: Epoch,
        more: bool,
    },
    /// What was seen is not there any more.
    Lost(&'static str),
    /// The next records are gone into a snapshot.
    Trimmed,
}

/// Whether this is the record that was seen there.
pub(super) fn is_same(stored: Option<&StoredRecord>, seen: Position) -> bool {
    match stored {
        Some(StoredRecord::Intact { position, .. }) => *position == seen,
        // Of what is missing nobody knows the time.
        Some(StoredRecord::Damaged { position, .. }) => position.seq == seen.seq,
        None => false,
    }
}

/// Whether the record that was seen is the one that a snapshot covers last, which says so also where it is trimmed. `None`: no
/// snapshot tells.
pub(super) fn is_covered(head: &Head, seen: Position) -> Option<bool> {
    let there = head.snapshots.iter().find(|snapshot| snapshot.through.seq == seen.seq);
    there.map(|snapshot| snapshot.through == seen)
}

/// What of a page is not known: some of it may have been stored from here while it was read. `None`: another record stands
/// where the newest one was that is known, so the page is of a log that has fallen back meanwhile.
pub(super) fn not_known(mut page: Vec<StoredRecord>, known: Position) -> Option<Vec<StoredRecord>> {
    let count = page.partition_point(|stored| stored.position().seq <= known.seq);
    let ends_as_known = page[..count].last().is_none_or(|last| {
        // It may have been read before the newest ones were stored.
        last.position().seq < known.seq || is_same(Some(last), known)
    });
    ends_as_known.then(|| page.split_off(count))
}

/// Reads the log behind what is seen, and sees whether that is still there.
pub(super) async fn read_on(log: &dyn Log, room: &RoomName, seen: Seen) -> Result<ReadOn, LogError> {
    let Some(head) = log.open(room).await? else {
        return Ok(if seen == Seen::default() {
            ReadOn::Records { records: Vec::new(), epoch: Epoch::NONE, more: false }
        } else {
            ReadOn::Lost("the room is not in the store any more")
        });
    };
    if seen.epoch != Epoch::NONE && seen.epoch != head.epoch {
        return Ok(ReadOn::Lost("the store had lost a part of the room, and that was healed"));
    }
    if head.last.seq < seen.last.seq {
        return Ok(ReadOn::Lost("the store has lost the newest records of the room"));
    }
    // One record again, to see that it is the same.
    let mut records = log.read(room, seen.last.seq.saturating_sub(1), REPLAY_PAGE_RECORDS).await?;
    if seen.last != Position::START && head.base < seen.last.seq {
        if !is_same(records.first(), seen.last) {
            return Ok(ReadOn::Lost("the newest record that was seen is another one now"));
        }
        records.remove(0);
        if records.is_empty() && seen.last.seq < head.last.seq {
            // It has as many bytes as a page may have.
            records = log.read(room, seen.last.seq, REPLAY_PAGE_RECORDS).await?;
            let again = log.read(room, seen.last.seq - 1, 1).await?;
            match again.first() {
                Some(stored) if stored.position().seq == seen.last.seq => {
                    if !is_same(Some(stored), seen.last) {
                        return Ok(ReadOn::Lost("the newest record that was seen is another one now"));
                    }
                }
                _ => return Ok(ReadOn::Trimmed),
            }
        }
    } else if seen.last != Position::START && seen.epoch != Epoch::NONE && head.base == seen.last.seq {
        match is_covered(&head, seen.last) {
            Some(true) => {}
            Some(false) => return Ok(ReadOn::Lost("another record was trimmed than was seen there")),
            None => return Ok(ReadOn::Trimmed), // nobody can tell
        }
    }
    records.retain(|stored| stored.position().seq > seen.last.seq);
    if records.first().is_some_and(|stored| stored.position().seq != seen.last.seq + 1) {
        return Ok(ReadOn::Trimmed);
    }
    let last = records.last().map_or(seen.last, StoredRecord::position);
    Ok(ReadOn::Records { records, epoch: head.epoch, more: last.seq < head.last.seq })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Generation, InstanceId};
    use crate::log::record::RoomKind;
    use crate::log::{SnapshotRef, UploadId};
    use crate::room::load::genesis_record;

    fn at(seq: u64, ms: u64) -> Position {
        Position { seq, ms }
    }

    fn page(positions: &[Position]) -> Vec<StoredRecord> {
        let room = "r".parse().expect("a name");
        let record = genesis_record(&room, Generation { nonce: 7 }, InstanceId(1), RoomKind::Free);
        let record = record.expect("a record");
        let intact =
            |position: &Position| StoredRecord::Intact { position: *position, record: record.clone() };
        positions.iter().map(intact).collect()
    }

    /// [R28, R30] Of a page only what is not known is taken, and nothing if it is of another log than what is known.
    #[test]
    fn a_page_goes_on_where_the_known_ends() {
        let seqs = |rest: Vec<StoredRecord>| -> Vec<u64> {
            rest.iter().map(|stored| stored.position().seq).collect()
        };
        let left = |known, positions: &[Position]| not_known(page(positions), known).map(seqs);
        assert_eq!(left(at(5, 1), &[at(6, 1), at(7, 2)]), Some(vec![6, 7]));
        assert_eq!(left(at(6, 1), &[at(6, 1), at(7, 2)]), Some(vec![7]), "stored from here meanwhile");
        assert_eq!(left(at(6, 2), &[at(6, 1), at(7, 2)]), None, "lost, and written over by others");
        assert_eq!(left(at(9, 3), &[at(6, 1), at(7, 2)]), Some(vec![]), "it is older than what is known");
        assert_eq!(left(at(5, 1), &[]), Some(vec![]));
    }

    /// [R28, R30] A record that is trimmed is known by the snapshot that covers it last, if there is one.
    #[test]
    fn a_trimmed_record_is_known_by_its_snapshot() {
        let snapshot = SnapshotRef {
            revision: 1,
            upload: UploadId(1),
            through: at(9, 4),
            chunks: 1,
            bytes: 1,
            log_bytes: 1,
        };
        let head = Head {
            last: at(10, 5),
            epoch: Epoch(1),
            base: 9,
            bytes: 1,
            snapshots: vec![snapshot],
            revision: 1,
            deadline_ms: None,
            frozen: false,
        };
        assert_eq!(is_covered(&head, at(9, 4)), Some(true));
        assert_eq!(is_covered(&head, at(9, 3)), Some(false), "it was lost, and another one stands there");
        assert_eq!(is_covered(&head, at(8, 3)), None);
    }
}
