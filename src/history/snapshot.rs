//! A snapshot: what all records of a room up to one of them hold, in one piece. Pure.
//!
//! The layout; all integers little endian (docs/STORAGE.md draws it):
//!
//! ```text
//!  0  4  magic, "RUAS"
//!  4  1  version of the metadata: 1, or 2 if the room is a board
//!  5  1  form of the document: 1, an update (Yjs v1) compressed by zstd
//!  6  2  flags; none yet. A reader must know those of the low byte, may ignore those of the high
//!  8  4  length of the metadata
//! 12  4  length of the compressed document
//! 16  4  crc32c of everything else
//! 20     metadata, then the compressed document, and nothing behind it
//! ```
//!
//! The header is the same in all versions, as a record's is, so that damage is told from news. Free rooms go on being written
//! as version 1: a ruang that knows no kinds reads them.

mod metadata;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::gate;
use crate::ids::{ClientId, Generation, Position};
use crate::kind::RoomKind;
use crate::limits::{SNAPSHOT_DOCUMENT_BYTES_MAX, SNAPSHOT_METADATA_BYTES_MAX};

const MAGIC: [u8; 4] = *b"RUAS";
/// Of a room that is free, or whose kind nobody knew.
const VERSION_FREE: u8 = 1;
/// The kind is said.
const VERSION_KIND: u8 = 2;
const FORM_ZSTD: u8 = 1;
const FLAGS_REQUIRED: u16 = 0x00ff;
const CRC_AT: usize = 16;
const HEADER_BYTES: usize = 20;

/// zstd's level: 3 takes as long as 1 here and compresses better; above, time grows faster than
/// bytes shrink.
const ZSTD_LEVEL: i32 = 3;

/// A snapshot in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What is said about it.
    pub about: About,
    /// The document as one update (Yjs v1).
    pub document: Vec<u8>,
}

impl Snapshot {
    /// Whether another one was made of the same document: see [`gate::same_document`].
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.about == other.about && gate::same_document(&self.document, &other.document)
    }
}

/// What a snapshot says of itself, and what a document cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// It holds all that the records up to this one hold.
    pub through: Position,
    /// How many records are in it.
    pub records: u64,
    /// Bytes of all records that it covers, as they are stored.
    pub log_bytes: u64,
    /// The kind of the room, where that is not free.
    pub kind: RoomKind,
    /// The generations whose markers are in the document.
    pub generations: Vec<Generation>,
    /// Who owns which client id.
    pub claims: BTreeMap<ClientId, Arc<str>>,
    /// The document's state vector, encoded, lowest client last.
    pub state_vector: Vec<u8>,
    /// The document engine that encoded the document, by name and version.
    pub engine: String,
    /// Records that had to be left out of it. Compaction stops before such a record, so there are
    /// some only where an operator has decided to go on without them.
    pub set_aside: Vec<Position>,
}

/// Why bytes are not a snapshot that can be used, or why none can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// To be written: above a limit. Nothing was made.
    #[error("the snapshot's {part} has {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// What is too large.
        part: &'static str,
        /// Its bytes.
        len: usize,
        /// The bytes allowed.
        max: usize,
    },
    /// The bytes are not what was written.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// The bytes are sound, but a newer ruang wrote them and says that they must be understood.
    #[error("the snapshot needs a newer version of ruang: its {what} is {found}, this one knows {known}")]
    Newer {
        /// What is unknown.
        what: &'static str,
        /// What was found.
        found: u16,
        /// The most that this version knows.
        known: &'static str,
    },
}

/// What metadata says of the document's bytes.
struct Digested {
    bytes: u64,
    sha256: [u8; 32],
}

