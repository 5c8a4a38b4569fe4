//! What an export of a room holds. Plain: a line that names the format, the room's name, the oldest
//! snapshot with its chunks, then every record that is kept, each with its length in front.
//!
//! The oldest snapshot covers what was trimmed, so the room can be made again from the file, and
//! every later moment of it too.

use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::archive::ArchiveError;
use crate::ids::{Position, RoomName};
use crate::limits::LOAD_PAGE_RECORDS;
use crate::log::record::StoredRecord;
use crate::log::{Head, Log, SnapshotRef};

const FORMAT: &[u8] = b"ruang export, plain 0\n";
const NAME: u8 = 1;
const CHUNK: u8 = 2;
const RECORD: u8 = 3;
/// A record that the store cannot give back: in its place stands what is wrong with it.
const DAMAGED: u8 = 4;
const END: u8 = 5;

/// Writes all of a room, as it was when `head` was read.
///
/// # Errors
/// [`ArchiveError`] if the log cannot be read, if the room changes meanwhile, or if `out` fails.
pub(super) async fn write(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &Head,
    out: &mut (impl AsyncWrite + Unpin + Send),
) -> Result<(), ArchiveError> {
    out.write_all(FORMAT).await?;
    part(out, NAME, head.last, room.as_str().as_bytes()).await?;
    if let Some(oldest) = head.snapshots.first() {
        write_snapshot(log, room, oldest, out).await?;
    }
    let mut after = head.base;
    while after < head.last.seq {
        let page = log.read(room, after, LOAD_PAGE_RECORDS).await?;
        for stored in page.into_iter().filter(|stored| stored.position().seq <= head.last.seq) {
            let position = stored.position();
            if position.seq != after + 1 {
                return Err(ArchiveError::Changed);
            }
            after = position.seq;
            match &stored {
                StoredRecord::Intact { record, .. } => part(out, RECORD, position, &record.encoded).await?,
                StoredRecord::Damaged { why, .. } => part(out, DAMAGED, position, why.as_bytes()).await?,
            }
        }
        if log.open(room).await?.is_none_or(|now| now.last != head.last || now.base > after) {
            return Err(ArchiveError::Changed);
        }
    }
    part(out, END, head.last, &[]).await
}

async fn write_snapshot(
    log: &Arc<dyn Log>,
    room: &RoomName,
    snapshot: &SnapshotRef,
    out: &mut (impl AsyncWrite + Unpin + Send),
) -> Result<(), ArchiveError> {
    for index in 0..snapshot.chunks {
        let chunk = log.chunk(room, snapshot.upload, index).await?.ok_or(ArchiveError::Changed)?;
        part(out, CHUNK, snapshot.through, &chunk).await?;
    }
    Ok(())
}

async fn part(
    out: &mut (impl AsyncWrite + Unpin + Send),
    kind: u8,
    position: Position,
    bytes: &[u8],
) -> Result<(), ArchiveError> {
    out.write_u8(kind).await?;
    out.write_u64_le(position.seq).await?;
    out.write_u64_le(position.ms).await?;
    out.write_u32_le(u32::try_from(bytes.len()).map_err(|_| ArchiveError::Changed)?).await?;
    out.write_all(bytes).await?;
    out.write_u32_le(crc32c::crc32c(bytes)).await?;
    Ok(())
}
