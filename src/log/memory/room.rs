//! One room of the log in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::ids::{InstanceId, Position};
use crate::limits::{SNAPSHOT_CHUNK_BYTES, UPLOAD_MS_MAX};
use crate::log::record::StoredRecord;
use crate::log::{
    Adopted, Adoption, Appended, Batch, Head, LogError, SnapshotRef, UploadId, check_adoption,
    check_repeated, kept_snapshots,
};

/// A room. It exists from its genesis record on.
#[derive(Default)]
pub(super) struct Room {
    /// The record of counter n stands at n - 1 - `base`.
    records: Vec<(Position, Bytes)>,
    /// Records up to this counter are trimmed.
    base: u64,
    /// Of the newest record ever appended.
    last: Position,
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

impl Room {
    pub(super) fn head(&self) -> Head {
        Head {
            last: self.last,
            base: self.base,
            bytes: self.bytes,
            snapshots: self.snapshots.clone(),
            revision: self.revision,
            deadline_ms: self.deadline_ms,
            frozen: self.frozen,
        }
    }

    pub(super) fn last(&self) -> Position {
        self.last
    }

    pub(super) fn append(&mut self, batch: &Batch, now_ms: u64) -> Appended {
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
        Appended { created, first, last, duplicate: false }
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
        let created = last.created.clone();
        Ok(Some(Appended { created, first: last.first, last: last.last, duplicate: true }))
    }

    pub(super) fn read(&self, after: u64, count_max: usize) -> Result<Vec<StoredRecord>, LogError> {
        let skip = usize::try_from(after.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let records = self.records.iter().skip(skip).take(count_max);
        records.map(|(position, bytes)| crate::log::judge(*position, bytes.clone())).collect()
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
        if bytes.len() > SNAPSHOT_CHUNK_BYTES {
            return Err(LogError::Fatal(format!("a chunk has at most {SNAPSHOT_CHUNK_BYTES} bytes")));
        }
        let adopted: Vec<UploadId> = self.snapshots.iter().map(|snapshot| snapshot.upload).collect();
        self.uploads.retain(|id, upload| {
            adopted.contains(id) || now_ms.saturating_sub(upload.touched_ms) < UPLOAD_MS_MAX
        });
        if adopted.contains(&upload) {
            return Err(LogError::Fatal("the snapshot is adopted, and cannot be changed".to_owned()));
        }
        let upload = self.uploads.entry(upload).or_default();
        upload.chunks.insert(index, bytes);
        upload.touched_ms = now_ms;
        Ok(())
    }

    pub(super) fn chunk(&self, upload: UploadId, index: u32) -> Option<Bytes> {
        self.uploads.get(&upload)?.chunks.get(&index).cloned()
    }

    /// The stored bytes of a chunk, to damage them.
    pub(super) fn chunk_mut(&mut self, upload: UploadId, index: u32) -> Option<&mut Bytes> {
        self.uploads.get_mut(&upload)?.chunks.get_mut(&index)
    }

    pub(super) fn adopt(&mut self, adoption: &Adoption) -> Result<Adopted, LogError> {
        if adoption.revision != self.revision {
            self.uploads.remove(&adoption.upload);
            return Ok(Adopted::Lost(self.revision));
        }
        let head = self.head();
        check_adoption(adoption, &head)?;
        let chunks = self.uploads.get(&adoption.upload).map(|upload| &upload.chunks);
        let complete = |chunks: &BTreeMap<u32, Bytes>| {
            let bytes: usize = chunks.values().map(Bytes::len).sum();
            chunks.keys().copied().eq(0..adoption.chunks) && bytes as u64 == adoption.bytes
        };
        if adoption.chunks == 0 || !chunks.is_some_and(complete) {
            return Err(LogError::Fatal("the snapshot's chunks are not what was said".to_owned()));
        }
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