impl Snapshot {
    /// Writes a snapshot, of the oldest version that can say it. Takes as long as compressing the document.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`].
    pub fn encode(&self) -> Result<Vec<u8>, SnapshotError> {
        let too_large = |part, len, max| SnapshotError::TooLarge { part, len, max };
        if self.document.len() > SNAPSHOT_DOCUMENT_BYTES_MAX {
            return Err(too_large("document", self.document.len(), SNAPSHOT_DOCUMENT_BYTES_MAX));
        }
        let version = version_of(self.about.kind);
        let metadata = metadata::encode(version, &self.about, &Digested::of(&self.document))
            .map_err(|len| too_large("metadata", len, SNAPSHOT_METADATA_BYTES_MAX))?;
        // Compressing into memory fails only where memory does.
        let body = zstd::bulk::compress(&self.document, ZSTD_LEVEL)
            .map_err(|_| too_large("document", self.document.len(), SNAPSHOT_DOCUMENT_BYTES_MAX))?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("below the limits, so below 2^32");
        let mut encoded = Vec::with_capacity(HEADER_BYTES + metadata.len() + body.len());
        encoded.extend_from_slice(&MAGIC);
        encoded.extend_from_slice(&[version, FORM_ZSTD, 0, 0]);
        encoded.extend_from_slice(&length(&metadata).to_le_bytes());
        encoded.extend_from_slice(&length(&body).to_le_bytes());
        encoded.extend_from_slice(&[0; 4]);
        encoded.extend_from_slice(&metadata);
        encoded.extend_from_slice(&body);
        let crc = checksum(&encoded);
        encoded[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        Ok(encoded)
    }

    /// Takes bytes that were stored. Memory grows with what is there and with the document's
    /// length, which is bounded, whatever the bytes declare.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] if they are not what was written, [`SnapshotError::Newer`] if
    /// they are, but say that this version must not guess.
    pub fn decode(encoded: &[u8]) -> Result<Self, SnapshotError> {
        let damaged = |why: &str| SnapshotError::Damaged(why.to_owned());
        if encoded.len() < HEADER_BYTES {
            return Err(damaged("it ends within the header"));
        }
        if encoded[..4] != MAGIC {
            return Err(damaged("it does not begin as a snapshot"));
        }
        if checksum(encoded) != le_u32(encoded, CRC_AT) {
            return Err(damaged("its checksum does not hold"));
        }
        check_known(encoded)?;
        let (metadata_len, body_len) = (le_u32(encoded, 8) as usize, le_u32(encoded, 12) as usize);
        let rest = &encoded[HEADER_BYTES..];
        if metadata_len.checked_add(body_len) != Some(rest.len()) {
            return Err(damaged("its parts are not as long as it says"));
        }
        let (metadata, body) = rest.split_at(metadata_len);
        let (about, digested) = metadata::decode(encoded[4], metadata)
            .map_err(|why| SnapshotError::Damaged(format!("its metadata: {why}")))?;
        let capacity = usize::try_from(digested.bytes).unwrap_or(usize::MAX);
        if capacity > SNAPSHOT_DOCUMENT_BYTES_MAX {
            return Err(damaged("its document is longer than any"));
        }
        let document = zstd::bulk::decompress(body, capacity).map_err(|error| {
            SnapshotError::Damaged(format!("its document cannot be decompressed: {error}"))
        })?;
        let found = Digested::of(&document);
        if (found.bytes, found.sha256) != (digested.bytes, digested.sha256) {
            return Err(damaged("its document is another one"));
        }
        Ok(Self { about, document })
    }
}

/// The kind that a snapshot says, by its first bytes alone, unchecked: to be shown, not to be relied on. `None`: it says none.
#[must_use]
pub(super) fn peek_kind(beginning: &[u8]) -> Option<RoomKind> {
    let is_said = beginning.len() > HEADER_BYTES && beginning[..4] == MAGIC && beginning[4] == VERSION_KIND;
    metadata::peek_kind(beginning.get(HEADER_BYTES..).filter(|_| is_said)?)
}

fn version_of(kind: RoomKind) -> u8 {
    match kind {
        RoomKind::Free => VERSION_FREE,
        RoomKind::Board => VERSION_KIND,
    }
}

impl Digested {
    fn of(document: &[u8]) -> Self {
        Self { bytes: document.len() as u64, sha256: Sha256::digest(document).into() }
    }
}

/// The checksum holds; is everything known that must be?
fn check_known(encoded: &[u8]) -> Result<(), SnapshotError> {
    let newer = |what, found, known| Err(SnapshotError::Newer { what, found, known });
    let (version, form) = (encoded[4], encoded[5]);
    let flags = u16::from_le_bytes([encoded[6], encoded[7]]) & FLAGS_REQUIRED;
    if !(VERSION_FREE..=VERSION_KIND).contains(&version) {
        return newer("version", u16::from(version), "versions 1 and 2");
    }
    if form != FORM_ZSTD {
        return newer("form", u16::from(form), "form 1");
    }
    if flags != 0 {
        return newer("set of flags", flags, "none");
    }
    Ok(())
}

/// Of everything but the checksum itself. `encoded` is at least as long as the header.
fn checksum(encoded: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&encoded[..CRC_AT]), &encoded[HEADER_BYTES..])
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}
