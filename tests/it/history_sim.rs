//! A store that can be wrong on purpose, and handles on any store that let a scheduler decide who
//! goes next.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ruang::ids::{Position, RoomName};
use ruang::log::bus::Epoch;
use ruang::log::record::{Kind, Record, StoredRecord};
use ruang::log::{
    Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, SnapshotRef, Tombstone, UploadId,
};

use crate::history_support::metadata;

/// What a [`SimStore`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mutation {
    /// Snapshots are adopted whatever the revision.
    pub no_revision_check: bool,
    /// A trim goes to the end of the log instead of to the snapshot.
    pub trim_to_end: bool,
    /// Readers are not shown that records are missing.
    pub hide_jumps: bool,
}

/// One room, as the contract of the log has it, but for the mutation.
pub struct SimStore {
    mutation: Mutation,
    room: Mutex<Room>,
}

#[derive(Default)]
struct Room {
    records: Vec<(Position, Record)>,
    last: Position,
    base: u64,
    bytes: u64,
    revision: u64,
    snapshots: Vec<SnapshotRef>,
    uploads: HashMap<UploadId, BTreeMap<u32, Bytes>>,
}

impl Room {
    fn push(&mut self, record: &Record) -> Position {
        self.last = Position { seq: self.last.seq + 1, ms: 1_000 };
        self.bytes += record.encoded.len() as u64;
        self.records.push((self.last, record.clone()));
        self.last
    }
}

impl SimStore {
    pub fn open(mutation: Mutation) -> Arc<dyn Log> {
        Arc::new(Self { mutation, room: Mutex::default() })
    }
}

fn unused<T>() -> Result<T, LogError> {
    Err(LogError::Fatal("not simulated".to_owned()))
}

#[async_trait]
impl Log for SimStore {
    async fn append(&self, _: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        let mut room = self.room.lock();
        let created = (room.last.seq == 0).then(|| room.push(&batch.genesis));
        let created =
            created.map(|position| StoredRecord::Intact { position, record: batch.genesis.clone() });
        let first = Position { seq: room.last.seq + 1, ms: 1_000 };
        for record in &batch.records {
            room.push(record);
        }
        Ok(Appended { created, before: None, first, last: room.last, epoch: Epoch::NONE, duplicate: false })
    }

    async fn open(&self, _: &RoomName) -> Result<Option<Head>, LogError> {
        let room = self.room.lock();
        Ok((room.last.seq > 0).then(|| Head {
            last: room.last,
            epoch: Epoch::NONE,
            base: room.base,
            bytes: room.bytes,
            snapshots: room.snapshots.clone(),
            revision: room.revision,
            deadline_ms: None,
            frozen: false,
        }))
    }

    async fn read(&self, _: &RoomName, after: u64, max: usize) -> Result<Vec<StoredRecord>, LogError> {
        let room = self.room.lock();
        let stored = |seq: u64| {
            let found = room.records.iter().find(|(position, _)| position.seq == seq)?;
            Some(StoredRecord::Intact { position: found.0, record: found.1.clone() })
        };
        let filler = |seq: u64| {
            // An update of nothing: as if nobody had looked at the counters.
            let record = Record::new(Kind::Update, &metadata(None, Vec::new()), &[0, 0]).unwrap();
            self.mutation
                .hide_jumps
                .then_some(StoredRecord::Intact { position: Position { seq, ms: 1_000 }, record })
        };
        let seqs = after + 1..=room.last.seq;
        Ok(seqs.filter_map(|seq| stored(seq).or_else(|| filler(seq))).take(max).collect())
    }

    async fn rooms(&self, _: Option<&RoomName>, _: usize) -> Result<Vec<RoomName>, LogError> {
        unused()
    }

    async fn put_chunk(
        &self,
        _: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        self.room.lock().uploads.entry(upload).or_default().insert(index, bytes);
        Ok(())
    }

    async fn chunk(&self, _: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        Ok(self.room.lock().uploads.get(&upload).and_then(|chunks| chunks.get(&index).cloned()))
    }

