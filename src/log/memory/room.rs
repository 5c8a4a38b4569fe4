//! One room of the log in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::ids::{InstanceId, Position};
use crate::log::bus::{Epoch, Seen, Stored};
use crate::log::check::{
    Uploaded, adopted_before, check_adoption, check_chunk, check_repeated, is_upload_gone, judge,
    kept_snapshots,
};
use crate::log::record::StoredRecord;
use crate::log::{Adopted, Adoption, Appended, Batch, Head, LogError, SnapshotRef, UploadId};

/// A room. It exists from its genesis record on.
#[derive(Default)]
pub(super) struct Room {
    /// The record of counter n stands at n - 1 - `base`.
    records: Vec<(Position, Bytes)>,
    /// Records up to this counter are trimmed.
    base: u64,
    /// Of the newest record ever appended.
    last: Position,
    /// Drawn when the room is made, and when it is healed.
    epoch: Epoch,
    /// Of all records ever appended.
    bytes: u64,
    /// The last batch of each instance, for retries. Instances are few: this log ends with its
    /// process.
    batches: HashMap<InstanceId, LastBatch>,
    revision: u64,
    /// Oldest first.
    snapshots: Vec<SnapshotRef>,
    uploads: HashMap<UploadId, Upload>,
    deadline_ms: Option<u64>,
    pub(super) frozen: bool,
}

/// What an append is answered with when it is repeated.
struct LastBatch {
    number: u64,
    first: Position,
    last: Position,
    created: Option<StoredRecord>,
}

/// The chunks of a snapshot, adopted or not.
#[derive(Default)]
struct Upload {
    chunks: BTreeMap<u32, Bytes>,
    /// When the newest chunk came: an upload that nobody adopts goes some time after.
    touched_ms: u64,
}

impl Upload {
    fn uploaded(&self) -> Uploaded {
        Uploaded {
            chunks: u32::try_from(self.chunks.len()).unwrap_or(u32::MAX),
            end: self.chunks.keys().next_back().map_or(0, |index| index + 1),
            bytes: self.chunks.values().map(|chunk| chunk.len() as u64).sum(),
        }
    }
}

impl Room {
    pub(super) fn head(&self) -> Head {
        Head {
            last: self.last,
            epoch: self.epoch,
            base: self.base,
            bytes: self.bytes,
            snapshots: self.snapshots.clone(),
            revision: self.revision,
            deadline_ms: self.deadline_ms,
            frozen: self.frozen,
        }
    }

    /// How far its log goes.
    pub(super) fn seen(&self) -> Seen {
        Seen { last: self.last, epoch: self.epoch }
    }

    /// A batch that was appended just now behind `before`, for who follows the room.
    pub(super) fn stored(&self, batch: &Batch, before: Position, appended: &Appended) -> Stored {
        let mut records: Vec<StoredRecord> = appended.created.clone().into_iter().collect();
        let positions = (appended.first.seq..).map(|seq| Position { seq, ms: appended.first.ms });
        records.extend(
            batch
                .records
                .iter()
                .zip(positions)
                .map(|(record, position)| StoredRecord::Intact { position, record: record.clone() }),
        );
        Stored { instance: batch.instance, number: batch.number, epoch: self.epoch, before, records }
    }

    /// Forgets everything behind the counter `last`, as a store does that comes back from an old copy.
    pub(super) fn roll_back(&mut self, last: u64) {
        let keep = usize::try_from(last.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.records.truncate(keep);
        // With no record left, the newest snapshot that still counts ends it.
        let covered =
            self.snapshots.iter().map(|snapshot| snapshot.through).rfind(|at| at.seq <= last.max(self.base));
        let left = self.records.last().map(|(position, _)| *position);
        self.last = left.or(covered).unwrap_or(Position { seq: self.base, ms: self.last.ms });
        self.batches.retain(|_, batch| batch.last <= self.last);
        self.snapshots.retain(|snapshot| snapshot.through <= self.last);
        let kept: Vec<UploadId> = self.snapshots.iter().map(|snapshot| snapshot.upload).collect();
        self.uploads.retain(|upload, _| kept.contains(upload));
    }

    /// `epochs`: several instances share the log, and it may be made to lose something.
    pub(super) fn append(&mut self, batch: &Batch, epochs: bool, now_ms: u64) -> Appended {
        if epochs && (self.last.seq == 0 || batch.heals) {
            self.epoch = Epoch(rand::random_range(1..=u64::MAX));
        }
        let created = (self.last.seq == 0).then(|| StoredRecord::Intact {
            position: self.push(&batch.genesis.encoded, now_ms),
            record: batch.genesis.clone(),
        });
        let first = Position { seq: self.last.seq + 1, ms: now_ms.max(self.last.ms) };
        for record in &batch.records {
            self.push(&record.encoded, now_ms);
        }
        let last = self.last;
        let remembered = LastBatch { number: batch.number, first, last, created: created.clone() };
        self.batches.insert(batch.instance, remembered);
        self.touch(batch.ttl_ms, now_ms);
        Appended { created, first, last, epoch: self.epoch, duplicate: false }
    }

    fn push(&mut self, encoded: &Bytes, now_ms: u64) -> Position {
        self.last = Position { seq: self.last.seq + 1, ms: now_ms.max(self.last.ms) };
        self.bytes += encoded.len() as u64;
        self.records.push((self.last, encoded.clone()));
        self.last
    }

    /// The answer to a batch that is already stored; an error for one that came too late.
    pub(super) fn answer_again(&self, batch: &Batch) -> Result<Option<Appended>, LogError> {
        let Some(last) = self.batches.get(&batch.instance).filter(|last| last.number >= batch.number) else {
            return Ok(None);
        };
        check_repeated(last.number, batch.number)?;
        let created = last.created.clone().map(|created| self.as_stored(created)).transpose()?;
        Ok(Some(Appended { created, first: last.first, last: last.last, epoch: self.epoch, duplicate: true }))
    }

    /// A record as it stands there; as it was, if it is trimmed.
    fn as_stored(&self, record: StoredRecord) -> Result<StoredRecord, LogError> {
        let index = record.position().seq.checked_sub(self.base + 1);
        let index = index.and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.records.get(index)) {
            Some((position, bytes)) => judge(*position, bytes.clone()),
            None => Ok(record),
        }
    }

