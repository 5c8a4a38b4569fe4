//! The record: what one update leaves in the log.
//!
//! The layout, version 1; all integers little endian (docs/STORAGE.md draws it):
//!
//! ```text
//!  0  4  magic, "RUAR"
//!  4  1  version of the metadata: 1
//!  5  1  kind; the highest bit is set where a reader must know the kind to go on
//!  6  2  flags; none yet. A reader must know those of the low byte, may ignore those of the high
//!  8  4  length of the metadata
//! 12  4  crc32c of everything else
//! 16     metadata, then the update (Yjs v1) exactly as it was admitted
//! ```
//!
//! The sixteen bytes of the header are the same in all versions, so that damage is told from news.
//! What an older reader cannot describe it still folds and relays: an unknown optional kind is
//! intact. What it must not guess it refuses by name: [`RecordError::Newer`].

mod metadata;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{Generation, Position, RoomName};
use crate::limits::{DOCUMENT_BYTES_MAX, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, RECORD_METADATA_BYTES_MAX};
pub use metadata::{Metadata, Role, RoomKind};

const MAGIC: [u8; 4] = *b"RUAR";
const VERSION: u8 = 1;
const REQUIRED: u8 = 0x80;
const FLAGS_REQUIRED: u16 = 0x00ff;
const CRC_AT: usize = 12;

/// One entry of a room's log, encoded once and relayed as it is. Made by [`Record::new`] or
/// [`Record::decode`]; both promise that the accessors succeed.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The whole record as stored: header, metadata, update.
    pub encoded: Bytes,
}

/// What a record is about. The number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The first record of a room's life: the marker of its generation.
    Genesis,
    /// What a client wrote.
    Update,
    /// What the server wrote to take back a refused write.
    Compensation,
    /// What an instance or a client gave back after the store had lost it.
    Heal,
    /// What a returning editor gave back to a room that had expired.
    Revive,
    /// What came from a file or another server.
    Import,
    /// What an operator did.
    Admin,
    /// An optional kind of a newer version: fold and relay its update, describe it by number.
    Other(u8),
}

/// A record as it came back from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredRecord {
    /// Its checksum holds.
    Intact {
        /// Where it stands.
        position: Position,
        /// The record.
        record: Record,
    },
    /// Its bytes do not hold; set aside and report.
    Damaged {
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        why: String,
    },
}

/// Why bytes are not a record that we can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// To be written: the update or the metadata is above its limit. Nothing was made.
    #[error("the record's {part} has {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// What is too large.
        part: &'static str,
        /// Its bytes.
        len: usize,
        /// The bytes allowed.
        max: usize,
    },
    /// The kind of [`Kind::Other`] is not ours to write.
    #[error("records of kind {0} are written by a newer version of ruang only")]
    NotOurs(u8),
    /// The bytes are not what was written.
    #[error("the record is damaged: {0}")]
    Damaged(String),
    /// The bytes are sound, but a newer ruang wrote them and says they must be understood.
    #[error("the record needs a newer version of ruang: its {what} is {found}, this one knows {known}")]
    Newer {
        /// What is unknown.
        what: &'static str,
        /// What was found.
        found: u16,
        /// The most that this version knows.
        known: &'static str,
    },
}

impl Kind {
    /// Every kind that this version writes.
    pub const ALL: [Self; 7] = [
        Self::Genesis,
        Self::Update,
        Self::Compensation,
        Self::Heal,
        Self::Revive,
        Self::Import,
        Self::Admin,
    ];

    /// Whether records of this kind tell that their user has written something.
    #[must_use]
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Update | Self::Revive | Self::Import)
    }

    /// The stored byte. Genesis and revive change which clients may enter: a reader that does not
    /// know such a kind must not go on.
    const fn to_byte(self) -> u8 {
        match self {
            Self::Genesis => 1 | REQUIRED,
            Self::Update => 2,
            Self::Compensation => 3,
            Self::Heal => 4,
            Self::Revive => 5 | REQUIRED,
            Self::Import => 6,
            Self::Admin => 7,
            Self::Other(byte) => byte,
        }
    }

    fn from_byte(byte: u8) -> Self {
        Self::ALL.into_iter().find(|kind| kind.to_byte() == byte).unwrap_or(Self::Other(byte))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Genesis => f.write_str("genesis"),
            Self::Update => f.write_str("update"),
            Self::Compensation => f.write_str("compensation"),
            Self::Heal => f.write_str("heal"),
            Self::Revive => f.write_str("revive"),
            Self::Import => f.write_str("import"),
            Self::Admin => f.write_str("admin"),
            Self::Other(byte) => write!(f, "kind {byte}"),
        }
    }
}

