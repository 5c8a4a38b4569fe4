//! What stands in the database, and how one batch is stored in it.
//!
//! | table | key | value |
//! |---|---|---|
//! | `rooms` | name | [`RoomMeta`] |
//! | `log` | room number, counter | milliseconds (8), check (4), record |
//! | `counters` | `"rooms"` | the highest room number given |
//! | `counters` | `"journal"`, `"journal-check"` | the newest frame of the journal that is moved, its crc32c |
//!
//! Integers are little endian. The check is the crc32c of key and milliseconds: with the record's
//! own checksum no bit of a position or record can turn around unnoticed. redb does not check its
//! pages when it reads them.

mod moving;

pub(super) use moving::{Moved, moved};

use std::ops::Bound;

use bytes::{BufMut, Bytes};
use redb::{Error as RedbError, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::ids::{InstanceId, Position, RoomName};
use crate::limits::{BATCH_MEMORY_INSTANCES_MAX, READ_BYTES_MAX};
use crate::log::record::StoredRecord;
use crate::log::{Appended, Batch, LogError, check_repeated, judge};

const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
const LOG: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("log");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const COUNTER_ROOMS: &str = "rooms";

/// Bytes before the record in a value of `log`.
const ENTRY_HEADER: usize = 12;
const META_VERSION: u8 = 1;
const META_FIXED: usize = 1 + 3 * 8;
const META_BATCH: usize = 5 * 8 + 1;

/// What is known of a room without reading its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoomMeta {
    /// Its key in `log`.
    pub(super) number: u64,
    /// Position of its newest record.
    pub(super) last: Position,
    /// The last batch of each instance, the longest unused first, for retries.
    batches: Vec<LastBatch>,
}

/// What a batch is answered with when it is sent again. All its records have the same milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastBatch {
    instance: InstanceId,
    number: u64,
    first: u64,
    last: u64,
    ms: u64,
    created: bool,
}

