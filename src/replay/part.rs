//! Parts: the pieces of an exported file, and of what the admin socket says of records.
//!
//! ```text
//!  0  1  kind; the highest bit is set where a reader must know the kind to go on
//!  1  4  length of the body
//!  5  4  crc32c of the part's number (8 bytes), bytes 0 to 4, and the body
//!  9     body
//! ```
//!
//! Integers are little endian. Parts are numbered from 0 and the number is in the checksum: one that is
//! lost, doubled or in another's place is damage. Pure.

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::Position;
use crate::limits::{PART_BYTES_MAX, PART_HEADER_BYTES};
use crate::log::UploadId;
use crate::log::record::{Record, RecordError, StoredRecord};

/// Set in the kind of a part that a reader must know.
const REQUIRED: u8 = 0x80;

/// What a part is about. The number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// JSON: whose export this is.
    Header,
    /// Counter (8), milliseconds (8), the record as it is stored.
    Record,
    /// Counter (8), milliseconds (8), what is wrong with it (UTF-8).
    Damaged,
    /// JSON: a snapshot; its chunks follow.
    Snapshot,
    /// Upload (8), index (4), the chunk as it is stored.
    Chunk,
    /// JSON: what was exported. The last part.
    End,
    /// An optional kind of a newer version: passed over.
    Other(u8),
}

impl PartKind {
    const ALL: [Self; 6] =
        [Self::Header, Self::Record, Self::Damaged, Self::Snapshot, Self::Chunk, Self::End];

    /// The stored byte.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Header => 1 | REQUIRED,
            Self::Record => 2 | REQUIRED,
            Self::Damaged => 3 | REQUIRED,
            Self::Snapshot => 4 | REQUIRED,
            Self::Chunk => 5 | REQUIRED,
            Self::End => 6 | REQUIRED,
            Self::Other(byte) => byte,
        }
    }
}

/// Why bytes are not a part, or not one that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// They are not what was written.
    #[error("{0}")]
    Damaged(String),
    /// They are sound, but a newer ruang wrote them and says they must be understood.
    #[error("it needs a newer version of ruang: {0}")]
    Newer(String),
}

/// A part's header, before its body is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartHeader {
    kind: u8,
    /// Bytes of the body, at most [`PART_BYTES_MAX`].
    pub len: usize,
    crc: u32,
}

impl PartHeader {
    /// Reads a header. The length is within bounds, but not proven: the checksum speaks of the body too.
    ///
    /// # Errors
    /// [`PartError::Damaged`] if the length cannot be.
    pub fn decode(header: [u8; PART_HEADER_BYTES]) -> Result<Self, PartError> {
        let len = le_u32(&header[1..5]) as usize;
        if len > PART_BYTES_MAX {
            return Err(damaged("a part says that it is longer than any"));
        }
        Ok(Self { kind: header[0], len, crc: le_u32(&header[5..9]) })
    }

    /// Whether `body` is what was written after this header, as part `number`.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn check(&self, number: u64, body: &[u8]) -> Result<PartKind, PartError> {
        if body.len() != self.len || checksum(number, self.kind, body) != self.crc {
            return Err(damaged("a checksum does not hold"));
        }
        match PartKind::ALL.into_iter().find(|kind| kind.to_byte() == self.kind) {
            Some(kind) => Ok(kind),
            None if self.kind & REQUIRED == 0 => Ok(PartKind::Other(self.kind)),
            None => Err(PartError::Newer(format!("it has parts of kind {}", self.kind & !REQUIRED))),
        }
    }
}

/// Writes a part.
///
/// # Panics
/// If the body is above [`PART_BYTES_MAX`]: records and chunks are bounded below it.
#[must_use]
pub fn encode(number: u64, kind: PartKind, body: &[&[u8]]) -> Bytes {
    let len: usize = body.iter().map(|piece| piece.len()).sum();
    assert!(len <= PART_BYTES_MAX, "a part of {len} bytes");
    let mut part = BytesMut::with_capacity(PART_HEADER_BYTES + len);
    part.put_u8(kind.to_byte());
    part.put_u32_le(len as u32);
    part.put_u32_le(0);
    body.iter().for_each(|piece| part.put_slice(piece));
    let crc = checksum(number, kind.to_byte(), &part[PART_HEADER_BYTES..]);
    part[5..9].copy_from_slice(&crc.to_le_bytes());
    part.freeze()
}

/// A record, or what is left of it, as a part.
#[must_use]
pub fn encode_record(number: u64, stored: &StoredRecord) -> Bytes {
    let position = stored.position();
    let (seq, ms) = (position.seq.to_le_bytes(), position.ms.to_le_bytes());
    match stored {
        StoredRecord::Intact { record, .. } => {
            encode(number, PartKind::Record, &[&seq, &ms, &record.encoded])
        }
        StoredRecord::Damaged { why, .. } => encode(number, PartKind::Damaged, &[&seq, &ms, why.as_bytes()]),
    }
}

