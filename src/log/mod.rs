//! The log: the order of everything that happened in a room. It is the truth; the document is a
//! projection of it.
//!
//! The server sees the [`Log`] trait, which is the contract; `record` is the format of what is
//! stored; `memory`, `embedded` and `redis` keep it. `check` is what all of them ask first, `bus` what instances hear of each
//! other, `notes` what is about no room.

pub mod bus;
mod check;
pub mod embedded;
pub mod memory;
mod notes;
pub mod record;
pub mod redis;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::ids::{InstanceId, Position, RoomName};
use bus::{Epoch, Follower, Seen, Whisper};
pub use notes::Note;
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
    /// What must be true of the room, or nothing is stored.
    pub expects: Expects,
    /// What the sender knows of the room. If the log does not hold that any more (it is in another epoch, or the
    /// record that was seen last is not in it), nothing is stored. In a store that may lose records, one that is trimmed
    /// counts as not there: nobody can tell.
    pub seen: Seen,
    /// The batch brings back what the store has lost: a new epoch of the log begins with it.
    pub heals: bool,
    /// The room's deadline becomes the store's time plus this; `None`: it has none.
    pub ttl_ms: Option<u64>,
}

impl Batch {
    /// One that expects nothing of the room, has seen nothing of it, and gives it no deadline.
    #[must_use]
    pub fn new(instance: InstanceId, number: u64, genesis: Record, records: Vec<Record>) -> Self {
        Self {
            instance,
            number,
            genesis,
            records,
            expects: Expects::Anything,
            seen: Seen::default(),
            heals: false,
            ttl_ms: None,
        }
    }
}

/// What a batch was made for. A retry of a batch that is stored is answered before this is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// The room may be absent: the genesis record makes it then.
    Anything,
    /// The room exists: the batch builds on records of it, and must not begin another life.
    Present,
    /// The room's newest counter is exactly this (0: it is absent), and, unless the batch heals, the name has no
    /// tombstone: the batch brings content of another life, or what the store has lost of this one.
    At(u64),
    /// The room's newest counter is exactly this (0: it is absent), whatever was deleted under its name before: the
    /// batch is meant for the room as it is, and for no other state of it.
    Last(u64),
}

/// The answer to an append: everything in the batch is stored at the durability in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The genesis record and its position, if this append created the room. The batch follows it.
    pub created: Option<StoredRecord>,
    /// The record that stands right before all this, [`Position::START`] if none does; `None` where it is not told: by a store that
    /// loses nothing, and for a batch that had been stored by an earlier try.
    pub before: Option<Position>,
    /// Position of the first record of the batch.
    pub first: Position,
    /// Position of the last record of the batch; `first.seq ..= last.seq` has no holes.
    pub last: Position,
    /// The epoch in which it stands.
    pub epoch: Epoch,
    /// The batch had been stored by an earlier try.
    pub duplicate: bool,
}

impl Appended {
    /// Where all of it begins, with the genesis record if it is new.
    #[must_use]
    pub fn begins(&self) -> Position {
        self.created.as_ref().map_or(self.first, StoredRecord::position)
    }
}

/// A room as the log knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Position of the newest record.
    pub last: Position,
    /// The epoch of the log.
    pub epoch: Epoch,
    /// Records up to this counter are trimmed; 0 if none is. Never above what the oldest snapshot
    /// covers.
    pub base: u64,
    /// Bytes of all records ever appended to this life of the room.
    pub bytes: u64,
    /// The adopted snapshots, oldest first.
    pub snapshots: Vec<SnapshotRef>,
    /// Counts adoptions. Zero before the first.
    pub revision: u64,
    /// When the room may be removed, by the store's clock, in ms since 1970; `None`: never.
    pub deadline_ms: Option<u64>,
    /// An operator has stopped compaction of this room.
    pub frozen: bool,
}