/// The tables, open for writing. Outer errors are the store's and end the transaction; inner ones
/// concern one batch, and leave the tables as they were.
pub(super) struct Tables<'txn> {
    rooms: Table<'txn, &'static str, &'static [u8]>,
    log: Table<'txn, (u64, u64), &'static [u8]>,
    counters: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, RedbError> {
        Ok(Self {
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
        let (mut meta, genesis) = match found {
            Some(Err(why)) => return Ok(Err(damaged_room(&why))),
            Some(Ok(meta)) => {
                if let Some(answer) = meta.answer_again(batch, |seq| entry(&self.log, meta.number, seq))? {
                    return Ok(answer);
                }
                (meta, None)
            }
            None => (RoomMeta::new(self.next_room_number()?), Some(&batch.genesis)),
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

    fn next_room_number(&mut self) -> Result<u64, RedbError> {
        let number = self.counters.get(COUNTER_ROOMS)?.map_or(0, |number| number.value()) + 1;
        self.counters.insert(COUNTER_ROOMS, number)?;
        Ok(number)
    }
}

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), RedbError> {
    Tables::open(transaction).map(|_| ())
}

/// A room's meta, or `None` if there is no such room.
pub(super) fn room_meta(
    transaction: &ReadTransaction,
    room: &RoomName,
) -> Result<Result<Option<RoomMeta>, LogError>, RedbError> {
    let rooms = transaction.open_table(ROOMS)?;
    let meta = rooms.get(room.as_str())?.map(|meta| RoomMeta::decode(room, meta.value())).transpose();
    Ok(meta.map_err(|why| damaged_room(&why)))
}

/// Up to `count_max` records of a room above the counter `after`.
pub(super) fn read(
    transaction: &ReadTransaction,
    room: &RoomName,
    after: u64,
    count_max: usize,
) -> Result<Result<Vec<StoredRecord>, LogError>, RedbError> {
    let meta = match room_meta(transaction, room)? {
        Ok(Some(meta)) => meta,
        Ok(None) => return Ok(Ok(Vec::new())),
        Err(error) => return Ok(Err(error)),
    };
    let log = transaction.open_table(LOG)?;
    let most = after.saturating_add(count_max as u64).min(meta.last.seq);
    let mut entries = log.range((meta.number, after)..=(meta.number, most))?;
    let mut entry = entries.next().transpose()?;
    let mut records: Vec<StoredRecord> = Vec::new();
    let mut bytes = 0;
    for seq in after.saturating_add(1)..=most {
        if bytes > READ_BYTES_MAX {
            break;
        }
        // Counters have no holes: what is not where it should be is lost, and must be told.
        while entry.as_ref().is_some_and(|(key, _)| key.value().1 < seq) {
            entry = entries.next().transpose()?;
        }
        let found = entry.as_ref().filter(|(key, _)| key.value() == (meta.number, seq));
        bytes += found.map_or(0, |(_, value)| value.value().len());
        let record = match found.map(|(_, value)| judge_entry(meta.number, seq, value.value())) {
            Some(Ok(record)) => record,
            Some(Err(error)) => return Ok(Err(error)),
            None => missing(seq, records.last()),
        };
        records.push(record);
    }
    Ok(Ok(records))
}

/// Stands in for a record that is not there, at the time of the one before it.
fn missing(seq: u64, before: Option<&StoredRecord>) -> StoredRecord {
    let ms = before.map_or(0, |before| before.position().ms);
    StoredRecord::Damaged { position: Position { seq, ms }, why: "it is missing".to_owned() }
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

/// One record of a room, if there is a value for it.
fn entry(
    log: &impl ReadableTable<(u64, u64), &'static [u8]>,
    room: u64,
    seq: u64,
) -> Result<Option<Result<StoredRecord, LogError>>, RedbError> {
    Ok(log.get((room, seq))?.map(|entry| judge_entry(room, seq, entry.value())))
}

impl RoomMeta {
    /// A room that is about to be made.
    pub(super) fn new(number: u64) -> Self {
        Self { number, last: Position::START, batches: Vec::new() }
    }

    /// The answer to a batch that is stored; an error for one that came too late; `None` for a new
    /// one. `record` finds the genesis record by its counter.
    pub(super) fn answer_again<E>(
        &self,
        batch: &Batch,
        record: impl FnOnce(u64) -> Result<Option<Result<StoredRecord, LogError>>, E>,
    ) -> Result<Option<Result<Appended, LogError>>, E> {
        let known = self.batches.iter().find(|known| known.instance == batch.instance);
        let Some(known) = known.filter(|known| batch.number <= known.number) else { return Ok(None) };
        if let Err(error) = check_repeated(known.number, batch.number) {
            return Ok(Some(Err(error)));
        }
        let created = if known.created { record(known.first - 1)?.transpose() } else { Ok(None) };
        let at = |seq| Position { seq, ms: known.ms };
        let answer =
            |created| Appended { created, first: at(known.first), last: at(known.last), duplicate: true };
        Ok(Some(created.map(answer)))
    }

    /// Gives a new batch its positions, behind the genesis record if it creates the room.
    pub(super) fn place(&mut self, batch: &Batch, creates: bool, now_ms: u64) -> Appended {
        let ms = now_ms.max(self.last.ms);
        let at = |seq| Position { seq, ms };
        let before = self.last.seq;
        let first = before + 1 + u64::from(creates);
        self.last = at(before + u64::from(creates) + batch.records.len() as u64);
        self.remember(LastBatch {
            instance: batch.instance,
            number: batch.number,
            first,
            last: self.last.seq,
            ms,
            created: creates,
        });
        let created =
            creates.then(|| StoredRecord::Intact { position: at(before + 1), record: batch.genesis.clone() });
        Appended { created, first: at(first), last: self.last, duplicate: false }
    }

    fn remember(&mut self, batch: LastBatch) {
        self.batches.retain(|known| known.instance != batch.instance);
        if self.batches.len() == BATCH_MEMORY_INSTANCES_MAX {
            self.batches.remove(0);
        }
        self.batches.push(batch);
    }

    /// Version, number, newest position, last batches, crc32c of the room's name and all that.
    fn encode(&self, room: &RoomName) -> Vec<u8> {
        let mut out = Vec::with_capacity(META_FIXED + self.batches.len() * META_BATCH + 4);
        out.put_u8(META_VERSION);
        for value in [self.number, self.last.seq, self.last.ms] {
            out.put_u64_le(value);
        }
        for batch in &self.batches {
            for value in [batch.instance.0, batch.number, batch.first, batch.last, batch.ms] {
                out.put_u64_le(value);
            }
            out.put_u8(u8::from(batch.created));
        }
        out.put_u32_le(meta_check(room, &out));
        out
    }

    /// Says what is wrong with bytes that are not such a value.
    fn decode(room: &RoomName, bytes: &[u8]) -> Result<Self, String> {
        let (body, check) = bytes.split_last_chunk::<4>().ok_or("it is too short")?;
        if meta_check(room, body) != u32::from_le_bytes(*check) {
            return Err("its checksum does not hold".to_owned());
        }
        let (version, body) = body.split_first().ok_or("it is too short")?;
        if *version != META_VERSION {
            return Err(format!("its version is {version}, this ruang knows {META_VERSION}"));
        }
        let (fixed, batches) = body.split_at_checked(META_FIXED - 1).ok_or("it is too short")?;
        let batches = batches.chunks_exact(META_BATCH);
        if !batches.remainder().is_empty() {
            return Err("it is cut off".to_owned());
        }
        let batches = batches.map(|batch| LastBatch {
            instance: InstanceId(le_u64(batch, 0)),
            number: le_u64(batch, 1),
            first: le_u64(batch, 2),
            last: le_u64(batch, 3),
            ms: le_u64(batch, 4),
            created: batch[META_BATCH - 1] != 0,
        });
        Ok(Self {
            number: le_u64(fixed, 0),
            last: Position { seq: le_u64(fixed, 1), ms: le_u64(fixed, 2) },
            batches: batches.collect(),
        })
    }
}

fn meta_check(room: &RoomName, meta: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(room.as_str().as_bytes()), meta)
}

fn damaged_room(why: &str) -> LogError {
    LogError::Fatal(format!("the room's entry in the store cannot be used: {why}"))
}

/// Judges a value of `log`. A damaged header counts as a damaged record, at the time that it says.
fn judge_entry(room: u64, seq: u64, value: &[u8]) -> Result<StoredRecord, LogError> {
    let damaged =
        |ms, why: &str| Ok(StoredRecord::Damaged { position: Position { seq, ms }, why: why.to_owned() });
    let Some((header, record)) = value.split_at_checked(ENTRY_HEADER) else {
        return damaged(0, "it is shorter than its position");
    };
    let position = Position { seq, ms: le_u64(header, 0) };
    if header[8..] != entry_check(room, position).to_le_bytes() {
        return damaged(position.ms, "the checksum of its position does not hold");
    }
    judge(position, Bytes::copy_from_slice(record))
}

fn entry_check(room: u64, position: Position) -> u32 {
    [room, position.seq, position.ms]
        .iter()
        .fold(0, |crc, value| crc32c::crc32c_append(crc, &value.to_le_bytes()))
}

/// The integer of that index in a row of them. The caller has checked the length.
fn le_u64(bytes: &[u8], index: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
    u64::from_le_bytes(eight)
}
