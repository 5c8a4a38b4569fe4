//! Exporting a room: everything that its log holds, as one file that proves itself.
//!
//! ```text
//!  0  4  magic, "RUAX"
//!  4  1  version: 1
//!  5  1  flags that a reader must know; none yet
//!  6  2  flags that it may ignore; none yet
//!  8  4  crc32c of bytes 0 to 7
//! 12     parts (see `part`): header, snapshots each with its chunks, records, end
//! ```
//!
//! Written from a log of any kind, a page at a time: what it costs does not grow with the room. Also the
//! archive of rooms that expire is made by this.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::part::{self, PartKind};
use super::portable::{HeadForm, SnapshotForm};
use crate::history::{self, OnTrouble, Range, Start};
use crate::ids::{Position, RoomName};
use crate::limits::{EXPORT_TRIES, REPLAY_PAGE_RECORDS};
use crate::log::record::StoredRecord;
use crate::log::{Head, Log, LogError, SnapshotRef};

pub(super) const MAGIC: [u8; 4] = *b"RUAX";
pub(super) const VERSION: u8 = 1;
pub(super) const PREAMBLE_BYTES: usize = 12;

/// The first part: whose export this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHeader {
    /// The room's name.
    pub room: String,
    /// The version of ruang that wrote the file.
    pub ruang: String,
    /// When, in ms since 1970, by the clock of the machine that wrote it.
    pub exported_ms: u64,
    /// The nonces of the generations that the room had when the export began, as far as its first record or its
    /// newest snapshot says. For people: the truth is in the records.
    #[serde(default)]
    pub generations: Vec<u32>,
}

/// The last part: what is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExportEnd {
    pub(super) head: HeadForm,
    pub(super) records: u64,
    pub(super) damaged: u64,
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Bytes written.
    pub bytes: u64,
    /// Records, damaged ones included.
    pub records: u64,
    /// Those whose bytes do not hold: the file keeps their place.
    pub damaged: u64,
    /// Snapshots with all their chunks.
    pub snapshots: usize,
    /// The newest record.
    pub last: Position,
}

/// Why a room was not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such room.
    #[error("there is no room of this name")]
    Absent,
    /// The log cannot be read now.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Compaction has removed records that were about to be written. Begin again.
    #[error("the room was compacted while it was exported; try again")]
    Compacted,
    /// The room died, or began another life. What was written is of no use.
    #[error("the room was removed while it was exported")]
    Removed,
    /// Records are gone that no snapshot covers.
    #[error("records up to #{0} are gone and no snapshot holds them: see `ruang replay verify`")]
    Uncovered(u64),
    /// There is a file already.
    #[error("{} exists; choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What takes the bytes does not take them.
    #[error("the export cannot be written: {0}")]
    Output(io::Error),
}

/// Writes a room to a new file. What was begun is removed again if it fails; a file of this name is never
/// replaced, and is complete once it is there.
///
/// # Errors
/// [`ExportError`].
pub async fn export_to_file(
    log: &Arc<dyn Log>,
    room: &RoomName,
    path: &Path,
    now_ms: u64,
) -> Result<Exported, ExportError> {
    let file_error = |source| ExportError::File { path: path.to_path_buf(), source };
    if tokio::fs::try_exists(path).await.map_err(file_error)? {
        return Err(ExportError::Exists(path.to_path_buf()));
    }
    let mut part_name = path.file_name().unwrap_or_default().to_owned();
    part_name.push(".part");
    let unfinished = path.with_file_name(part_name);
    let mut tries = 1;
    let exported = loop {
        let exported = write_file(log, room, &unfinished, now_ms).await;
        if !matches!(exported, Err(ExportError::Compacted)) || tries == EXPORT_TRIES {
            break exported;
        }
        tries += 1;
    };
    match exported {
        Ok(exported) => {
            let placed = place(&unfinished, path).await;
            let _ = tokio::fs::remove_file(&unfinished).await;
            placed?;
            Ok(exported)
        }
        Err(error) => {
            let _ = tokio::fs::remove_file(&unfinished).await;
            Err(error)
        }
    }
}

