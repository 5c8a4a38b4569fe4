//! An exported file as a log that can only be read: every verb works on it as on a store.
//!
//! Opening reads the file once from end to end and checks every part; what stays in memory is where the
//! records and chunks are. A file with one wrong bit, or without its end, does not open.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use super::export::{ExportEnd, ExportHeader, MAGIC, PREAMBLE_BYTES, VERSION};
use super::part::{self, PartError, PartHeader, PartKind};
use crate::ids::RoomName;
use crate::limits::{PART_HEADER_BYTES, READ_BYTES_MAX};
use crate::log::record::StoredRecord;
use crate::log::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};

/// See the module.
pub struct ExportedRoom {
    path: PathBuf,
    file: File,
    room: RoomName,
    header: ExportHeader,
    head: Head,
    /// Where the part of each record begins; the first is of counter `base + 1`.
    records: Vec<u64>,
    /// The number of the first record's part.
    first_number: u64,
    /// Where the part of each chunk begins, and its number.
    chunks: HashMap<(UploadId, u32), (u64, u64)>,
}

/// Why a file is not an export that we can use. Each text is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system does not let us read it.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not an export of ruang", .0.display())]
    Foreign(PathBuf),
    /// It is not what was written.
    #[error("{} is damaged at byte {at}: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the part begins that does not hold.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// A newer version wrote it.
    #[error("{} needs a newer version of ruang: {why}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// What is unknown.
        why: String,
    },
}

/// Reads a file from its start, part by part.
struct Scan<'a> {
    path: &'a Path,
    from: BufReader<&'a File>,
    /// Bytes of the file.
    len: u64,
    /// Where the next part begins.
    at: u64,
    /// Its number.
    number: u64,
}

impl ExportedRoom {
    /// Opens a file and checks all of it.
    ///
    /// # Errors
    /// [`FileError`] says in one line what is wrong.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let io_error = |source| FileError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io_error)?;
        let metadata = file.metadata().map_err(io_error)?;
        if !metadata.is_file() {
            return Err(FileError::Foreign(path.to_path_buf()));
        }
        let from = BufReader::with_capacity(1 << 20, &file);
        let mut scan = Scan { path, from, len: metadata.len(), at: 0, number: 0 };
        scan.preamble()?;
        let header: ExportHeader = match scan.next()? {
            (PartKind::Header, body, _) => scan.json(&body)?,
            _ => return Err(scan.damaged("it does not begin with a header")),
        };
        let room = RoomName::parse(&header.room).map_err(|error| scan.damaged(&error.to_string()))?;

        let (mut records, mut chunks) = (Vec::new(), HashMap::new());
        let (mut first_number, mut last_seq) = (0, None::<u64>);
        let end: ExportEnd = loop {
            let (kind, body, (at, number)) = scan.next()?;
            match kind {
                PartKind::Record | PartKind::Damaged => {
                    let seq = scan.judge(part::position(&body))?.seq;
                    let in_order = match last_seq {
                        None => seq > 0,
                        // Their numbers follow each other too: nothing stands between records.
                        Some(last) => {
                            last.checked_add(1) == Some(seq) && number == first_number + records.len() as u64
                        }
                    };
                    if !in_order {
                        return Err(scan.damaged("its records are not in order"));
                    }
                    if last_seq.is_none() {
                        first_number = number;
                    }
                    last_seq = Some(seq);
                    records.push(at);
                }
                PartKind::Chunk => {
                    let (upload, index, _) = scan.judge(part::decode_chunk(&body))?;
                    chunks.insert((upload, index), (at, number));
                }
                PartKind::Snapshot | PartKind::Other(_) => {}
                PartKind::Header => return Err(scan.damaged("it has two headers")),
                PartKind::End => break scan.json(&body)?,
            }
        };
        let head = end.head.head().ok_or_else(|| scan.damaged("its end is none"))?;
        let stands = last_seq.is_none_or(|last| last == head.last.seq)
            && head.last.seq.checked_sub(head.base) == Some(records.len() as u64)
            && end.records == records.len() as u64;
        if !stands || scan.at != scan.len {
            return Err(scan.damaged("its end does not fit what is before it"));
        }
        let path = path.to_path_buf();
        Ok(Self { path, file, room, header, head, records, first_number, chunks })
    }

    /// The room that was exported.
    #[must_use]
    pub fn room(&self) -> &RoomName {
        &self.room
    }

    /// Whose export this is.
    #[must_use]
    pub fn header(&self) -> &ExportHeader {
        &self.header
    }

    /// Reads a part again, and checks it again: the file may have changed.
    fn part(&self, at: u64, number: u64) -> Result<(PartKind, Bytes), LogError> {
        let failed = |why: String| LogError::Unavailable(format!("{}: {why}", self.path.display()));
        let mut header = [0; PART_HEADER_BYTES];
        self.file.read_exact_at(&mut header, at).map_err(|error| failed(error.to_string()))?;
        let header = PartHeader::decode(header).map_err(|error| failed(error.to_string()))?;
        let mut body = vec![0; header.len];
        self.file
            .read_exact_at(&mut body, at + PART_HEADER_BYTES as u64)
            .map_err(|error| failed(error.to_string()))?;
        let kind = header.check(number, &body).map_err(|error| failed(error.to_string()))?;
        Ok((kind, Bytes::from(body)))
    }
}

