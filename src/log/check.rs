//! What every log asks before it does what it is told, so that all of them answer alike.
//!
//! Pure: no store, no clock.

use bytes::Bytes;

use super::bus::{Epoch, Seen};
use super::record::{Record, StoredRecord};
use super::{Adopted, Adoption, Batch, Expects, Head, LogError, SnapshotRef};
use crate::ids::Position;
use crate::limits::{
    BATCH_UPDATES_MAX, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNKS_MAX, SNAPSHOTS_PER_ROOM_MAX, UPLOAD_MS_MAX,
};

/// What every log asks of a room before it stores a new batch in it. `head`: how far the room's log goes;
/// [`Position::START`] if the room is absent. `stands`: whether the record that was seen last is in it, where that is not the
/// newest one.
pub(super) fn check_expects(
    batch: &Batch,
    head: Seen,
    deleted: bool,
    stands: impl FnOnce(Position) -> bool,
) -> Result<(), LogError> {
    let last = head.last.seq;
    match batch.expects {
        Expects::Present if last == 0 => Err(LogError::Moved("it does not exist any more".to_owned())),
        // What heals a room was judged by the tombstone that it began with.
        Expects::At(_) if deleted && !batch.heals => Err(LogError::Moved("it was deleted".to_owned())),
        Expects::At(at) if at != last => {
            Err(LogError::Moved(format!("its newest record is {last}, not {at}")))
        }
        Expects::Last(at) if at != last => {
            Err(LogError::Moved(format!("it ends at #{last}, not at #{at} as was expected")))
        }
        Expects::Anything | Expects::Present | Expects::At(_) | Expects::Last(_) => {
            check_seen(batch.seen, head, stands)
        }
    }
}

/// For a store that only one process writes to, and that loses nothing: what was seen stands.
pub(super) const ONE_WRITES: fn(Position) -> bool = |_| true;

fn check_seen(seen: Seen, head: Seen, stands: impl FnOnce(Position) -> bool) -> Result<(), LogError> {
    if seen.epoch != Epoch::NONE && seen.epoch != head.epoch {
        return Err(LogError::Moved("the store had lost a part of it, and that was healed".to_owned()));
    }
    if head.last.seq < seen.last.seq || head.last.seq == seen.last.seq && head.last != seen.last {
        let (has, had) = (head.last, seen.last);
        return Err(LogError::Moved(format!(
            "the store has lost a part of it: it ends at {has}, and {had} was seen"
        )));
    }
    if seen.last != Position::START && seen.last.seq < head.last.seq && !stands(seen.last) {
        let had = seen.last;
        return Err(LogError::Moved(format!(
            "there is no record {had} in it, which was seen, but later ones"
        )));
    }
    Ok(())
}

/// What every log asks of a piece of a snapshot before it touches anything.
pub(super) fn check_chunk(index: u32, bytes: &Bytes) -> Result<(), LogError> {
    if bytes.len() > SNAPSHOT_CHUNK_BYTES {
        return Err(LogError::Fatal(format!("a chunk has at most {SNAPSHOT_CHUNK_BYTES} bytes")));
    }
    if index >= SNAPSHOT_CHUNKS_MAX {
        return Err(LogError::Fatal(format!("a snapshot has at most {SNAPSHOT_CHUNKS_MAX} chunks")));
    }
    Ok(())
}

/// What an upload that is not adopted has so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Uploaded {
    /// How many chunks.
    pub(super) chunks: u32,
    /// One more than the highest number of a chunk.
    pub(super) end: u32,
    /// Bytes of all chunks.
    pub(super) bytes: u64,
}

/// What every log asks of an adoption, once the revision is right. `upload`: `None` if it is not there. `stands`: where the
/// record with the counter of [`Adoption::through`] stands, if it is there.
pub(super) fn check_adoption(
    adoption: &Adoption,
    head: &Head,
    upload: Option<Uploaded>,
    stands: Option<Position>,
) -> Result<(), LogError> {
    let (chunks, bytes) = (adoption.chunks, adoption.bytes);
    if chunks == 0 || upload != Some(Uploaded { chunks, end: chunks, bytes }) {
        return Err(LogError::Fatal("the snapshot's chunks are not what was said".to_owned()));
    }
    let covered = head.snapshots.last().map(|snapshot| snapshot.through);
    let newest = covered.map_or(0, |through| through.seq);
    let (through, last) = (adoption.through.seq, head.last.seq);
    if !(newest.max(1)..=last).contains(&through) {
        let why = format!("a snapshot through record {through} is not between {newest} and {last}");
        return Err(LogError::Fatal(why));
    }
    // It was folded from a log that is no more: of another life of the room, or lost since.
    if ![covered, stands].contains(&Some(adoption.through)) {
        return Err(LogError::Moved(format!("there is no record {} in it", adoption.through)));
    }
    if kept_snapshots(head, &adoption.drop).len() >= SNAPSHOTS_PER_ROOM_MAX {
        return Err(LogError::Fatal(format!("a room has at most {SNAPSHOTS_PER_ROOM_MAX} snapshots")));
    }
    Ok(())
}

/// The answer to an adoption that was done before, if its snapshot is still there.
pub(super) fn adopted_before(adoption: &Adoption, snapshots: &[SnapshotRef]) -> Option<Adopted> {
    let found = snapshots.iter().find(|snapshot| snapshot.upload == adoption.upload);
    found.map(|snapshot| Adopted::Done(snapshot.revision))
}

/// Whether an upload that is not adopted is gone, so long after its last chunk.
pub(super) fn is_upload_gone(touched_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(touched_ms) >= UPLOAD_MS_MAX
}

/// Which snapshots stay when `adoption` comes: see [`super::Log::adopt`].
pub(super) fn kept_snapshots(head: &Head, drop: &[u64]) -> Vec<SnapshotRef> {
    let mut kept: Vec<SnapshotRef> = Vec::with_capacity(head.snapshots.len() + 1);
    let newest = head.snapshots.last().map(|snapshot| snapshot.revision);
    kept.extend(
        head.snapshots
            .iter()
            .filter(|snapshot| Some(snapshot.revision) == newest || !drop.contains(&snapshot.revision)),
    );
    kept
}

/// What every log asks of a batch before it touches anything: a violation is the caller's bug.
pub(super) fn check_batch(batch: &Batch) -> Result<(), LogError> {
    let refuse = |why: String| Err(LogError::Fatal(why));
    if batch.number == 0 {
        return refuse("batches are counted from 1".to_owned());
    }
    if batch.records.is_empty() || batch.records.len() > BATCH_UPDATES_MAX {
        return refuse(format!("a batch has 1 to {BATCH_UPDATES_MAX} records, not {}", batch.records.len()));
    }
    for record in std::iter::once(&batch.genesis).chain(&batch.records) {
        // What cannot be read back must not be acknowledged.
        Record::decode(record.encoded.clone()).map_err(|error| LogError::Fatal(error.to_string()))?;
    }
    Ok(())
}

/// A batch came whose number is not above the last one that its instance stored in this room: it
/// may be that one again, but nothing older.
pub(super) fn check_repeated(stored: u64, asked: u64) -> Result<(), LogError> {
    if stored == asked {
        return Ok(());
    }
    Err(LogError::Fatal(format!("batch {asked} comes after batch {stored} of the same instance")))
}

/// Judges one stored record: damage is an answer, a record of a newer ruang is the end of reading.
pub(super) fn judge(position: Position, bytes: Bytes) -> Result<StoredRecord, LogError> {
    StoredRecord::judge(position, bytes)
        .map_err(|newer| LogError::Fatal(format!("the room cannot be read from {position} on: {newer}")))
}
