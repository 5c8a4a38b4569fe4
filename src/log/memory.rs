//! A log in the memory of this process: the store `memory:`, and what tests run on.
//!
//! Everything of the contract holds but survival. Faults are injected through [`Faults`]: without
//! one the log never fails.

mod faults;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::clock::{Clock, system_clock};
use super::record::StoredRecord;
use super::{Appended, Batch, Durability, Head, Log, LogError, check_batch, check_repeated};
use crate::ids::{InstanceId, Position, RoomName};
pub use faults::{Damage, Faults, Held};

/// See the module.
pub struct MemoryLog {
    rooms: Arc<Mutex<Rooms>>,
    faults: Faults,
    clock: Clock,
}

/// Everything stored.
#[derive(Default)]
struct Rooms {
    /// Ordered, since [`Log::rooms`] pages through the names.
    by_name: BTreeMap<RoomName, Room>,
    /// Set by [`Log::close`]; later calls fail.
    closed: bool,
}

/// One room. It exists from its genesis record on.
#[derive(Default)]
struct Room {
    /// The record of counter n stands at n - 1.
    records: Vec<(Position, Bytes)>,
    /// The last batch of each instance, for retries. Instances are few: this log ends with its
    /// process.
    batches: HashMap<InstanceId, LastBatch>,
}

/// What an append is answered with when it is repeated.
struct LastBatch {
    number: u64,
    first: Position,
    last: Position,
    created: bool,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::with_faults().0
    }

    /// An empty log, and the handle that makes it misbehave.
    #[must_use]
    pub fn with_faults() -> (Self, Faults) {
        Self::with_clock(system_clock())
    }

    /// The same with a clock of one's own.
    #[must_use]
    pub fn with_clock(clock: Clock) -> (Self, Faults) {
        let rooms = Arc::new(Mutex::new(Rooms::default()));
        let faults = Faults::new(Arc::downgrade(&rooms));
        (Self { rooms, faults: faults.clone(), clock }, faults)
    }

    fn reading<T>(&self, look: impl FnOnce(&Rooms) -> Result<T, LogError>) -> Result<T, LogError> {
        let rooms = self.rooms.lock();
        rooms.check_open()?;
        look(&rooms)
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        check_batch(&batch)?;
        let fault = self.faults.before_append().await;
        if let Some(error) = fault.refuse {
            return Err(error);
        }
        let now = (self.clock)();
        let mut answer = self.rooms.lock().append(room, &batch, now);
        if fault.duplicate {
            answer = self.rooms.lock().append(room, &batch, now);
        }
        self.faults.before_reply().await;
        if fault.lose_reply { Err(LogError::Unknown("the reply was lost".to_owned())) } else { answer }
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        self.faults.before_read().await?;
        self.reading(|rooms| Ok(rooms.by_name.get(room).map(|room| Head { last: room.last() })))
    }

    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        self.faults.before_read().await?;
        self.reading(|rooms| {
            let Some(room) = rooms.by_name.get(room) else { return Ok(Vec::new()) };
            let skip = usize::try_from(after).unwrap_or(usize::MAX);
            room.records.iter().skip(skip).take(count_max).map(judge).collect()
        })
    }

    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError> {
        self.faults.before_read().await?;
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.reading(|rooms| {
            let above = rooms.by_name.range::<RoomName, _>((after, Bound::Unbounded));
            Ok(above.take(count_max).map(|(name, _)| name.clone()).collect())
        })
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    async fn health(&self) -> Result<(), LogError> {
        self.reading(|_| Ok(()))
    }

    async fn close(&self) {
        self.rooms.lock().closed = true;
    }
}

impl Rooms {
    fn check_open(&self) -> Result<(), LogError> {
        if self.closed { Err(LogError::Fatal("the log is closed".to_owned())) } else { Ok(()) }
    }

    fn append(&mut self, name: &RoomName, batch: &Batch, now_ms: u64) -> Result<Appended, LogError> {
        self.check_open()?;
        if let Some(room) = self.by_name.get(name)
            && let Some(answer) = room.answer_again(batch)?
        {
            return Ok(answer);
        }
        let room = self.by_name.entry(name.clone()).or_default();
        let created = room.records.is_empty().then(|| room.push(&batch.genesis.encoded, now_ms));
        let first = Position { seq: room.last().seq + 1, ms: now_ms.max(room.last().ms) };
        for record in &batch.records {
            room.push(&record.encoded, now_ms);
        }
        let last = room.last();
        let remembered = LastBatch { number: batch.number, first, last, created: created.is_some() };
        room.batches.insert(batch.instance, remembered);
        let created =
            created.map(|position| StoredRecord::Intact { position, record: batch.genesis.clone() });
        Ok(Appended { created, first, last, duplicate: false })
    }
}

impl Room {
    fn last(&self) -> Position {
        self.records.last().map_or(Position::START, |(position, _)| *position)
    }

    fn push(&mut self, encoded: &Bytes, now_ms: u64) -> Position {
        let last = self.last();
        let position = Position { seq: last.seq + 1, ms: now_ms.max(last.ms) };
        self.records.push((position, encoded.clone()));
        position
    }

    /// The answer to a batch that is already stored; an error for one that came too late.
    fn answer_again(&self, batch: &Batch) -> Result<Option<Appended>, LogError> {
        let Some(last) = self.batches.get(&batch.instance).filter(|last| last.number >= batch.number) else {
            return Ok(None);
        };
        check_repeated(last.number, batch.number)?;
        let created = if last.created { self.records.first().map(judge).transpose()? } else { None };
        Ok(Some(Appended { created, first: last.first, last: last.last, duplicate: true }))
    }
}

fn judge((position, bytes): &(Position, Bytes)) -> Result<StoredRecord, LogError> {
    super::judge(*position, bytes.clone())
}