impl Scan<'_> {
    fn preamble(&mut self) -> Result<(), FileError> {
        let mut preamble = [0; PREAMBLE_BYTES];
        let foreign = || FileError::Foreign(self.path.to_path_buf());
        if self.len < PREAMBLE_BYTES as u64 {
            return Err(foreign());
        }
        self.read(&mut preamble)?;
        if preamble[..4] != MAGIC {
            return Err(FileError::Foreign(self.path.to_path_buf()));
        }
        if crc32c::crc32c(&preamble[..8]).to_le_bytes() != preamble[8..] {
            return Err(self.damaged("its first bytes do not hold"));
        }
        if preamble[4] != VERSION {
            return Err(self.newer(&format!("its format is {}, this one knows {VERSION}", preamble[4])));
        }
        if preamble[5] != 0 {
            return Err(self.newer(&format!("its set of flags is {}, this one knows none", preamble[5])));
        }
        self.at = PREAMBLE_BYTES as u64;
        Ok(())
    }

    /// The next part: its kind, its body, where it begins and its number.
    fn next(&mut self) -> Result<(PartKind, Bytes, (u64, u64)), FileError> {
        let (at, number) = (self.at, self.number);
        let left = self.len - at;
        if left < PART_HEADER_BYTES as u64 {
            return Err(self.damaged("it ends before its end"));
        }
        let mut header = [0; PART_HEADER_BYTES];
        self.read(&mut header)?;
        let header = self.judge(PartHeader::decode(header))?;
        // Before anything is reserved for it.
        if header.len as u64 > left - PART_HEADER_BYTES as u64 {
            return Err(self.damaged("it ends before its end"));
        }
        let mut body = vec![0; header.len];
        self.read(&mut body)?;
        let kind = self.judge(header.check(number, &body))?;
        self.at += (PART_HEADER_BYTES + header.len) as u64;
        self.number += 1;
        Ok((kind, Bytes::from(body), (at, number)))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), FileError> {
        let path = self.path.to_path_buf();
        self.from.read_exact(into).map_err(|source| FileError::Io { path, source })
    }

    fn json<T: serde::de::DeserializeOwned>(&self, body: &[u8]) -> Result<T, FileError> {
        serde_json::from_slice(body).map_err(|error| self.damaged(&error.to_string()))
    }

    fn judge<T>(&self, judged: Result<T, PartError>) -> Result<T, FileError> {
        judged.map_err(|error| match error {
            PartError::Damaged(why) => self.damaged(&why),
            PartError::Newer(why) => self.newer(&why),
        })
    }

    fn damaged(&self, why: &str) -> FileError {
        FileError::Damaged { path: self.path.to_path_buf(), at: self.at, why: why.to_owned() }
    }

    fn newer(&self, why: &str) -> FileError {
        FileError::Newer { path: self.path.to_path_buf(), why: why.to_owned() }
    }
}

/// Reads block: only the operators' commands read files, and have nothing else to do meanwhile.
#[async_trait]
impl Log for ExportedRoom {
    async fn append(&self, _: &RoomName, _: Batch) -> Result<Appended, LogError> {
        Err(read_only())
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        Ok((*room == self.room).then(|| self.head.clone()))
    }

    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        if *room != self.room {
            return Ok(Vec::new());
        }
        let first = usize::try_from(after.saturating_sub(self.head.base)).unwrap_or(usize::MAX);
        let (mut page, mut bytes) = (Vec::new(), 0);
        for (index, at) in self.records.iter().enumerate().skip(first).take(count_max) {
            let (kind, body) = self.part(*at, self.first_number + index as u64)?;
            bytes += body.len();
            page.push(part::decode_record(kind, &body).map_err(|error| LogError::Fatal(error.to_string()))?);
            if bytes > READ_BYTES_MAX {
                break;
            }
        }
        Ok(page)
    }

    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError> {
        let is_above = after.is_none_or(|after| self.room > *after);
        Ok(if is_above && count_max > 0 { vec![self.room.clone()] } else { Vec::new() })
    }

    async fn put_chunk(&self, _: &RoomName, _: UploadId, _: u32, _: Bytes) -> Result<(), LogError> {
        Err(read_only())
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        let Some(&(at, number)) = self.chunks.get(&(upload, index)).filter(|_| *room == self.room) else {
            return Ok(None);
        };
        let (_, body) = self.part(at, number)?;
        let (_, _, chunk) = part::decode_chunk(&body).map_err(|error| LogError::Fatal(error.to_string()))?;
        Ok(Some(chunk))
    }

    async fn adopt(&self, _: &RoomName, _: Adoption) -> Result<Adopted, LogError> {
        Err(read_only())
    }

    async fn trim(&self, _: &RoomName, _: u64) -> Result<u64, LogError> {
        Err(read_only())
    }

    async fn touch(&self, _: &RoomName, _: Option<u64>) -> Result<(), LogError> {
        Err(read_only())
    }

    async fn freeze(&self, _: &RoomName, _: bool) -> Result<bool, LogError> {
        Err(read_only())
    }

    async fn expire(&self, _: &RoomName, _: u64) -> Result<bool, LogError> {
        Err(read_only())
    }

    async fn delete(&self, _: &RoomName) -> Result<bool, LogError> {
        Err(read_only())
    }

    async fn tombstone(&self, _: &RoomName) -> Result<Option<Tombstone>, LogError> {
        Ok(None)
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    async fn health(&self) -> Result<(), LogError> {
        Ok(())
    }

    async fn close(&self) {}
}

fn read_only() -> LogError {
    LogError::Fatal("an exported file can only be read".to_owned())
}
