//! What stands in a file of the journal. Pure: bytes in, frames out.
//!
//! ```text
//! file    4096  magic "RUAJ" (4), version 1 (2), index (2), salt (8), bytes of the file (8), crc32c (4), zeros
//! frame     48  magic "RUAF" (4), version 1 (2), zeros (2), salt (8), sequence (8), bytes of the records (4),
//!               bytes of the directory (4), crc32c of records (4), of directory (4), of this header (4), zeros (4)
//!            …  the records of all batches, one behind the other
//!            …  the directory: for each batch name (1 + …), instance, number, first counter, ms, deadline (8 each),
//!               flags (1), how many records (2), their lengths (4 each)
//!            …  zeros up to a multiple of 8
//! mark      32  magic "RUAK" (4), zeros (4), salt (8), sequence (8), crc32c (4), zeros (4)
//! ```
//!
//! Integers are little endian. Flags: 1, it created the room; 2, there is a deadline. A frame is one commit. Sequences go up by one from frame to frame,
//! over both files; those that the database has are news no more. The salt is random and never leaves the store: what a client
//! writes into a record cannot pass for a frame. A mark stands where the next frame will: it says that the frame before it
//! is on the disk, so that damage to the last frame is told from one that was never finished.

use bytes::{BufMut, Bytes};

use crate::ids::{InstanceId, Position, RoomName};
use crate::log::record::Record;

const FILE_MAGIC: [u8; 4] = *b"RUAJ";
const FRAME_MAGIC: [u8; 4] = *b"RUAF";
const MARK_MAGIC: [u8; 4] = *b"RUAK";
const VERSION: u16 = 1;
const FILE_HEADER: usize = 32;
const HEADER: usize = 48;
const HEADER_CRC_AT: usize = 40;
/// What a directory has of each batch between its name and the lengths of its records.
const BATCH: usize = 5 * 8 + 1 + 2;
const FLAG_CREATED: u8 = 1;
const FLAG_DEADLINE: u8 = 2;
/// Frames and marks begin at multiples of this.
const ALIGN: usize = 8;

/// Where the first frame begins: the header's page is never written again.
pub(super) const FRAMES_AT: usize = 4_096;
/// Bytes of a mark.
pub(super) const MARK: usize = 32;

/// One batch in a frame: everything but its records' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) room: RoomName,
    pub(super) instance: InstanceId,
    pub(super) number: u64,
    /// Counter of the first record, the genesis record included.
    pub(super) first: u64,
    /// Of all its records.
    pub(super) ms: u64,
    /// The room's, from this batch on.
    pub(super) deadline_ms: Option<u64>,
    /// The first record is the room's genesis record.
    pub(super) created: bool,
    /// Where each record stands in the frame: offset and length.
    pub(super) records: Vec<(u32, u32)>,
}

/// A frame that is being put together.
pub(super) struct FrameBuilder {
    bytes: Vec<u8>,
    directory: Vec<u8>,
}

/// A frame as it was found, its header intact.
pub(super) struct Frame {
    pub(super) sequence: u64,
    /// All of it; what [`Entry::records`] points into.
    pub(super) bytes: Bytes,
    /// `None` if the directory is damaged.
    pub(super) entries: Option<Vec<Entry>>,
    /// Every byte is as it was written.
    pub(super) intact: bool,
}

/// What one file of the journal says.
pub(super) struct Scan {
    /// From the start of the file on, each one behind the other. Those of earlier rounds are among
    /// them.
    pub(super) frames: Vec<Frame>,
    /// The highest sequence that is proven to have been synced.
    pub(super) proven: u64,
    /// The highest sequence that stands in the file in any form.
    pub(super) seen: u64,
}

impl Entry {
    /// Position of its last record.
    pub(super) fn last(&self) -> Position {
        Position { seq: (self.first + self.records.len() as u64).saturating_sub(1), ms: self.ms }
    }

    /// Bytes of all its records.
    pub(super) fn bytes(&self) -> u64 {
        self.records.iter().map(|(_, len)| u64::from(*len)).sum()
    }
}

impl Default for FrameBuilder {
    fn default() -> Self {
        Self { bytes: vec![0; HEADER], directory: Vec::new() }
    }
}

