//! What stands in the database, and how one batch is stored in it.
//!
//! | table | key | value |
//! |---|---|---|
//! | `rooms` | name | [`RoomMeta`] |
//! | `log` | room number, counter | milliseconds (8), check (4), record |
//! | `counters` | `"rooms"` | the highest room number given |
//! | | `"changes"` | see `changes` |
//! | | `"journal"`, `"journal-check"` | the newest frame of the journal that is moved, its crc32c |
//!
//! `chunks` and `uploads` are in `snapshots`, `tombstones` in `life`, `removals` in `removals`.
//!
//! Integers are little endian. The check is the crc32c of key and milliseconds: with the record's
//! own checksum no bit of a position or record can turn around unnoticed. redb does not check its
//! pages when it reads them.

mod moving;

pub(super) use moving::{Moved, moved};

use std::ops::Bound;

use bytes::{BufMut, Bytes};
use redb::{Error as RedbError, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::changes::{ChangeTables, Moment};
use super::page::Page;
use super::rooms::{RoomMeta, le_u64};
use super::{life, removals};
use crate::ids::{Position, RoomName};
use crate::limits::LOAD_PAGE_RECORDS;
use crate::log::bus::Seen;
use crate::log::check::{ONE_WRITES, check_expects, judge};
use crate::log::record::StoredRecord;
use crate::log::{Appended, Batch, Expects, LogError};

pub(super) const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
pub(super) const LOG: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("log");
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const COUNTER_ROOMS: &str = "rooms";
const NO_NUMBERS: &str = "the store has no room numbers left";

/// Bytes before the record in a value of `log`.
const ENTRY_HEADER: usize = 12;

/// The tables, open for writing. Outer errors are the store's and end the transaction; inner ones
/// concern one batch, and leave the tables as they were.
pub(super) struct Tables<'txn> {
    transaction: &'txn WriteTransaction,
    rooms: Table<'txn, &'static str, &'static [u8]>,
    log: Table<'txn, (u64, u64), &'static [u8]>,
    counters: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, RedbError> {
        Ok(Self {
            transaction,
            rooms: transaction.open_table(ROOMS)?,
            log: transaction.open_table(LOG)?,
            counters: transaction.open_table(COUNTERS)?,
        })
    }

    /// Stores one batch, or answers it again.
    pub(super) fn append(
        &mut self,
        room: &RoomName,
        batch: &Batch,
        now_ms: u64,
    ) -> Result<Result<Appended, LogError>, RedbError> {
        let found = self.rooms.get(room.as_str())?.map(|meta| RoomMeta::decode(room, meta.value()));
        let known = match found.transpose() {
            Err(error) => return Ok(Err(error)),
            Ok(known) => known,
        };
        if let Some(meta) = &known
            && let Some(answer) = meta.answer_again(batch, |seq| entry(&self.log, meta.number, seq))?
        {
            return Ok(answer);
        }
        let head = known.as_ref().map_or(Seen::default(), RoomMeta::seen);
        // Other batches do not ask for it.
        let deleted = matches!(batch.expects, Expects::At(_)) && life::is_deleted(self.transaction, room)?;
        if let Err(moved) = check_expects(batch, head, deleted, ONE_WRITES) {
            return Ok(Err(moved));
        }
        let (mut meta, genesis) = match known {
            Some(meta) => (counted(meta, &self.log)?, None),
            None => match self.next_room_number()? {
                Some(number) => (RoomMeta::new(number), Some(&batch.genesis)),
                None => return Ok(Err(LogError::Fatal(NO_NUMBERS.to_owned()))),
            },
        };

        let mut position = meta.last;
        let appended = meta.place(batch, genesis.is_some(), now_ms);
        for record in genesis.into_iter().chain(&batch.records) {
            position = Position { seq: position.seq + 1, ms: appended.last.ms };
            self.insert(meta.number, position, &record.encoded)?;
        }
        self.rooms.insert(room.as_str(), meta.encode(room).as_slice())?;
        Ok(Ok(appended))
    }

    fn insert(&mut self, room: u64, position: Position, record: &[u8]) -> Result<(), RedbError> {
        let len = ENTRY_HEADER + record.len();
        let mut value = self.log.insert_reserve((room, position.seq), len)?;
        let mut out: &mut [u8] = value.as_mut();
        out.put_u64_le(position.ms);
        out.put_u32_le(entry_check(room, position));
        out.put_slice(record);
        Ok(())
    }

    /// Above every number that is in use, also if the counter is damaged: two rooms with one number would be
    /// one. `None` if there is none.
    fn next_room_number(&mut self) -> Result<Option<u64>, RedbError> {
        let counted = self.counters.get(COUNTER_ROOMS)?.map_or(0, |number| number.value());
        let stored = self.log.last()?.map_or(0, |(key, _)| key.value().0);
        let removed = removals::last_room_number(self.transaction)?;
        let number = counted.max(stored).max(removed).checked_add(1);
        if let Some(number) = number {
            self.counters.insert(COUNTER_ROOMS, number)?;
        }
        Ok(number)
    }
}

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), RedbError> {
    Tables::open(transaction)?;
    ChangeTables::open(transaction, Moment::default()).map(drop)
}

