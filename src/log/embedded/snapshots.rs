//! Snapshots in the database: pieces on their way in, adoption, and what was never adopted.
//!
//! | table | key | value |
//! |---|---|---|
//! | `chunks` | room number, upload, chunk | check (4), bytes |
//! | `uploads` | room number, upload | process (8), ms of the last chunk (8), bytes (8), chunks (4), end (4), check (4) |
//!
//! `uploads` has what is not adopted; an adopted snapshot stands in its room's entry. A check is the crc32c of key and
//! value.

use bytes::{BufMut, Bytes};
use redb::{Error as RedbError, ReadTransaction, ReadableTable, TableDefinition};

use super::changes::{ChangeTables, Moment, Stop};
use super::rooms::{RoomMeta, check_of, le_u64};
use super::{removals, tables};
use crate::ids::RoomName;
use crate::log::check::{Uploaded, adopted_before, check_adoption, is_upload_gone, kept_snapshots};
use crate::log::{Adopted, Adoption, LogError, SnapshotRef, UploadId};

pub(super) const CHUNKS: TableDefinition<'_, (u64, u64, u32), &[u8]> = TableDefinition::new("chunks");
pub(super) const UPLOADS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("uploads");

/// Bytes before the chunk in a value of `chunks`.
const CHUNK_HEADER: usize = 4;
const UPLOAD: usize = 3 * 8 + 2 * 4;

/// An upload that is not adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UploadMeta {
    /// Which opening of the store wrote it: see [`Moment::process`].
    process: u64,
    /// When its newest chunk came, by the store's clock.
    touched_ms: u64,
    uploaded: Uploaded,
}

/// Stores one piece.
pub(super) fn put_chunk(
    tables: &mut ChangeTables<'_>,
    room: &RoomName,
    upload: UploadId,
    index: u32,
    bytes: &Bytes,
) -> Result<(), Stop> {
    let meta = tables.present(room)?;
    if meta.is_adopted(upload) {
        return Err(LogError::Fatal("the snapshot is adopted, and cannot be changed".to_owned()).into());
    }
    forget_gone(tables)?;
    removals::free_upload(tables, meta.number, upload)?;
    let Moment { now_ms, process } = tables.moment;
    let mut uploaded = known_upload(tables, meta.number, upload)?.unwrap_or_default();
    let key = (meta.number, upload.0, index);
    let mut value = Vec::with_capacity(CHUNK_HEADER + bytes.len());
    value.put_u32_le(chunk_check(key, bytes));
    value.put_slice(bytes);
    match tables.chunks.insert(key, value.as_slice())? {
        Some(before) => uploaded.bytes -= chunk_bytes(before.value()).len() as u64,
        None => uploaded.chunks += 1,
    }
    uploaded.bytes += bytes.len() as u64;
    uploaded.end = uploaded.end.max(index + 1);
    let entry = UploadMeta { process, touched_ms: now_ms, uploaded };
    let entry = entry.encode(meta.number, upload);
    tables.uploads.insert((meta.number, upload.0), entry.as_slice())?;
    tables.changed = true;
    Ok(())
}

/// A piece of an upload, as it stands there.
pub(super) fn chunk(
    transaction: &ReadTransaction,
    moment: Moment,
    room: &RoomName,
    upload: UploadId,
    index: u32,
) -> Result<Result<Option<Bytes>, LogError>, RedbError> {
    let meta = match tables::room_meta(transaction, room)? {
        Ok(Some(meta)) => meta,
        Ok(None) => return Ok(Ok(None)),
        Err(error) => return Ok(Err(error)),
    };
    if !meta.is_adopted(upload) {
        let uploads = transaction.open_table(UPLOADS)?;
        let entry = uploads.get((meta.number, upload.0))?;
        let entry = entry.and_then(|entry| UploadMeta::decode(meta.number, upload, entry.value()));
        if entry.is_none_or(|entry| entry.is_gone(moment)) {
            return Ok(Ok(None));
        }
    }
    let key = (meta.number, upload.0, index);
    let Some(value) = transaction.open_table(CHUNKS)?.get(key)? else { return Ok(Ok(None)) };
    let bytes = chunk_bytes(value.value());
    if value.value().first_chunk() != Some(&chunk_check(key, bytes).to_le_bytes()) {
        // Whoever reads it checks it, and falls back; this is how an operator learns of a failing disk.
        tracing::warn!(
            room_number = meta.number,
            upload = upload.0,
            index,
            "a piece of a snapshot is damaged"
        );
    }
    Ok(Ok(Some(Bytes::copy_from_slice(bytes))))
}

/// Publishes an upload.
pub(super) fn adopt(
    tables: &mut ChangeTables<'_>,
    room: &RoomName,
    adoption: &Adoption,
) -> Result<Adopted, Stop> {
    let mut meta = tables.present(room)?;
    if let Some(answer) = adopted_before(adoption, &meta.snapshots) {
        return Ok(answer);
    }
    if adoption.revision != meta.revision {
        forget(tables, meta.number, adoption.upload)?;
        return Ok(Adopted::Lost(meta.revision));
    }
    let uploaded = known_upload(tables, meta.number, adoption.upload)?;
    let head = meta.head(meta.bytes.unwrap_or_default());
    let stands = tables::position(&tables.log, meta.number, adoption.through.seq)?;
    check_adoption(adoption, &head, uploaded, stands)?;
    meta.revision += 1;
    meta.snapshots = kept_snapshots(&head, &adoption.drop);
    meta.snapshots.push(SnapshotRef {
        revision: meta.revision,
        upload: adoption.upload,
        through: adoption.through,
        log_bytes: adoption.log_bytes,
        chunks: adoption.chunks,
        bytes: adoption.bytes,
    });
    for gone in head.snapshots.iter().filter(|before| !meta.is_adopted(before.upload)) {
        removals::queue_upload(tables, meta.number, gone.upload)?;
    }
    tables.uploads.remove((meta.number, adoption.upload.0))?;
    tables.put_meta(room, &meta)?;
    Ok(Adopted::Done(meta.revision))
}