impl FrameBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.directory.is_empty()
    }

    /// Bytes of the frame that this would be.
    pub(super) fn len(&self) -> usize {
        (self.bytes.len() + self.directory.len()).next_multiple_of(ALIGN)
    }

    /// Adds a batch; its records' places are filled in.
    ///
    /// # Panics
    /// If the records have 4 GiB: the writer bounds a group.
    pub(super) fn push<'a>(&mut self, entry: &mut Entry, records: impl Iterator<Item = &'a Record>) {
        let small = |len: usize| u32::try_from(len).expect("a group is below 4 GiB");
        entry.records.clear();
        for record in records {
            entry.records.push((small(self.bytes.len()), small(record.encoded.len())));
            self.bytes.extend_from_slice(&record.encoded);
        }
        let (name, out) = (entry.room.as_str(), &mut self.directory);
        out.put_u8(u8::try_from(name.len()).expect("names have at most 128 bytes"));
        out.put_slice(name.as_bytes());
        let deadline_ms = entry.deadline_ms.unwrap_or_default();
        for value in [entry.instance.0, entry.number, entry.first, entry.ms, deadline_ms] {
            out.put_u64_le(value);
        }
        let deadline = if entry.deadline_ms.is_some() { FLAG_DEADLINE } else { 0 };
        out.put_u8(deadline | if entry.created { FLAG_CREATED } else { 0 });
        out.put_u16_le(u16::try_from(entry.records.len()).expect("a batch has at most 257 records"));
        for (_, len) in &entry.records {
            out.put_u32_le(*len);
        }
    }

    /// The frame, ready to be written. Offsets given by [`FrameBuilder::push`] hold in it.
    pub(super) fn finish(mut self, salt: u64, sequence: u64) -> Bytes {
        let records_len = (self.bytes.len() - HEADER) as u32;
        let mut header = Vec::with_capacity(HEADER);
        header.put_slice(&FRAME_MAGIC);
        header.put_u16_le(VERSION);
        header.put_u16_le(0);
        header.put_u64_le(salt);
        header.put_u64_le(sequence);
        header.put_u32_le(records_len);
        header.put_u32_le(self.directory.len() as u32);
        header.put_u32_le(crc32c::crc32c(&self.bytes[HEADER..]));
        header.put_u32_le(crc32c::crc32c(&self.directory));
        header.put_u32_le(crc32c::crc32c(&header));
        header.put_u32_le(0);
        self.bytes[..HEADER].copy_from_slice(&header);
        self.bytes.append(&mut self.directory);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        Bytes::from(self.bytes)
    }
}

/// The mark behind a frame that was synced.
pub(super) fn mark(salt: u64, sequence: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(MARK);
    out.put_slice(&MARK_MAGIC);
    out.put_u32_le(0);
    out.put_u64_le(salt);
    out.put_u64_le(sequence);
    out.put_u32_le(crc32c::crc32c(&out));
    out.put_u32_le(0);
    out
}

/// The first page of a file.
pub(super) fn file_header(index: usize, salt: u64, len: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAMES_AT);
    out.put_slice(&FILE_MAGIC);
    out.put_u16_le(VERSION);
    out.put_u16_le(index as u16);
    out.put_u64_le(salt);
    out.put_u64_le(len);
    out.put_u32_le(crc32c::crc32c(&out));
    out.resize(FRAMES_AT, 0);
    out
}

/// The salt of a file; says what is wrong with one that is not what was made.
pub(super) fn check_file(bytes: &[u8], index: usize) -> Result<u64, String> {
    let header = bytes.get(..FILE_HEADER).ok_or("it is cut off")?;
    if header[..4] != FILE_MAGIC || le_u32(header, 24) != crc32c::crc32c(&header[..24]) {
        return Err("its header does not hold".to_owned());
    }
    let (version, found) = (le_u16(header, 4), le_u16(header, 6));
    if version != VERSION {
        return Err(format!("its version is {version}, this ruang knows {VERSION}"));
    }
    if usize::from(found) != index {
        return Err(format!("it is file {found} of the journal"));
    }
    let len = le_u64(header, 16);
    if bytes.len() as u64 != len {
        return Err(format!("it has {} bytes, it was made with {len}", bytes.len()));
    }
    Ok(le_u64(header, 8))
}

