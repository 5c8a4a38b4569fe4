//! How rooms live and die in the database: deadlines, freezing, removal, and the tombstones that deletions leave.
//!
//! | table | key | value |
//! |---|---|---|
//! | `tombstones` | name | version (1), ms of the deletion (8), crc32c of name and all before (4) |

use bytes::BufMut;
use redb::{Error as RedbError, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::changes::{ChangeTables, Stop};
use super::removals;
use super::rooms::{RoomMeta, le_u64};
use super::snapshots;
use crate::ids::RoomName;
use crate::log::{LogError, Tombstone};

pub(super) const TOMBSTONES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tombstones");

const VERSION: u8 = 1;
const TOMBSTONE: usize = 1 + 8;

/// Sets the deadline.
pub(super) fn touch(tables: &mut ChangeTables<'_>, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), Stop> {
    let Some(mut meta) = tables.meta(room)? else { return Ok(()) };
    meta.touch(ttl_ms, tables.moment.now_ms);
    tables.put_meta(room, &meta)
}

/// Marks a room, or takes the mark away. False if there is no such room.
pub(super) fn freeze(tables: &mut ChangeTables<'_>, room: &RoomName, frozen: bool) -> Result<bool, Stop> {
    let Some(mut meta) = tables.meta(room)? else { return Ok(false) };
    if meta.frozen != frozen {
        meta.frozen = frozen;
        tables.put_meta(room, &meta)?;
    }
    Ok(true)
}

/// Removes a room whose deadline is still the one that was seen, and has passed.
pub(super) fn expire(tables: &mut ChangeTables<'_>, room: &RoomName, deadline_ms: u64) -> Result<bool, Stop> {
    let Some(meta) = tables.meta(room)? else { return Ok(false) };
    let due = meta.deadline_ms == Some(deadline_ms) && deadline_ms <= tables.moment.now_ms;
    if due {
        remove(tables, room, &meta)?;
    }
    Ok(due)
}

/// Removes a room and leaves a tombstone. A room whose entry is damaged goes too, but its records cannot
/// be found any more and stay in the file.
pub(super) fn delete(tables: &mut ChangeTables<'_>, room: &RoomName) -> Result<bool, Stop> {
    let mut deleted_ms = tables.moment.now_ms;
    let existed = match tables.meta(room) {
        Ok(Some(meta)) => {
            deleted_ms = deleted_ms.max(meta.last.ms);
            remove(tables, room, &meta)?;
            true
        }
        Ok(None) => false,
        Err(Stop::Refuse(error)) => {
            tracing::warn!(%error, "a room is deleted, but its bytes cannot be freed");
            tables.rooms.remove(room.as_str())?;
            true
        }
        Err(stop) => return Err(stop),
    };
    let entry = encode(room, Tombstone { deleted_ms });
    tables.tombstones.insert(room.as_str(), entry.as_slice())?;
    tables.changed = true;
    Ok(existed)
}

/// The room is gone with this transaction; its bytes are freed later.
fn remove(tables: &mut ChangeTables<'_>, room: &RoomName, meta: &RoomMeta) -> Result<(), Stop> {
    tables.rooms.remove(room.as_str())?;
    snapshots::forget_room(tables, meta)?;
    removals::queue_room(tables, meta.number)
}

/// What a deletion has left.
pub(super) fn tombstone(
    transaction: &ReadTransaction,
    room: &RoomName,
) -> Result<Result<Option<Tombstone>, LogError>, RedbError> {
    let tombstones = transaction.open_table(TOMBSTONES)?;
    let entry = tombstones.get(room.as_str())?;
    Ok(entry.map(|entry| decode(room, entry.value())).transpose())
}

/// Whether there is a tombstone. A damaged one counts.
pub(super) fn has_tombstone(
    transaction: &ReadTransaction,
    room: &RoomName,
) -> Result<Result<bool, LogError>, RedbError> {
    Ok(Ok(transaction.open_table(TOMBSTONES)?.get(room.as_str())?.is_some()))
}

/// The same within a transaction that writes.
pub(super) fn is_deleted(transaction: &WriteTransaction, room: &RoomName) -> Result<bool, RedbError> {
    Ok(transaction.open_table(TOMBSTONES)?.get(room.as_str())?.is_some())
}

fn encode(room: &RoomName, tombstone: Tombstone) -> Vec<u8> {
    let mut out = Vec::with_capacity(TOMBSTONE + 4);
    out.put_u8(VERSION);
    out.put_u64_le(tombstone.deleted_ms);
    out.put_u32_le(check(room, &out));
    out
}

fn decode(room: &RoomName, bytes: &[u8]) -> Result<Tombstone, LogError> {
    let damaged = |why: &str| LogError::Fatal(format!("the room's tombstone cannot be used: {why}"));
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
    if check(room, body) != u32::from_le_bytes(*sum) {
        return Err(damaged("its checksum does not hold"));
    }
    if body.len() != TOMBSTONE || body[0] != VERSION {
        return Err(damaged("a newer ruang wrote it"));
    }
    Ok(Tombstone { deleted_ms: le_u64(&body[1..], 0) })
}

fn check(room: &RoomName, entry: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(room.as_str().as_bytes()), entry)
}
