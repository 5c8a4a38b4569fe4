//! The log: the order of everything that happened in a room. It is the truth; the document is a
//! projection of it.
//!
//! The server sees the [`Log`] trait, which is the contract; `record` is the format of what is
//! stored; `memory` and `embedded` keep it.

pub mod clock;
pub mod embedded;
pub mod memory;
pub mod record;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::ids::{InstanceId, Position, RoomName};
use crate::limits::BATCH_UPDATES_MAX;
use record::{Record, StoredRecord};

/// How far an append that was answered with `Ok` has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// In the memory of this process: gone with it.
    Memory,
    /// Synced to the disk: survives kill -9 and a power cut.
    Fsync,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Fsync => "fsync",
        })
    }
}

/// What one append stores: all of it or nothing. Frozen when first sent: a retry sends the same
/// batch under the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Who appends.
    pub instance: InstanceId,
    /// Grows with each batch of this instance in this room, from 1, not by one. A number that the log has seen
    /// from this instance is not stored again, but answered again.
    pub number: u64,
    /// Written as the room's first record, in the same transaction, if the room is absent.
    /// Ignored otherwise.
    pub genesis: Record,
    /// 1 to `BATCH_UPDATES_MAX` records, in order.
    pub records: Vec<Record>,
}

/// The answer to an append: everything in the batch is stored at the durability in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The genesis record and its position, if this append created the room. The batch follows it.
    pub created: Option<StoredRecord>,
    /// Position of the first record of the batch.
    pub first: Position,
    /// Position of the last record of the batch; `first.seq ..= last.seq` has no holes.
    pub last: Position,
    /// The batch had been stored by an earlier try.
    pub duplicate: bool,
}

/// A room as the log knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the newest record.
    pub last: Position,
}

/// Why a call failed, and what is true now. "Nothing was stored" speaks of this call: after an
/// [`LogError::Unknown`] only an `Ok` for the same batch settles whether it is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No answer: an append may be stored or not. Send the same batch again.
    #[error("the log did not answer: {0}")]
    Unknown(String),
    /// The disk or the store is full. Nothing was stored. Try again later.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store cannot work now. Nothing was stored. Try again later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It will never work: a bug, or damage. Nothing was stored. Do not try again.
    #[error("the store refuses: {0}")]
    Fatal(String),
}

impl LogError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Fatal(_))
    }
}

/// The order of everything that happened in each room.
///
/// Contract, held by one suite (`tests/it/log_contract.rs`) on every implementation:
/// - `append` returning `Ok` means stored, at [`Log::durability`]: reads that start later see the
///   records, and later appends get larger positions.
/// - Counters of a room start at 1 and have no holes; milliseconds never go back.
/// - A batch is stored whole or not at all, and in one piece: no other record stands inside it.
/// - Appending the same `(instance, number)` again stores nothing and returns the same positions,
///   and the same genesis record in `created`, with `duplicate` set, as long as no other batch of
///   that instance came after it in that room. An older number is refused as a bug.
/// - The append that finds the room absent stores the genesis record first; of several at once,
///   exactly one does.
/// - Rooms do not touch: names are compared as bytes, never as patterns.
/// - A record that is damaged in the store is returned as [`StoredRecord::Damaged`] at its
///   position; the records around it are not affected.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Stores a batch. The caller has at most one append per room under way and never drops the
    /// future.
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError>;

    /// The room's newest position, or `None` if the room does not exist.
    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError>;

    /// Up to `count_max` records with a counter above `after`, oldest first; fewer if they are large
    /// or there are no more, but one if there is one. An absent room has none.
    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError>;

    /// Names of up to `count_max` rooms above `after` in byte order.
    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError>;

    /// What `Ok` from [`Log::append`] means. Never stronger than what the store gives.
    fn durability(&self) -> Durability;

    /// Whether the store takes appends, asked without writing; an error says what is wrong.
    async fn health(&self) -> Result<(), LogError>;

    /// Finishes what is under way and lets go of the store. Later calls fail.
    async fn close(&self);
}

/// How long a room that ends waits for the append in flight. The append goes on alone after that.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What every log asks of a batch before it touches anything: a violation is the caller's bug.
fn check_batch(batch: &Batch) -> Result<(), LogError> {
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
fn check_repeated(stored: u64, asked: u64) -> Result<(), LogError> {
    if stored == asked {
        return Ok(());
    }
    Err(LogError::Fatal(format!("batch {asked} comes after batch {stored} of the same instance")))
}

/// Judges one stored record: damage is an answer, a record of a newer ruang is the end of reading.
fn judge(position: Position, bytes: Bytes) -> Result<StoredRecord, LogError> {
    StoredRecord::judge(position, bytes)
        .map_err(|newer| LogError::Fatal(format!("the room cannot be read from {position} on: {newer}")))
}