/// Reads a file of the journal. Only what stands where it was written is a frame; what is found
/// elsewhere only proves that something was there.
pub(super) fn scan(file: &Bytes, salt: u64) -> Scan {
    let mut scan = Scan { frames: Vec::new(), proven: 0, seen: 0 };
    let mut at = FRAMES_AT;
    while let Some(header) = Header::at(file, at, salt) {
        if scan.frames.last().is_some_and(|before| header.sequence != before.sequence + 1) {
            break;
        }
        scan.frames.push(header.frame(file, at));
        at += header.len();
    }
    let chained = scan.frames.iter().map(|frame| frame.sequence).max().unwrap_or(0);
    scan.saw(chained);
    while at + MARK <= file.len() {
        if let Some(header) = Header::at(file, at, salt) {
            scan.saw(header.sequence);
        } else if file[at..at + 4] == MARK_MAGIC {
            let mark_of = le_u64(&file[at..], 16);
            if file[at..at + MARK] == mark(salt, mark_of) {
                scan.proven = scan.proven.max(mark_of);
            }
        }
        at += ALIGN;
    }
    scan
}

impl Scan {
    /// A frame is written when the one before it is synced.
    fn saw(&mut self, sequence: u64) {
        self.seen = self.seen.max(sequence);
        self.proven = self.proven.max(sequence.saturating_sub(1));
    }
}

struct Header {
    sequence: u64,
    records_len: usize,
    directory_len: usize,
    records_crc: u32,
    directory_crc: u32,
}

impl Header {
    /// The header at `at`, if an intact one is there and its frame lies within the file.
    fn at(file: &[u8], at: usize, salt: u64) -> Option<Self> {
        let bytes = file.get(at..at + HEADER)?;
        if bytes[..4] != FRAME_MAGIC
            || le_u64(bytes, 8) != salt
            || le_u32(bytes, HEADER_CRC_AT) != crc32c::crc32c(&bytes[..HEADER_CRC_AT])
            || le_u16(bytes, 4) != VERSION
        {
            return None;
        }
        let header = Self {
            sequence: le_u64(bytes, 16),
            records_len: le_u32(bytes, 24) as usize,
            directory_len: le_u32(bytes, 28) as usize,
            records_crc: le_u32(bytes, 32),
            directory_crc: le_u32(bytes, 36),
        };
        (header.len() <= file.len() - at).then_some(header)
    }

    fn len(&self) -> usize {
        (HEADER + self.records_len + self.directory_len).next_multiple_of(ALIGN)
    }

    fn frame(&self, file: &Bytes, at: usize) -> Frame {
        let bytes = file.slice(at..at + self.len());
        let records_end = HEADER + self.records_len;
        let directory = &bytes[records_end..records_end + self.directory_len];
        let entries = (crc32c::crc32c(directory) == self.directory_crc)
            .then(|| read_directory(directory, records_end))
            .flatten();
        let intact = entries.is_some() && crc32c::crc32c(&bytes[HEADER..records_end]) == self.records_crc;
        Frame { sequence: self.sequence, bytes, entries, intact }
    }
}

/// The batches of a directory whose checksum holds; `None` if it is not one all the same.
fn read_directory(mut directory: &[u8], records_end: usize) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut at = HEADER;
    while let Some((name_len, rest)) = directory.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
        let (fixed, rest) = rest.split_at_checked(BATCH)?;
        let (flags, count) = (fixed[BATCH - 3], usize::from(le_u16(fixed, BATCH - 2)));
        let (lens, rest) = rest.split_at_checked(count * 4)?;
        let mut records = Vec::with_capacity(count);
        for len in lens.chunks_exact(4) {
            let len = le_u32(len, 0);
            records.push((u32::try_from(at).ok()?, len));
            at += len as usize;
        }
        entries.push(Entry {
            room: RoomName::parse(std::str::from_utf8(name).ok()?).ok()?,
            instance: InstanceId(le_u64(fixed, 0)),
            number: le_u64(fixed, 8),
            first: le_u64(fixed, 16),
            ms: le_u64(fixed, 24),
            deadline_ms: (flags & FLAG_DEADLINE != 0).then(|| le_u64(fixed, 32)),
            created: flags & FLAG_CREATED != 0,
            records,
        });
        directory = rest;
    }
    (at == records_end).then_some(entries)
}

fn le_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn le_u64(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}
