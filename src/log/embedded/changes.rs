//! Everything that changes the store and is no append: pieces of snapshots, adoptions, trims, and how rooms
//! live and die. What one is, and what it works on; `writer::altering` makes them.
//!
//! Each commit of changes counts up `changes` in the table `counters`: after a commit that failed, the number in the
//! file tells whether it landed.

use redb::{
    Error as RedbError, ReadTransaction, ReadableTable, StorageError, Table, TableError, WriteTransaction,
};
use tokio::sync::oneshot;

use super::rooms::RoomMeta;
use super::tables::{self, COUNTERS, LOG, ROOMS};
use super::{life, removals, snapshots};
use crate::ids::RoomName;
use crate::log::LogError;

const COUNTER_CHANGES: &str = "changes";

/// One change that waits for its answer.
pub(super) trait Change: Send {
    /// The room that it is about.
    fn room(&self) -> &RoomName;
    fn scope(&self) -> Scope;
    /// Bytes that it brings.
    fn bytes(&self) -> usize;
    /// Makes the change in a transaction and keeps the answer. Once more if the transaction was not committed.
    fn apply(&mut self, tables: &mut ChangeTables<'_>) -> Result<(), RedbError>;
    /// Gives the answer, or says that the change was not made.
    fn answer(self: Box<Self>, committed: Result<(), LogError>);
}

/// What a change has to do with what stands in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Nothing, but that the room must be in the database: a piece of a snapshot.
    Upload,
    /// It reads or changes the room's entry: everything in the journal is moved before.
    Room,
    /// And the room goes with it.
    Removal,
}

/// Why a change is not made. Nothing was written before it was found out.
pub(super) enum Stop {
    /// The answer to whoever asked.
    Refuse(LogError),
    /// The store failed: the transaction ends.
    Store(RedbError),
}

/// The tables, open for changes.
pub(super) struct ChangeTables<'txn> {
    pub(super) rooms: Table<'txn, &'static str, &'static [u8]>,
    pub(super) log: Table<'txn, (u64, u64), &'static [u8]>,
    pub(super) chunks: Table<'txn, (u64, u64, u32), &'static [u8]>,
    pub(super) uploads: Table<'txn, (u64, u64), &'static [u8]>,
    pub(super) tombstones: Table<'txn, &'static str, &'static [u8]>,
    pub(super) removals: Table<'txn, (u64, u8, u64), u32>,
    counters: Table<'txn, &'static str, u64>,
    pub(super) moment: Moment,
    /// Something was written: the transaction is worth a sync.
    pub(super) changed: bool,
    /// Something was queued to be freed.
    pub(super) queued: bool,
}

/// When a change is made, and by whom.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moment {
    /// The store's clock, in ms since 1970.
    pub(super) now_ms: u64,
    /// A random number of this process's opening: uploads of earlier ones are gone.
    pub(super) process: u64,
}

/// A [`Change`] that is a function.
struct Asked<T, F> {
    room: RoomName,
    scope: Scope,
    bytes: usize,
    change: F,
    found: Option<Result<T, LogError>>,
    reply: oneshot::Sender<Result<T, LogError>>,
}

/// Makes a change of a function that is run on the writing thread, and where its answer comes.
pub(super) fn asked<T, F>(
    room: RoomName,
    scope: Scope,
    bytes: usize,
    change: F,
) -> (Box<dyn Change>, oneshot::Receiver<Result<T, LogError>>)
where
    T: Send + 'static,
    F: FnMut(&mut ChangeTables<'_>, &RoomName) -> Result<T, Stop> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Asked { room, scope, bytes, change, found: None, reply }), answer)
}

impl<T, F> Change for Asked<T, F>
where
    T: Send,
    F: FnMut(&mut ChangeTables<'_>, &RoomName) -> Result<T, Stop> + Send,
{
    fn room(&self) -> &RoomName {
        &self.room
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn apply(&mut self, tables: &mut ChangeTables<'_>) -> Result<(), RedbError> {
        self.found = Some(match (self.change)(tables, &self.room) {
            Ok(found) => Ok(found),
            Err(Stop::Refuse(error)) => Err(error),
            Err(Stop::Store(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), LogError>) {
        let found = self.found;
        let answer = committed.and_then(|()| found.expect("what is committed was applied before"));
        // Whoever asked may have gone: the change is made all the same.
        let _ = self.reply.send(answer);
    }
}

impl<'txn> ChangeTables<'txn> {
    /// Makes those that are absent.
    pub(super) fn open(transaction: &'txn WriteTransaction, moment: Moment) -> Result<Self, RedbError> {
        Ok(Self {
            rooms: transaction.open_table(ROOMS)?,
            log: transaction.open_table(LOG)?,
            chunks: transaction.open_table(snapshots::CHUNKS)?,
            uploads: transaction.open_table(snapshots::UPLOADS)?,
            tombstones: transaction.open_table(life::TOMBSTONES)?,
            removals: transaction.open_table(removals::REMOVALS)?,
            counters: transaction.open_table(COUNTERS)?,
            moment,
            changed: false,
            queued: false,
        })
    }

    /// A room's entry, its bytes counted.
    pub(super) fn meta(&self, room: &RoomName) -> Result<Option<RoomMeta>, Stop> {
        let Some(entry) = self.rooms.get(room.as_str())? else { return Ok(None) };
        let meta = RoomMeta::decode(room, entry.value())?;
        Ok(Some(tables::counted(meta, &self.log)?))
    }

    /// The same of a room that must exist.
    pub(super) fn present(&self, room: &RoomName) -> Result<RoomMeta, Stop> {
        self.meta(room)?.ok_or_else(|| Stop::Refuse(LogError::Moved("it does not exist".to_owned())))
    }

    pub(super) fn put_meta(&mut self, room: &RoomName, meta: &RoomMeta) -> Result<(), Stop> {
        self.rooms.insert(room.as_str(), meta.encode(room).as_slice())?;
        self.changed = true;
        Ok(())
    }

    /// Counts a commit of changes.
    pub(super) fn count(&mut self) -> Result<u64, RedbError> {
        let count = self.counters.get(COUNTER_CHANGES)?.map_or(0, |count| count.value()).wrapping_add(1);
        self.counters.insert(COUNTER_CHANGES, count)?;
        Ok(count)
    }
}

/// How many commits of changes are in the file.
pub(super) fn counted(transaction: &ReadTransaction) -> Result<Option<u64>, RedbError> {
    Ok(transaction.open_table(COUNTERS)?.get(COUNTER_CHANGES)?.map(|count| count.value()))
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        Self::Refuse(error)
    }
}

impl From<RedbError> for Stop {
    fn from(error: RedbError) -> Self {
        Self::Store(error)
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Store(error.into())
    }
}

impl From<TableError> for Stop {
    fn from(error: TableError) -> Self {
        Self::Store(error.into())
    }
}