/// An adopted snapshot, as the log knows it. What its bytes mean is `history`'s business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRef {
    /// The adoption that brought it.
    pub revision: u64,
    /// Where its chunks are.
    pub upload: UploadId,
    /// It holds what all records up to here hold.
    pub through: Position,
    /// [`Head::bytes`] as it was at `through`.
    pub log_bytes: u64,
    /// How many chunks it has.
    pub chunks: u32,
    /// Bytes of all its chunks.
    pub bytes: u64,
}

/// A snapshot on its way into the store: a random number, so that two writers never share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(pub u64);

/// What [`Log::adopt`] is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The upload, complete and read back.
    pub upload: UploadId,
    /// [`Head::revision`] when the snapshot was begun.
    pub revision: u64,
    /// See [`SnapshotRef::through`]. Not below the newest adopted snapshot's, not above the newest record.
    pub through: Position,
    /// See [`SnapshotRef::log_bytes`].
    pub log_bytes: u64,
    /// See [`SnapshotRef::chunks`].
    pub chunks: u32,
    /// See [`SnapshotRef::bytes`].
    pub bytes: u64,
    /// Revisions of snapshots that go when this one comes.
    pub drop: Vec<u64>,
}

/// The answer to [`Log::adopt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// It became the room's newest snapshot, under this revision; now, or when this was asked before.
    Done(u64),
    /// Somebody else was first: the room's revision is this. Nothing changed; the upload is gone.
    Lost(u64),
}

/// What stays of a deleted room's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// When it was deleted, by the store's clock, in ms since 1970; never before the newest record that was deleted.
    pub deleted_ms: u64,
}

/// Why a call failed, and what is true now. "Nothing was stored" speaks of this call: after an
/// [`LogError::Unknown`] only an `Ok` for the same batch settles whether it is stored. Of calls that are
/// no append, "nothing was stored" means that nothing has changed; after an `Unknown` they may be repeated
/// ([`Log::expire`] and [`Log::delete`] say false then if they had been done).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No answer: it may be stored or not. Send the same batch, or ask the same, again.
    #[error("the log did not answer: {0}")]
    Unknown(String),
    /// The disk or the store is full. Nothing was stored. Try again later.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store cannot work now. Nothing was stored. Try again later.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The room is not what the call was made for (see [`Expects`] and [`Batch::seen`]): another life of it,
    /// none, or the store has lost a part of it. Nothing was stored. Look at the room again.
    #[error("the room is not what it was: {0}")]
    Moved(String),
    /// It will never work: a bug, or damage. Nothing was stored. Do not try again.
    #[error("the store refuses: {0}")]
    Fatal(String),
}