/// Reads the body of a part of kind [`PartKind::Record`] or [`PartKind::Damaged`].
///
/// # Errors
/// [`PartError`]: it is none, or a record that a newer ruang wrote.
pub fn decode_record(kind: PartKind, body: &Bytes) -> Result<StoredRecord, PartError> {
    let position = position(body)?;
    let rest = body.slice(16..);
    match kind {
        PartKind::Record => match Record::decode(rest) {
            Ok(record) => Ok(StoredRecord::Intact { position, record }),
            Err(error @ RecordError::Newer { .. }) => {
                Err(PartError::Newer(format!("record {position}: {error}")))
            }
            Err(error) => Ok(StoredRecord::Damaged { position, why: error.to_string() }),
        },
        PartKind::Damaged => {
            let why = String::from_utf8_lossy(&rest).into_owned();
            Ok(StoredRecord::Damaged { position, why })
        }
        _ => Err(damaged("a part is not the record that should be there")),
    }
}

/// The position that a record's part begins with.
///
/// # Errors
/// [`PartError::Damaged`] if it is too short.
pub fn position(body: &[u8]) -> Result<Position, PartError> {
    if body.len() < 16 {
        return Err(damaged("a record's part is too short"));
    }
    Ok(Position { seq: le_u64(&body[..8]), ms: le_u64(&body[8..16]) })
}

/// A chunk of a snapshot as a part.
#[must_use]
pub fn encode_chunk(number: u64, upload: UploadId, index: u32, chunk: &[u8]) -> Bytes {
    encode(number, PartKind::Chunk, &[&upload.0.to_le_bytes(), &index.to_le_bytes(), chunk])
}

/// Upload, index and bytes of a chunk's part.
///
/// # Errors
/// [`PartError::Damaged`] if it is too short.
pub fn decode_chunk(body: &Bytes) -> Result<(UploadId, u32, Bytes), PartError> {
    if body.len() < 12 {
        return Err(damaged("a chunk's part is too short"));
    }
    Ok((UploadId(le_u64(&body[..8])), le_u32(&body[8..12]), body.slice(12..)))
}

/// Takes a row of parts apart that came as a whole: what the admin socket sends.
///
/// # Errors
/// [`PartError`].
pub fn split(bytes: &Bytes) -> Result<Vec<(PartKind, Bytes)>, PartError> {
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some(header) = bytes[at..].first_chunk::<PART_HEADER_BYTES>() {
        let header = PartHeader::decode(*header)?;
        let from = at + PART_HEADER_BYTES;
        if bytes.len() - from < header.len {
            break;
        }
        let body = bytes.slice(from..from + header.len);
        parts.push((header.check(parts.len() as u64, &body)?, body));
        at = from + header.len;
    }
    if at == bytes.len() { Ok(parts) } else { Err(damaged("the last part is cut off")) }
}

fn damaged(why: &str) -> PartError {
    PartError::Damaged(why.to_owned())
}

fn checksum(number: u64, kind: u8, body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &[kind]);
    let crc = crc32c::crc32c_append(crc, &(body.len() as u32).to_le_bytes());
    crc32c::crc32c_append(crc, body)
}

fn le_u32(bytes: &[u8]) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(bytes);
    u32::from_le_bytes(four)
}

fn le_u64(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(bytes);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(number: u64, part: &[u8]) -> Result<(PartKind, Vec<u8>), PartError> {
        let header = part.first_chunk().ok_or_else(|| damaged("short"))?;
        let header = PartHeader::decode(*header)?;
        let body = &part[PART_HEADER_BYTES..];
        Ok((header.check(number, body)?, body.to_vec()))
    }

    /// [O17] A part is read back; each flipped bit, each cut and another number are noticed.
    #[test]
    fn parts_are_checked() {
        let part = encode(7, PartKind::Chunk, &[b"some ", b"bytes"]);
        assert_eq!(decode(7, &part), Ok((PartKind::Chunk, b"some bytes".to_vec())));
        assert!(decode(8, &part).is_err(), "in another place");
        for bit in 0..part.len() * 8 {
            let mut bytes = part.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(7, &bytes).is_err(), "bit {bit}");
        }
        for len in 0..part.len() {
            assert!(decode(7, &part[..len]).is_err(), "cut to {len}");
        }
    }

    /// [O18] Unknown kinds are passed over, unless they say that they must be known.
    #[test]
    fn kinds_of_the_future() {
        assert_eq!(decode(0, &encode(0, PartKind::Other(9), &[b"x"])).unwrap().0, PartKind::Other(9));
        let error = decode(0, &encode(0, PartKind::Other(0x89), &[b"x"])).unwrap_err();
        assert_eq!(error.to_string(), "it needs a newer version of ruang: it has parts of kind 9");
    }
}