impl Record {
    /// Writes a record of the newest version.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`], or [`RecordError::NotOurs`] for [`Kind::Other`].
    pub fn new(kind: Kind, metadata: &Metadata, update: &[u8]) -> Result<Self, RecordError> {
        if let Kind::Other(byte) = kind {
            return Err(RecordError::NotOurs(byte));
        }
        let too_large = |part, len, max| RecordError::TooLarge { part, len, max };
        if update.len() > DOCUMENT_BYTES_MAX {
            return Err(too_large("update", update.len(), DOCUMENT_BYTES_MAX));
        }
        let metadata =
            metadata.encode_v1().map_err(|len| too_large("metadata", len, RECORD_METADATA_BYTES_MAX))?;
        let metadata_len = u32::try_from(metadata.len()).expect("below the limit, so below 2^32");

        let mut encoded = BytesMut::with_capacity(RECORD_HEADER_BYTES + metadata.len() + update.len());
        encoded.put_slice(&MAGIC);
        encoded.put_u8(VERSION);
        encoded.put_u8(kind.to_byte());
        encoded.put_u16_le(0);
        encoded.put_u32_le(metadata_len);
        encoded.put_u32_le(0);
        encoded.put_slice(&metadata);
        encoded.put_slice(update);
        let crc = checksum(&encoded);
        encoded[CRC_AT..RECORD_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        Ok(Self { encoded: encoded.freeze() })
    }

    /// Takes bytes that were stored. Reads only what is there, whatever the bytes declare.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] if they are not what was written, [`RecordError::Newer`] if they
    /// are, but say that this version must not guess.
    pub fn decode(encoded: Bytes) -> Result<Self, RecordError> {
        let damaged = |why: &str| Err(RecordError::Damaged(why.to_owned()));
        if encoded.len() < RECORD_HEADER_BYTES {
            return damaged("it ends within the header");
        }
        if encoded.len() > RECORD_BYTES_MAX {
            return damaged("it is longer than any record");
        }
        if encoded[..4] != MAGIC {
            return damaged("it does not begin as a record");
        }
        if checksum(&encoded) != le_u32(&encoded, CRC_AT) {
            return damaged("its checksum does not hold");
        }
        let record = Self { encoded };
        record.check_known()?;
        if record.metadata_bytes().is_none() {
            return damaged("it ends within the metadata");
        }
        record.metadata()?;
        Ok(record)
    }

    /// What the record is about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.encoded.get(5).map_or(Kind::Other(0), |byte| Kind::from_byte(*byte))
    }

    /// Who, when, by which way.
    ///
    /// # Errors
    /// [`RecordError::Damaged`] if `encoded` was neither made nor checked here.
    pub fn metadata(&self) -> Result<Metadata, RecordError> {
        let bytes = self.metadata_bytes().unwrap_or_default();
        Metadata::decode_v1(bytes).map_err(|why| RecordError::Damaged(format!("its metadata: {why}")))
    }

    /// The update as it was admitted; shares the record's memory. Empty if `encoded` was neither
    /// made nor checked here.
    #[must_use]
    pub fn update(&self) -> Bytes {
        match self.metadata_bytes() {
            Some(metadata) => self.encoded.slice(RECORD_HEADER_BYTES + metadata.len()..),
            None => Bytes::new(),
        }
    }

    /// The checksum holds; is everything known that must be?
    fn check_known(&self) -> Result<(), RecordError> {
        let newer = |what, found, known| Err(RecordError::Newer { what, found, known });
        let (version, kind) = (self.encoded[4], self.encoded[5]);
        let flags = u16::from_le_bytes([self.encoded[6], self.encoded[7]]) & FLAGS_REQUIRED;
        if version != VERSION {
            return newer("version", u16::from(version), "version 1");
        }
        if flags != 0 {
            return newer("set of flags", flags, "none");
        }
        if kind & REQUIRED != 0 && matches!(self.kind(), Kind::Other(_)) {
            return newer("kind", u16::from(kind & !REQUIRED), "kinds 1 to 7");
        }
        Ok(())
    }

    /// `None` if the record is shorter than it declares.
    fn metadata_bytes(&self) -> Option<&[u8]> {
        let body = self.encoded.get(RECORD_HEADER_BYTES..)?;
        body.get(..usize::try_from(le_u32(&self.encoded, 8)).ok()?)
    }
}

impl fmt::Debug for Record {
    /// Without the update's bytes: they belong to the people in the room, not in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({}, {} bytes)", self.kind(), self.encoded.len())
    }
}

impl StoredRecord {
    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Intact { position, .. } | Self::Damaged { position, .. } => *position,
        }
    }

    /// Its bytes as they are stored; 0 if they cannot be read.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Intact { record, .. } => record.encoded.len(),
            Self::Damaged { .. } => 0,
        }
    }

    /// Judges bytes that a store gave back.
    ///
    /// # Errors
    /// [`RecordError::Newer`]: they are sound, but this version must not go on without them.
    pub fn judge(position: Position, bytes: Bytes) -> Result<Self, RecordError> {
        match Record::decode(bytes) {
            Ok(record) => Ok(Self::Intact { position, record }),
            Err(newer @ RecordError::Newer { .. }) => Err(newer),
            Err(error) => Ok(Self::Damaged { position, why: error.to_string() }),
        }
    }
}

/// The marker of a generation, as an update: one garbage-collected block under the marker's client
/// id, from clock 0, as long as the nonce, and nothing deleted.
#[must_use]
pub fn genesis_update(room: &RoomName, generation: Generation) -> Vec<u8> {
    const GARBAGE_COLLECTED: u8 = 0;
    let mut update = Vec::with_capacity(20);
    put_var_uint(&mut update, 1); // clients
    put_var_uint(&mut update, 1); // blocks of this client
    put_var_uint(&mut update, generation.marker_client(room));
    put_var_uint(&mut update, 0); // clock
    update.push(GARBAGE_COLLECTED);
    put_var_uint(&mut update, u64::from(generation.nonce));
    put_var_uint(&mut update, 0); // clients in the delete set
    update
}

fn put_var_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Of everything but the checksum itself. `encoded` is at least as long as the header.
fn checksum(encoded: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&encoded[..CRC_AT]), &encoded[RECORD_HEADER_BYTES..])
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}
