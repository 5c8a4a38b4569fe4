//! The record: what one update leaves in the log.

use bytes::Bytes;

use crate::ids::Position;

/// One entry of a room's log, encoded once and relayed as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The whole record as stored: header, metadata, update.
    pub encoded: Bytes,
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