/// A room's meta, or `None` if there is no such room.
pub(super) fn room_meta(
    transaction: &ReadTransaction,
    room: &RoomName,
) -> Result<Result<Option<RoomMeta>, LogError>, RedbError> {
    let rooms = transaction.open_table(ROOMS)?;
    let meta = rooms.get(room.as_str())?.map(|meta| RoomMeta::decode(room, meta.value())).transpose();
    Ok(meta)
}

/// Up to `count_max` records of a room above the counter `after`, and above what is trimmed.
pub(super) fn read(
    transaction: &ReadTransaction,
    room: &RoomName,
    after: u64,
    count_max: usize,
) -> Result<Result<Page, LogError>, RedbError> {
    let meta = match room_meta(transaction, room)? {
        Ok(Some(meta)) => meta,
        Ok(None) => return Ok(Ok(Page::default())),
        Err(error) => return Ok(Err(error)),
    };
    let log = transaction.open_table(LOG)?;
    let after = after.max(meta.base);
    let most = after.saturating_add(count_max as u64).min(meta.last.seq);
    let mut entries = log.range((meta.number, after)..=(meta.number, most))?;
    let mut entry = entries.next().transpose()?;
    let mut page = Page::expecting((most.saturating_sub(after) as usize).min(LOAD_PAGE_RECORDS));
    for seq in after.saturating_add(1)..=most {
        if page.is_full() {
            break;
        }
        // Counters have no holes: what is not where it should be is lost, and must be told.
        while entry.as_ref().is_some_and(|(key, _)| key.value().1 < seq) {
            entry = entries.next().transpose()?;
        }
        let found = entry.as_ref().filter(|(key, _)| key.value() == (meta.number, seq));
        match found.map(|(_, value)| split_entry(meta.number, seq, value.value())) {
            Some(Ok((position, record))) => page.push(position, record),
            Some(Err((position, why))) => page.push_damaged(position, why),
            // At the time of the one before it.
            None => page.push_damaged(Position { seq, ms: page.last_ms() }, "it is missing"),
        }
    }
    Ok(Ok(page))
}

/// Names of up to `count_max` rooms above `after`.
pub(super) fn room_names(
    transaction: &ReadTransaction,
    after: Option<&RoomName>,
    count_max: usize,
) -> Result<Result<Vec<RoomName>, LogError>, RedbError> {
    let rooms = transaction.open_table(ROOMS)?;
    let after = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
    let mut names = Vec::new();
    for entry in rooms.range::<&str>((after, Bound::Unbounded))?.take(count_max) {
        match RoomName::parse(entry?.0.value()) {
            Ok(name) => names.push(name),
            Err(error) => {
                return Ok(Err(LogError::Fatal(format!("a stored room's name is damaged: {error}"))));
            }
        }
    }
    Ok(Ok(names))
}

/// The answer to a batch that may have been stored before, asked after a failed commit.
pub(super) fn find_batch(
    transaction: &ReadTransaction,
    room: &RoomName,
    batch: &Batch,
) -> Result<Result<Option<Appended>, LogError>, RedbError> {
    let meta = match room_meta(transaction, room) {
        Ok(Ok(Some(meta))) => meta,
        Ok(Ok(None)) => return Ok(Ok(None)),
        Ok(Err(error)) => return Ok(Err(error)),
        // The tables are made by the first commit.
        Err(RedbError::TableDoesNotExist(_)) => return Ok(Ok(None)),
        Err(error) => return Err(error),
    };
    let log = transaction.open_table(LOG)?;
    Ok(meta.answer_again(batch, |seq| entry(&log, meta.number, seq))?.transpose())
}