    async fn adopt(&self, _: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        let mut room = self.room.lock();
        if adoption.revision != room.revision && !self.mutation.no_revision_check {
            return Ok(Adopted::Lost(room.revision));
        }
        room.revision += 1;
        let revision = room.revision;
        let newest = room.snapshots.last().map(|newest| newest.revision);
        let stays =
            |kept: &SnapshotRef| Some(kept.revision) == newest || !adoption.drop.contains(&kept.revision);
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut room.snapshots).into_iter().partition(stays);
        room.snapshots = kept;
        for SnapshotRef { upload, .. } in gone {
            room.uploads.remove(&upload);
        }
        let Adoption { upload, through, log_bytes, chunks, bytes, .. } = adoption;
        room.snapshots.push(SnapshotRef { revision, upload, through, log_bytes, chunks, bytes });
        Ok(Adopted::Done(revision))
    }

    async fn trim(&self, _: &RoomName, through: u64) -> Result<u64, LogError> {
        let mut room = self.room.lock();
        let covered = room.snapshots.first().map_or(0, |oldest| oldest.through.seq);
        let through = if self.mutation.trim_to_end { room.last.seq } else { through.min(covered) };
        room.base = room.base.max(through);
        let base = room.base;
        room.records.retain(|(position, _)| position.seq > base);
        Ok(base)
    }

    async fn touch(&self, _: &RoomName, _: Option<u64>) -> Result<(), LogError> {
        unused()
    }

    async fn freeze(&self, _: &RoomName, _: bool) -> Result<bool, LogError> {
        unused()
    }

    async fn expire(&self, _: &RoomName, _: u64) -> Result<bool, LogError> {
        unused()
    }

    async fn delete(&self, _: &RoomName) -> Result<bool, LogError> {
        unused()
    }

    async fn tombstone(&self, _: &RoomName) -> Result<Option<Tombstone>, LogError> {
        unused()
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    async fn health(&self) -> Result<(), LogError> {
        Ok(())
    }

    async fn close(&self) {}
}

/// Where one actor stands.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    waiting: bool,
    granted: bool,
    /// Everything that the actor has been told: its next step follows from it.
    trace: u64,
}

impl Gate {
    /// Whether the actor stands before a call.
    pub fn is_waiting(&self) -> bool {
        self.state.lock().waiting
    }

    /// Lets the actor make its next call, if it stands before one.
    pub fn grant_if_waiting(&self) {
        let mut state = self.state.lock();
        state.granted = std::mem::take(&mut state.waiting);
    }

    pub fn trace(&self) -> u64 {
        self.state.lock().trace
    }

    async fn pass(&self) {
        poll_fn(|_| {
            let mut state = self.state.lock();
            if std::mem::take(&mut state.granted) {
                return Poll::Ready(());
            }
            // The scheduler polls again once it has granted the call.
            state.waiting = true;
            Poll::Pending
        })
        .await;
    }

    fn told(&self, answer: impl Hash) {
        let mut state = self.state.lock();
        let mut hasher = DefaultHasher::new();
        (state.trace, answer).hash(&mut hasher);
        state.trace = hasher.finish();
    }
}

/// An actor's handle on the store: every call that others can notice, or that notices others, waits
/// for the scheduler. Chunks of an upload that is not adopted are nobody else's business.
pub struct Scheduled {
    pub store: Arc<dyn Log>,
    pub gate: Arc<Gate>,
    pub own: Mutex<Vec<UploadId>>,
    /// Reading a snapshot is one step with the call before it.
    pub reads_at_once: bool,
}

#[async_trait]
impl Log for Scheduled {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        self.gate.pass().await;
        let answer = self.store.append(room, batch).await;
        self.gate.told(answer.as_ref().map(|appended| appended.last).ok());
        answer
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        self.gate.pass().await;
        let answer = self.store.open(room).await;
        let head = answer.as_ref().ok().and_then(Option::as_ref);
        let snapshots = |head: &Head| -> Vec<_> {
            head.snapshots.iter().map(|kept| (kept.revision, kept.through)).collect()
        };
        self.gate.told(head.map(|head| (head.last, head.base, head.revision, snapshots(head))));
        answer
    }

    async fn read(&self, room: &RoomName, after: u64, max: usize) -> Result<Vec<StoredRecord>, LogError> {
        self.gate.pass().await;
        let answer = self.store.read(room, after, max).await;
        let positions = |page: &Vec<StoredRecord>| page.iter().map(|it| it.position()).collect::<Vec<_>>();
        self.gate.told(answer.as_ref().map(positions).ok());
        answer
    }

    async fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomName>, LogError> {
        self.store.rooms(after, max).await
    }

    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        self.own.lock().push(upload);
        self.store.put_chunk(room, upload, index, bytes).await
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        if self.own.lock().contains(&upload) {
            return self.store.chunk(room, upload, index).await;
        }
        if !self.reads_at_once {
            self.gate.pass().await;
        }
        let answer = self.store.chunk(room, upload, index).await;
        self.gate.told(answer.as_ref().ok());
        answer
    }

    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        self.gate.pass().await;
        self.own.lock().clear(); // it is everybody's business now
        let answer = self.store.adopt(room, adoption).await;
        self.gate.told(format!("{answer:?}"));
        answer
    }

    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        self.gate.pass().await;
        let answer = self.store.trim(room, through).await;
        self.gate.told(answer.as_ref().ok());
        answer
    }

    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        self.store.touch(room, ttl_ms).await
    }

    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        self.store.freeze(room, frozen).await
    }

    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        self.store.expire(room, deadline_ms).await
    }

    async fn delete(&self, room: &RoomName) -> Result<bool, LogError> {
        self.store.delete(room).await
    }

    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        self.store.tombstone(room).await
    }

    fn durability(&self) -> Durability {
        self.store.durability()
    }

    async fn health(&self) -> Result<(), LogError> {
        self.store.health().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
