//! What was parsed last in a room: a thousand recipients get the same bytes, so they are parsed
//! once and compared a thousand times. Pure.

use super::world::Run;

/// Entries kept per room and thread: recipients are not all at the same frame.
const ENTRIES: usize = 4;

/// A longer stretch is not kept: it is parsed by each recipient.
const ENTRY_BYTES_MAX: usize = 8 << 20;

/// What a stretch of frames was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    /// Some Update messages.
    #[default]
    Updates,
    /// One Step2 message.
    Step2,
}

/// A stretch of whole frames, and what is in it.
#[derive(Debug, Default)]
pub(super) struct Entry {
    bytes: Vec<u8>,
    pub(super) runs: Vec<Run>,
    pub(super) frames: u64,
    pub(super) sort: Sort,
}

/// A stretch at the beginning of some bytes: where it is kept and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    at: usize,
    pub(super) len: usize,
}

/// The last stretches of one room that this thread parsed.
#[derive(Debug, Default)]
pub(super) struct Memo {
    entries: Vec<Entry>,
    oldest: usize,
}

impl Memo {
    /// The known stretch that `bytes` begin with. Whole frames compared byte by byte, so a hit is
    /// what parsing would have found.
    #[inline]
    pub(super) fn find(&self, bytes: &[u8]) -> Option<Found> {
        let known = |entry: &Entry| bytes.starts_with(&entry.bytes) && !entry.bytes.is_empty();
        let at = self.entries.iter().position(known)?;
        Some(Found { at, len: self.entries[at].bytes.len() })
    }

    /// What a stretch holds.
    #[inline]
    pub(super) fn entry(&self, found: Found) -> &Entry {
        &self.entries[found.at]
    }

    /// The entry to parse into, empty: the oldest one.
    pub(super) fn begin(&mut self) -> &mut Entry {
        if self.entries.len() < ENTRIES {
            self.entries.push(Entry::default());
            self.oldest = self.entries.len() - 1;
        } else {
            self.oldest = (self.oldest + 1) % ENTRIES;
        }
        let entry = &mut self.entries[self.oldest];
        entry.bytes.clear();
        entry.runs.clear();
        entry.frames = 0;
        entry.sort = Sort::Updates;
        entry
    }

    /// Ends the parse of `bytes` into the entry that was begun last: from now on they are found,
    /// unless they are too long to keep.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Found {
        if bytes.len() <= ENTRY_BYTES_MAX {
            self.entries[self.oldest].bytes.extend_from_slice(bytes);
        }
        Found { at: self.oldest, len: bytes.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_with_the_same_bytes_is_found() {
        let mut memo = Memo::default();
        for at in 0..6u8 {
            let entry = memo.begin();
            entry.runs.push(Run { writer: u32::from(at), from: 0, to: 1 });
            memo.keep(&[at; 10]);
        }
        let found = |bytes: &[u8]| memo.find(bytes).map(|found| memo.entry(found).runs[0].writer);
        println!("six stretches parsed, the last four are known, longer input matches, shorter does not");
        assert_eq!(found(&[0; 10]), None);
        assert_eq!(found(&[1; 10]), None);
        assert_eq!(found(&[2; 10]), Some(2));
        assert_eq!(found(&[5; 11]), Some(5));
        assert_eq!(found(&[5; 9]), None);
        assert_eq!(found(&[]), None);
    }
}