/// Forgets records up to a counter; they are freed later. The first one stays where it is, unseen: it
/// answers a late retry of the batch that made the room.
pub(super) fn trim(tables: &mut ChangeTables<'_>, room: &RoomName, through: u64) -> Result<u64, Stop> {
    let Some(mut meta) = tables.meta(room)? else { return Ok(0) };
    let covered = meta.snapshots.first().map_or(0, |oldest| oldest.through.seq);
    let through = through.min(covered);
    if through > meta.base {
        meta.base = through;
        removals::queue_records(tables, meta.number, through)?;
        tables.put_meta(room, &meta)?;
    }
    Ok(meta.base)
}

/// Queues what all uploads of a room have, before the room goes.
pub(super) fn forget_room(tables: &mut ChangeTables<'_>, meta: &RoomMeta) -> Result<(), Stop> {
    tables.uploads.retain_in((meta.number, 0)..=(meta.number, u64::MAX), |_, _| false)?;
    Ok(())
}

/// Queues the uploads that nobody adopted in time, or before this process began. There are few uploads at a time.
pub(super) fn forget_gone(tables: &mut ChangeTables<'_>) -> Result<(), Stop> {
    let mut gone = Vec::new();
    for entry in tables.uploads.iter()? {
        let (key, value) = entry?;
        let (number, upload) = key.value();
        let known = UploadMeta::decode(number, UploadId(upload), value.value());
        if known.is_none_or(|known| known.is_gone(tables.moment)) {
            gone.push((number, UploadId(upload)));
        }
    }
    gone.into_iter().try_for_each(|(number, upload)| forget(tables, number, upload))
}

fn forget(tables: &mut ChangeTables<'_>, number: u64, upload: UploadId) -> Result<(), Stop> {
    let known = tables.uploads.remove((number, upload.0))?.is_some();
    if known {
        removals::queue_upload(tables, number, upload)?;
    }
    Ok(())
}

/// What an upload has so far; `None` if it is not there, or gone, or its entry is damaged.
fn known_upload(tables: &ChangeTables<'_>, number: u64, upload: UploadId) -> Result<Option<Uploaded>, Stop> {
    let entry = tables.uploads.get((number, upload.0))?;
    let entry = entry.and_then(|entry| UploadMeta::decode(number, upload, entry.value()));
    Ok(entry.filter(|entry| !entry.is_gone(tables.moment)).map(|entry| entry.uploaded))
}

fn chunk_bytes(value: &[u8]) -> &[u8] {
    value.get(CHUNK_HEADER..).unwrap_or_default()
}

fn chunk_check((number, upload, index): (u64, u64, u32), bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(check_of(&[number, upload, u64::from(index)]), bytes)
}

impl UploadMeta {
    fn is_gone(&self, moment: Moment) -> bool {
        self.process != moment.process || is_upload_gone(self.touched_ms, moment.now_ms)
    }

    fn encode(&self, number: u64, upload: UploadId) -> Vec<u8> {
        let mut out = Vec::with_capacity(UPLOAD + 4);
        for value in [self.process, self.touched_ms, self.uploaded.bytes] {
            out.put_u64_le(value);
        }
        out.put_u32_le(self.uploaded.chunks);
        out.put_u32_le(self.uploaded.end);
        out.put_u32_le(crc32c::crc32c_append(check_of(&[number, upload.0]), &out));
        out
    }

    /// `None` if it is damaged: the upload is lost then, and its writer begins again.
    fn decode(number: u64, upload: UploadId, bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<4>()?;
        let sum = crc32c::crc32c_append(check_of(&[number, upload.0]), body);
        if body.len() != UPLOAD || sum != u32::from_le_bytes(*check) {
            return None;
        }
        // Two integers of four bytes.
        let counts = le_u64(body, 3).to_le_bytes();
        let (chunks, end) = counts.split_at(4);
        let u32_of = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let uploaded = Uploaded { chunks: u32_of(chunks), end: u32_of(end), bytes: le_u64(body, 2) };
        Some(Self { process: le_u64(body, 0), touched_ms: le_u64(body, 1), uploaded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [L40] An upload's entry comes back as it was written, under its own key only; each flipped bit and each
    /// truncation is detected.
    #[test]
    fn each_flipped_bit_of_an_upload_is_detected() {
        let uploaded = Uploaded { chunks: 0x0102_0304, end: 0x0506_0708, bytes: u64::MAX - 1 };
        let meta = UploadMeta { process: 3, touched_ms: 4, uploaded };
        let (number, upload) = (5, UploadId(6));
        let entry = meta.encode(number, upload);
        assert_eq!(UploadMeta::decode(number, upload, &entry), Some(meta));
        assert_eq!(UploadMeta::decode(number + 1, upload, &entry), None);
        assert_eq!(UploadMeta::decode(number, UploadId(7), &entry), None);
        for bit in 0..entry.len() * 8 {
            let mut turned = entry.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(UploadMeta::decode(number, upload, &turned), None, "bit {bit}");
        }
        for len in 0..entry.len() {
            assert_eq!(UploadMeta::decode(number, upload, &entry[..len]), None, "cut to {len}");
        }
    }
}
