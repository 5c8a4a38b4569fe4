//! A page of records on its way out of the store, in one piece of memory: a load reads tens of thousands, and another thread
//! throws them away.

use bytes::Bytes;

use crate::ids::Position;
use crate::limits::READ_BYTES_MAX;
use crate::log::LogError;
use crate::log::check::judge;
use crate::log::record::StoredRecord;

/// See the module. Its memory goes with the last of its records.
#[derive(Default)]
pub(super) struct Page {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// Memory that is taken at once, at most.
const FIRST_BYTES_MAX: usize = 256 << 10;

enum Entry {
    /// Ends there in the page's bytes, and begins where the one before it ends.
    Read(Position, usize),
    Damaged(Position, &'static str),
}

impl Page {
    /// For about so many records.
    pub(super) fn expecting(records: usize) -> Self {
        Self { bytes: Vec::new(), entries: Vec::with_capacity(records) }
    }

    /// Takes a record.
    pub(super) fn push(&mut self, position: Position, record: &[u8]) {
        if self.bytes.capacity() == 0 {
            // Records of a room are much alike.
            self.bytes.reserve((record.len() * self.entries.capacity()).min(FIRST_BYTES_MAX));
        }
        self.bytes.extend_from_slice(record);
        self.entries.push(Entry::Read(position, self.bytes.len()));
    }

    /// Takes note of one that cannot be read.
    pub(super) fn push_damaged(&mut self, position: Position, why: &'static str) {
        self.entries.push(Entry::Damaged(position, why));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is more than one answer should carry.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() > READ_BYTES_MAX
    }

    /// The newest one's counter.
    pub(super) fn last_seq(&self) -> Option<u64> {
        self.last().map(|position| position.seq)
    }

    /// The newest one's time; 0 if there is none.
    pub(super) fn last_ms(&self) -> u64 {
        self.last().map_or(0, |position| position.ms)
    }

    fn last(&self) -> Option<Position> {
        self.entries.last().map(|entry| match entry {
            Entry::Read(position, _) | Entry::Damaged(position, _) => *position,
        })
    }

    /// The records, each checked.
    ///
    /// # Errors
    /// Of a record that a newer ruang has written, and that must be understood.
    pub(super) fn judge(self) -> Result<Vec<StoredRecord>, LogError> {
        let (bytes, mut from) = (Bytes::from(self.bytes), 0);
        let judged = self.entries.into_iter().map(|entry| match entry {
            Entry::Read(position, to) => judge(position, bytes.slice(std::mem::replace(&mut from, to)..to)),
            Entry::Damaged(position, why) => Ok(StoredRecord::Damaged { position, why: why.to_owned() }),
        });
        judged.collect()
    }
}
