//! What is to go: records that were trimmed, snapshots that were dropped, rooms that died. They are out of sight
//! with the transaction that queues them, and freed afterwards in slices, so that no other room waits long.
//!
//! | table | key | value |
//! |---|---|---|
//! | `removals` | room number, what (1), its number | crc32c of the key |
//!
//! | what | its number | freed |
//! |---|---|---|
//! | 0 | a counter | the room's records from the second one to this |
//! | 1 | an upload | its chunks |
//! | 2 | 0 | all records and chunks under the room number |
//!
//! An entry goes in the transaction that frees the last of it. Room numbers are never given twice, so nothing that
//! lives is ever under an entry.

use redb::{Error as RedbError, Key, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::changes::{ChangeTables, Stop};
use super::rooms::check_of;
use super::snapshots;
use super::store::Failure;
use super::writer::{Abort, Writer};
use crate::limits::{
    EMBEDDED_COMPACT_FILE_BYTES_MAX, EMBEDDED_COMPACT_FREED_BYTES_MIN, EMBEDDED_COMPACT_USED_BYTES_MAX,
    EMBEDDED_FREE_BYTES_MAX, EMBEDDED_FREE_COMMITS, EMBEDDED_SHRINK_COMMITS,
};
use crate::log::UploadId;

pub(super) const REMOVALS: TableDefinition<'_, (u64, u8, u64), u32> = TableDefinition::new("removals");

const RECORDS: u8 = 0;
const UPLOAD: u8 = 1;
const ROOM: u8 = 2;

/// What the writing thread knows of it.
#[derive(Debug)]
pub(super) struct Freeing {
    /// There may be something to free.
    pub(super) queued: bool,
    /// Commits since some of it was freed.
    commits: u32,
    /// Entries that one slice may free.
    entries_max: usize,
    /// Empty commits to try, so that the file gets shorter.
    shrinks: u32,
    /// Bytes freed since the file was last compacted, or looked at.
    freed_bytes: u64,
}

/// One transaction of freeing.
struct Slice {
    /// How many entries may still be freed.
    entries: usize,
    /// Bytes that were freed.
    bytes: usize,
}

impl Freeing {
    /// An earlier process may have left something.
    pub(super) fn new(entries_max: usize) -> Self {
        Self { queued: true, commits: 0, entries_max, shrinks: 0, freed_bytes: 0 }
    }

    pub(super) fn on_commit(&mut self) {
        self.commits = self.commits.saturating_add(1);
    }

    /// Whether the file may get shorter.
    pub(super) fn may_shrink(&self) -> bool {
        self.shrinks > 0
    }

    /// Whether so much was freed that the file may be worth compacting, and it is small enough for others to wait.
    pub(super) fn may_compact(&self, file_bytes: u64) -> bool {
        let worth = self.freed_bytes >= EMBEDDED_COMPACT_FREED_BYTES_MIN.max(file_bytes / 4);
        worth && file_bytes <= EMBEDDED_COMPACT_FILE_BYTES_MAX
    }

    /// Whether some must be freed although others wait.
    pub(super) fn is_overdue(&self) -> bool {
        self.queued && self.commits >= EMBEDDED_FREE_COMMITS
    }
}

pub(super) fn queue_records(tables: &mut ChangeTables<'_>, number: u64, through: u64) -> Result<(), Stop> {
    queue(tables, (number, RECORDS, through))
}

pub(super) fn queue_upload(tables: &mut ChangeTables<'_>, number: u64, upload: UploadId) -> Result<(), Stop> {
    queue(tables, (number, UPLOAD, upload.0))
}

pub(super) fn queue_room(tables: &mut ChangeTables<'_>, number: u64) -> Result<(), Stop> {
    queue(tables, (number, ROOM, 0))
}

fn queue(tables: &mut ChangeTables<'_>, key: (u64, u8, u64)) -> Result<(), Stop> {
    tables.removals.insert(key, key_check(key))?;
    (tables.changed, tables.queued) = (true, true);
    Ok(())
}

/// Frees an upload at once if it waits to be freed: somebody begins it again.
pub(super) fn free_upload(tables: &mut ChangeTables<'_>, number: u64, upload: UploadId) -> Result<(), Stop> {
    if tables.removals.remove((number, UPLOAD, upload.0))?.is_some() {
        let range = (number, upload.0, 0)..=(number, upload.0, u32::MAX);
        tables.chunks.retain_in(range, |_, _| false)?;
        tables.changed = true;
    }
    Ok(())
}

/// The highest room number that waits to be freed.
pub(super) fn last_room_number(transaction: &WriteTransaction) -> Result<u64, RedbError> {
    let removals = transaction.open_table(REMOVALS)?;
    Ok(removals.last()?.map_or(0, |(key, _)| key.value().0))
}

impl Writer {
    /// One transaction of freeing, while nothing is moved. What is freed is under numbers that no record in the journal
    /// will ever get, so the journal may have what it wants.
    pub(super) fn free(&mut self) {
        (self.freeing.queued, self.freeing.commits) = (false, 0);
        let mut slice = Slice { entries: self.freeing.entries_max, bytes: 0 };
        let mut freed_something = false;
        let freed = self.change(|tables| {
            tables.queued = match snapshots::forget_gone(tables).and_then(|()| free_slice(tables, &mut slice))
            {
                Ok(more) => more,
                Err(Stop::Store(error)) => return Err(error),
                Err(Stop::Refuse(_)) => false, // nobody asked, nobody is refused
            };
            freed_something = tables.changed;
            Ok(())
        });
        if freed_something {
            self.freeing.shrinks = EMBEDDED_SHRINK_COMMITS;
            self.freeing.freed_bytes += slice.bytes as u64;
        }
        let Err((abort, _)) = freed else { return };
        // It goes on when the store works again; but not over damage, which would be met again and again.
        self.freeing.queued = !matches!(abort.failure, Failure::Damage(_));
        self.open_again(abort);
    }

    /// One empty commit: with each, the database gives up to half of the free space at its end back to the file
    /// system. What is freed is free two commits later.
    pub(super) fn shrink(&mut self) {
        let before = self.reads.store.disk.len();
        let committed = self.change(|tables| {
            tables.changed = true;
            Ok(())
        });
        match committed {
            Ok(()) if self.reads.store.disk.len() < before => self.freeing.shrinks = EMBEDDED_SHRINK_COMMITS,
            Ok(()) => self.freeing.shrinks -= 1,
            Err((abort, _)) => {
                self.freeing.shrinks = 0;
                self.open_again(abort);
            }
        }
    }

    /// Compacts the file, where empty commits did not make it shorter: something that stays lies at its end.
    pub(super) fn compact(&mut self) {
        let again = self.reads.store.disk.len() / 16;
        match self.reads.store.compact(EMBEDDED_COMPACT_USED_BYTES_MAX) {
            // Too much is in use, or somebody reads: some more must go before it is worth another look.
            Ok(false) => {
                let worth = EMBEDDED_COMPACT_FREED_BYTES_MIN.max(again * 4);
                self.freeing.freed_bytes = worth.saturating_sub(again);
            }
            Ok(true) => self.freeing.freed_bytes = 0,
            Err(failure) => {
                self.freeing.freed_bytes = 0;
                // What is stored is as it was: only its place changes.
                self.open_again(Abort { failure, in_doubt: false });
            }
        }
    }
}

/// Frees as much as a slice may. True if there is more.
fn free_slice(tables: &mut ChangeTables<'_>, slice: &mut Slice) -> Result<bool, Stop> {
    while slice.entries > 0 {
        let Some((key, check)) = tables.removals.first()?.map(|(key, check)| (key.value(), check.value()))
        else {
            return Ok(false);
        };
        let (number, what, argument) = key;
        let done = match what {
            _ if check != key_check(key) => {
                tracing::warn!(
                    number,
                    "what is to be removed from the store is damaged; it stays in the file"
                );
                true
            }
            RECORDS => slice.free(&mut tables.log, (number, 2), (number, argument))?,
            UPLOAD => {
                let (from, to) = ((number, argument, 0), (number, argument, u32::MAX));
                slice.free(&mut tables.chunks, from, to)?
            }
            _ => {
                let chunks = ((number, 0, 0), (number, u64::MAX, u32::MAX));
                slice.free(&mut tables.log, (number, 0), (number, u64::MAX))?
                    && slice.free(&mut tables.chunks, chunks.0, chunks.1)?
            }
        };
        tables.changed = true;
        if !done {
            return Ok(true);
        }
        tables.removals.remove(key)?;
        slice.entries = slice.entries.saturating_sub(1);
    }
    Ok(true)
}

impl Slice {
    /// Frees what is from one key to another, in their order. True if nothing is left of it.
    fn free<K>(&mut self, table: &mut Table<'_, K, &'static [u8]>, from: K, to: K) -> Result<bool, Stop>
    where
        K: Key + for<'a> redb::Value<SelfType<'a> = K> + Copy + Ord + 'static,
    {
        if from > to {
            return Ok(true);
        }
        let mut last = None;
        let mut more = false;
        for entry in table.range(from..=to)? {
            if self.entries == 0 || self.bytes >= EMBEDDED_FREE_BYTES_MAX {
                more = true;
                break;
            }
            let (key, value) = entry?;
            self.entries -= 1;
            self.bytes += value.value().len();
            last = Some(key.value());
        }
        if let Some(last) = last {
            table.retain_in(from..=last, |_, _| false)?;
        }
        Ok(!more)
    }
}

fn key_check((number, what, argument): (u64, u8, u64)) -> u32 {
    check_of(&[number, u64::from(what), argument])
}