/// Gives a complete file its name, and makes that survive a power cut.
async fn place(unfinished: &Path, path: &Path) -> Result<(), ExportError> {
    let file_error = |source| ExportError::File { path: path.to_path_buf(), source };
    // Unlike a rename, a link never replaces what came meanwhile; not all file systems have links.
    match tokio::fs::hard_link(unfinished, path).await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ExportError::Exists(path.to_path_buf()));
        }
        Err(_) => tokio::fs::rename(unfinished, path).await.map_err(file_error)?,
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = tokio::fs::File::open(parent.unwrap_or(Path::new("."))).await.map_err(file_error)?;
    directory.sync_all().await.map_err(file_error)
}

async fn write_file(
    log: &Arc<dyn Log>,
    room: &RoomName,
    path: &Path,
    now_ms: u64,
) -> Result<Exported, ExportError> {
    let file_error = |source| ExportError::File { path: path.to_path_buf(), source };
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600); // rooms are for their members only
    let file = options.open(path).await.map_err(file_error)?;
    let mut out = tokio::io::BufWriter::with_capacity(1 << 16, file);
    let exported = export(log, room, &mut out, now_ms).await.map_err(|error| match error {
        ExportError::Output(source) => file_error(source),
        other => other,
    })?;
    out.get_ref().sync_all().await.map_err(file_error)?;
    Ok(exported)
}

/// Writes a room to `out`, and flushes it.
///
/// # Errors
/// [`ExportError`]: what was written is not an export then, and no reader takes it for one.
pub async fn export<W: AsyncWrite + Unpin + Send>(
    log: &Arc<dyn Log>,
    room: &RoomName,
    out: &mut W,
    now_ms: u64,
) -> Result<Exported, ExportError> {
    let head = log.open(room).await?.ok_or(ExportError::Absent)?;
    let mut writer = PartWriter { out, number: 0, bytes: 0 };
    writer.put(preamble()).await?;
    let header = ExportHeader {
        room: room.as_str().to_owned(),
        ruang: env!("CARGO_PKG_VERSION").to_owned(),
        exported_ms: now_ms,
        generations: generations(log, room, &head).await,
    };
    writer.part(PartKind::Header, &json(&header)).await?;

    // Snapshots first: what is trimmed from here on is covered by one of them.
    let mut snapshots = Vec::with_capacity(head.snapshots.len());
    for snapshot in &head.snapshots {
        if write_snapshot(log, room, snapshot, &mut writer).await? {
            snapshots.push(*snapshot);
        }
    }
    let written = write_records(log, room, &head, &mut writer).await?;
    let base = written.first.map_or(head.last.seq, |first| first.seq - 1);
    if written.last != Some(head.last) && head.base < head.last.seq {
        check_trimmed(log, room, &head, &written).await?;
    }
    snapshots.retain(|snapshot| snapshot.through.seq >= base);
    if base > 0 && snapshots.is_empty() {
        return Err(if base == head.base { ExportError::Uncovered(base) } else { ExportError::Compacted });
    }

    let exported = Exported {
        bytes: writer.bytes,
        records: written.records,
        damaged: written.damaged,
        snapshots: snapshots.len(),
        last: head.last,
    };
    let end = ExportEnd {
        head: HeadForm::from(&Head { base, snapshots, ..head }),
        records: written.records,
        damaged: written.damaged,
    };
    writer.part(PartKind::End, &json(&end)).await?;
    writer.out.flush().await.map_err(ExportError::Output)?;
    Ok(Exported { bytes: writer.bytes, ..exported })
}