impl LogError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Fatal(_) | Self::Moved(_))
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
/// - A batch whose [`Batch::expects`] or [`Batch::seen`] does not hold stores nothing ([`LogError::Moved`]).
/// - Where several processes share a store, each hears on the bus what the others store, or that it is
///   behind; see [`Log::follow`].
/// - Snapshots are published by compare-and-set on the room's revision: of several that began at
///   one revision, one is adopted. Nobody sees chunks that were not adopted.
/// - Nothing is trimmed that the oldest adopted snapshot does not cover, whoever asks.
/// - A room dies as a whole: records, snapshots, uploads and what is known of its batches. After
///   that it is absent, and the next batch that may do so begins another life at counter 1.
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
    /// or there are no more, but one if there is one. An absent room has none. Those that are trimmed are
    /// left out: if the first counter is not `after + 1`, the reader was too slow and opens the
    /// room again.
    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError>;

    /// Names of up to `count_max` rooms above `after` in byte order.
    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError>;

    /// Stores one piece of a snapshot: chunks are numbered from 0 and hold at most
    /// [`SNAPSHOT_CHUNK_BYTES`](crate::limits::SNAPSHOT_CHUNK_BYTES) bytes. An upload that is not adopted
    /// within an hour of its last chunk (by the store's clock), or by the end of this process, is gone.
    /// Writing a chunk again replaces it.
    ///
    /// # Errors
    /// [`LogError::Moved`] if the room does not exist; [`LogError::Fatal`] if the upload is adopted, if the
    /// chunk is larger, or if its number is not below [`SNAPSHOT_CHUNKS_MAX`](crate::limits::SNAPSHOT_CHUNKS_MAX).
    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError>;

    /// A piece of an upload, adopted or not, as it was written, or damaged: whoever reads it checks.
    /// `None` if it is not there.
    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError>;

    /// Publishes an upload as the room's newest snapshot, if nobody else did since
    /// [`Adoption::revision`], and lets go of the snapshots that it names; but the one that was the
    /// newest stays, whatever it names. An adoption that was done is answered again, as long as that
    /// snapshot is kept.
    ///
    /// # Errors
    /// [`LogError::Moved`] if the room does not exist, or if no record of it stands at [`Adoption::through`]: the
    /// snapshot is of another life, or of records that the store has lost; [`LogError::Fatal`] if the chunks are not those that
    /// were announced, if `through` is not between the newest snapshot and the newest record, or
    /// if more than [`SNAPSHOTS_PER_ROOM_MAX`](crate::limits::SNAPSHOTS_PER_ROOM_MAX) would be kept. Nothing changed then.
    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError>;

    /// Forgets records up to the counter `through`, but none that the oldest adopted snapshot does not cover.
    /// Returns [`Head::base`] as it is then. An absent room has base 0.
    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError>;

    /// Sets the deadline to the store's time plus `ttl_ms` (`None`: there is none). Nothing happens to
    /// an absent room.
    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError>;

    /// Stops or allows compaction of a room; survives restarts. False if the room is absent.
    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError>;

    /// Removes a room whose deadline is still `deadline_ms` and has passed by the store's clock. False if it is not so.
    /// Leaves no trace.
    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError>;

    /// Removes a room and leaves a tombstone under its name, which survives later lives of the
    /// room. False if the room was absent (the tombstone is left all the same).
    async fn delete(&self, room: &RoomName) -> Result<bool, LogError>;

    /// What a deletion has left, if there was one under this name.
    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError>;

    /// Begins to listen to a room: whatever is stored in it from now on, by whomever, is heard in the order of
    /// the log, or [`Heard::Behind`](bus::Heard::Behind) in place of what was missed, some time later. A room is followed
    /// before it is read, so that nothing falls between. A store that no other process writes to is silent.
    async fn follow(&self, _room: &RoomName) -> Result<Follower, LogError> {
        Ok(Follower::silent())
    }

    /// Says something to the other instances that follow a room. Never waits; may be lost.
    fn whisper(&self, _room: &RoomName, _from: InstanceId, _whisper: Whisper) {}

    /// Keeps notes until their times, at [`Log::durability`]. Nothing happens to those that are there already. Costs what
    /// their number does, however many there are.
    ///
    /// # Errors
    /// [`LogError::Full`] above [`NOTES_MAX`](crate::limits::NOTES_MAX) notes; [`LogError::Fatal`] if one is too large, and
    /// by a store that keeps none. Some of them may be stored all the same.
    async fn put_notes(&self, _notes: Vec<Note>) -> Result<(), LogError> {
        Err(LogError::Fatal("this store keeps no notes".to_owned()))
    }

    /// All notes whose time has not come, in any order.
    async fn notes(&self) -> Result<Vec<Note>, LogError> {
        Ok(Vec::new())
    }

    /// What `Ok` from [`Log::append`] means. Never stronger than what the store gives.
    fn durability(&self) -> Durability;

    /// Whether the store takes appends, asked without writing; an error says what is wrong.
    async fn health(&self) -> Result<(), LogError>;

    /// Finishes what is under way and lets go of the store. Later calls fail.
    async fn close(&self);
}

/// How long a room that ends waits for the append in flight. The append goes on alone after that.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(10);