/// One record of a room, if there is a value for it: also one that is trimmed and not freed, as the first one never
/// is.
fn entry(
    log: &impl ReadableTable<(u64, u64), &'static [u8]>,
    room: u64,
    seq: u64,
) -> Result<Option<Result<StoredRecord, LogError>>, RedbError> {
    Ok(log.get((room, seq))?.map(|entry| judge_entry(room, seq, entry.value())))
}

/// Where the record of a counter stands, as far as it says so itself.
pub(super) fn position(
    log: &impl ReadableTable<(u64, u64), &'static [u8]>,
    room: u64,
    seq: u64,
) -> Result<Option<Position>, RedbError> {
    let value = log.get((room, seq))?;
    Ok(value
        .filter(|value| value.value().len() >= ENTRY_HEADER)
        .map(|value| Position { seq, ms: le_u64(value.value(), 0) }))
}

/// The same by the room's name.
pub(super) fn record(
    transaction: &ReadTransaction,
    room: &RoomName,
    seq: u64,
) -> Result<Result<Option<StoredRecord>, LogError>, RedbError> {
    match room_meta(transaction, room)? {
        Ok(Some(meta)) => Ok(entry(&transaction.open_table(LOG)?, meta.number, seq)?.transpose()),
        Ok(None) => Ok(Ok(None)),
        Err(error) => Ok(Err(error)),
    }
}

/// A room's entry with its bytes counted, as it must be before anything is written.
pub(super) fn counted_meta(
    transaction: &ReadTransaction,
    room: &RoomName,
) -> Result<Result<Option<RoomMeta>, LogError>, RedbError> {
    match room_meta(transaction, room)? {
        Ok(Some(meta)) => Ok(Ok(Some(counted(meta, &transaction.open_table(LOG)?)?))),
        other => Ok(other),
    }
}

/// The same entry, its bytes counted.
pub(super) fn counted(
    mut meta: RoomMeta,
    log: &impl ReadableTable<(u64, u64), &'static [u8]>,
) -> Result<RoomMeta, RedbError> {
    if meta.bytes.is_none() {
        meta.bytes = Some(count_bytes(&meta, log)?);
    }
    Ok(meta)
}

/// Bytes of all records of a room whose entry does not say it: it has never been trimmed.
fn count_bytes(
    meta: &RoomMeta,
    log: &impl ReadableTable<(u64, u64), &'static [u8]>,
) -> Result<u64, RedbError> {
    let mut bytes = 0;
    for entry in log.range((meta.number, 0)..=(meta.number, u64::MAX))? {
        bytes += entry?.1.value().len().saturating_sub(ENTRY_HEADER) as u64;
    }
    Ok(bytes)
}

/// Judges a value of `log`. A damaged header counts as a damaged record, at the time that it says.
fn judge_entry(room: u64, seq: u64, value: &[u8]) -> Result<StoredRecord, LogError> {
    match split_entry(room, seq, value) {
        Ok((position, record)) => judge(position, Bytes::copy_from_slice(record)),
        Err((position, why)) => Ok(StoredRecord::Damaged { position, why: why.to_owned() }),
    }
}

/// The position of an entry and its record, or what is wrong with it.
fn split_entry(room: u64, seq: u64, value: &[u8]) -> Result<(Position, &[u8]), (Position, &'static str)> {
    let at = |ms| Position { seq, ms };
    let Some((header, record)) = value.split_at_checked(ENTRY_HEADER) else {
        return Err((at(0), "it is shorter than its position"));
    };
    let position = at(le_u64(header, 0));
    if header[8..] != entry_check(room, position).to_le_bytes() {
        return Err((position, "the checksum of its position does not hold"));
    }
    Ok((position, record))
}

/// As `check_of` does the three, in one piece: every record that is read is checked.
fn entry_check(room: u64, position: Position) -> u32 {
    let mut key = [0; 24];
    for (at, value) in [room, position.seq, position.ms].into_iter().enumerate() {
        key[at * 8..][..8].copy_from_slice(&value.to_le_bytes());
    }
    crc32c::crc32c(&key)
}