/// By the first record, or where that is trimmed by the newest snapshot, which costs a document in memory. None if
/// neither can be read: that must not keep a room from being exported.
async fn generations(log: &Arc<dyn Log>, room: &RoomName, head: &Head) -> Vec<u32> {
    let (start, until) = if head.base == 0 { (Start::Genesis, 1) } else { (Start::NEWEST, 0) };
    let range = Range { start, until, on_trouble: OnTrouble::SetAside };
    let Ok(Some(mut walk)) = history::walk(log, room, range).await else { return Vec::new() };
    if walk.to_end().await.is_err() {
        return Vec::new();
    }
    let generations = walk.fold().map(|fold| fold.generations()).unwrap_or_default();
    generations.iter().map(|generation| generation.nonce).collect()
}

/// False if a chunk was gone: then the room has newer snapshots, and whoever reads the file finds this one
/// unlisted at its end.
async fn write_snapshot<W: AsyncWrite + Unpin + Send>(
    log: &Arc<dyn Log>,
    room: &RoomName,
    snapshot: &SnapshotRef,
    writer: &mut PartWriter<'_, W>,
) -> Result<bool, ExportError> {
    writer.part(PartKind::Snapshot, &json(&SnapshotForm::from(snapshot))).await?;
    for index in 0..snapshot.chunks {
        let Some(chunk) = log.chunk(room, snapshot.upload, index).await? else { return Ok(false) };
        let number = writer.next();
        writer.put(part::encode_chunk(number, snapshot.upload, index, &chunk)).await?;
    }
    Ok(true)
}

#[derive(Default)]
struct Written {
    first: Option<Position>,
    last: Option<Position>,
    records: u64,
    damaged: u64,
}

async fn write_records<W: AsyncWrite + Unpin + Send>(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &Head,
    writer: &mut PartWriter<'_, W>,
) -> Result<Written, ExportError> {
    let mut written = Written::default();
    let mut after = head.base;
    while after < head.last.seq {
        let page = log.read(room, after, REPLAY_PAGE_RECORDS).await?;
        let before = after;
        for stored in page.into_iter().take_while(|stored| stored.position().seq <= head.last.seq) {
            let position = stored.position();
            if written.first.is_some() && position.seq != after + 1 {
                return Err(ExportError::Compacted);
            }
            after = position.seq;
            written.first.get_or_insert(position);
            written.last = Some(position);
            written.records += 1;
            written.damaged += u64::from(matches!(stored, StoredRecord::Damaged { .. }));
            let number = writer.next();
            writer.put(part::encode_record(number, &stored)).await?;
        }
        if after == before {
            break;
        }
    }
    Ok(written)
}

/// The newest record was not where it should be: fine if all of them were trimmed before the first was read.
async fn check_trimmed(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &Head,
    written: &Written,
) -> Result<(), ExportError> {
    let now = log.open(room).await?.ok_or(ExportError::Removed)?;
    if now.base < head.last.seq || now.bytes < head.bytes {
        return Err(ExportError::Removed);
    }
    if written.records == 0 { Ok(()) } else { Err(ExportError::Compacted) }
}

fn preamble() -> Bytes {
    let mut preamble = [0; PREAMBLE_BYTES];
    preamble[..4].copy_from_slice(&MAGIC);
    preamble[4] = VERSION;
    let crc = crc32c::crc32c(&preamble[..8]);
    preamble[8..].copy_from_slice(&crc.to_le_bytes());
    Bytes::copy_from_slice(&preamble)
}

/// Our own forms are strings, numbers and lists of them.
fn json<T: Serialize>(form: &T) -> Vec<u8> {
    serde_json::to_vec(form).expect("a form has no map with keys that are no strings")
}

struct PartWriter<'a, W> {
    out: &'a mut W,
    /// Of the next part.
    number: u64,
    bytes: u64,
}

impl<W: AsyncWrite + Unpin + Send> PartWriter<'_, W> {
    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number - 1
    }

    async fn part(&mut self, kind: PartKind, body: &[u8]) -> Result<(), ExportError> {
        let number = self.next();
        self.put(part::encode(number, kind, &[body])).await
    }

    async fn put(&mut self, bytes: Bytes) -> Result<(), ExportError> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(&bytes).await.map_err(ExportError::Output)
    }
}