    pub(super) fn read(&self, after: u64, count_max: usize) -> Result<Vec<StoredRecord>, LogError> {
        let skip = usize::try_from(after.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let records = self.records.iter().skip(skip).take(count_max);
        records.map(|(position, bytes)| judge(*position, bytes.clone())).collect()
    }

    /// Where the record of a counter stands, unless it is trimmed.
    pub(super) fn position(&self, seq: u64) -> Option<Position> {
        let index = usize::try_from(seq.checked_sub(self.base + 1)?).ok()?;
        self.records.get(index).map(|(position, _)| *position)
    }

    /// The stored bytes of a record, to damage them.
    pub(super) fn record_mut(&mut self, seq: u64) -> Option<&mut Bytes> {
        let index = usize::try_from(seq.checked_sub(self.base + 1)?).ok()?;
        self.records.get_mut(index).map(|(_, bytes)| bytes)
    }

    pub(super) fn put_chunk(
        &mut self,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
        now_ms: u64,
    ) -> Result<(), LogError> {
        check_chunk(index, &bytes)?;
        self.forget_old_uploads(now_ms);
        if self.is_adopted(upload) {
            return Err(LogError::Fatal("the snapshot is adopted, and cannot be changed".to_owned()));
        }
        let upload = self.uploads.entry(upload).or_default();
        upload.chunks.insert(index, bytes);
        upload.touched_ms = now_ms;
        Ok(())
    }

    pub(super) fn chunk(&self, upload: UploadId, index: u32, now_ms: u64) -> Option<Bytes> {
        let known = self.uploads.get(&upload)?;
        let there = self.is_adopted(upload) || !is_upload_gone(known.touched_ms, now_ms);
        known.chunks.get(&index).filter(|_| there).cloned()
    }

    fn is_adopted(&self, upload: UploadId) -> bool {
        self.snapshots.iter().any(|snapshot| snapshot.upload == upload)
    }

    fn forget_old_uploads(&mut self, now_ms: u64) {
        let adopted: Vec<UploadId> = self.snapshots.iter().map(|snapshot| snapshot.upload).collect();
        self.uploads.retain(|id, upload| adopted.contains(id) || !is_upload_gone(upload.touched_ms, now_ms));
    }

    /// The stored bytes of a chunk, to damage them.
    pub(super) fn chunk_mut(&mut self, upload: UploadId, index: u32) -> Option<&mut Bytes> {
        self.uploads.get_mut(&upload)?.chunks.get_mut(&index)
    }

    pub(super) fn adopt(&mut self, adoption: &Adoption, now_ms: u64) -> Result<Adopted, LogError> {
        if let Some(answer) = adopted_before(adoption, &self.snapshots) {
            return Ok(answer);
        }
        if adoption.revision != self.revision {
            self.uploads.remove(&adoption.upload);
            return Ok(Adopted::Lost(self.revision));
        }
        let place = adoption
            .through
            .seq
            .checked_sub(self.base + 1)
            .map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        if let Some((position, _)) = place.and_then(|at| self.records.get(at))
            && *position != adoption.through
        {
            return Err(LogError::Moved(format!("record {} is {position} now", adoption.through)));
        }
        self.forget_old_uploads(now_ms);
        let head = self.head();
        let upload = self.uploads.get(&adoption.upload).map(Upload::uploaded);
        check_adoption(adoption, &head, upload, self.position(adoption.through.seq))?;
        self.revision += 1;
        self.snapshots = kept_snapshots(&head, &adoption.drop);
        self.snapshots.push(SnapshotRef {
            revision: self.revision,
            upload: adoption.upload,
            through: adoption.through,
            log_bytes: adoption.log_bytes,
            chunks: adoption.chunks,
            bytes: adoption.bytes,
        });
        for gone in head.snapshots {
            if !self.snapshots.iter().any(|kept| kept.upload == gone.upload) {
                self.uploads.remove(&gone.upload);
            }
        }
        Ok(Adopted::Done(self.revision))
    }

    pub(super) fn trim(&mut self, through: u64) -> u64 {
        let covered = self.snapshots.first().map_or(0, |snapshot| snapshot.through.seq);
        let through = through.min(covered);
        if through > self.base {
            let count = usize::try_from(through - self.base).unwrap_or(usize::MAX);
            self.records.drain(..count.min(self.records.len()));
            self.base = through;
        }
        self.base
    }

    pub(super) fn touch(&mut self, ttl_ms: Option<u64>, now_ms: u64) {
        self.deadline_ms = ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms));
    }

    pub(super) fn is_due(&self, deadline_ms: u64, now_ms: u64) -> bool {
        self.deadline_ms == Some(deadline_ms) && deadline_ms <= now_ms
    }
}
