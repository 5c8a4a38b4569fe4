//! Notes: small things that all instances of a store know, and that are about no room. What is common to all stores.
//!
//! Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::LogError;
use crate::limits::{NOTE_BYTES_MAX, NOTES_MAX};

/// Never changed once it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Random.
    pub id: u128,
    /// When it is of no use any more, in ms since 1970.
    pub until_ms: u64,
    /// What it says: at most [`NOTE_BYTES_MAX`] bytes.
    pub body: Bytes,
}

/// The notes of a store that one process writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    by_id: BTreeMap<u128, Note>,
}

impl Notes {
    /// Adds notes, in place of those whose time is over. How many were not there, and why there are no more of them.
    pub(super) fn put(
        &mut self,
        notes: impl IntoIterator<Item = Note>,
        now_ms: u64,
    ) -> (usize, Result<(), LogError>) {
        self.by_id.retain(|_, note| now_ms < note.until_ms);
        let mut added = 0;
        for note in notes {
            if self.by_id.contains_key(&note.id) {
                continue;
            }
            if let Err(error) = check_note(&note).and_then(|()| check_count(self.by_id.len())) {
                return (added, Err(error));
            }
            self.by_id.insert(note.id, note);
            added += 1;
        }
        (added, Ok(()))
    }

    /// Those whose time is not over.
    pub(super) fn all(&self, now_ms: u64) -> Vec<Note> {
        self.by_id.values().filter(|note| now_ms < note.until_ms).cloned().collect()
    }
}

/// Whether a note can be kept at all.
pub(super) fn check_note(note: &Note) -> Result<(), LogError> {
    if note.body.len() > NOTE_BYTES_MAX {
        return Err(LogError::Fatal(format!("a note has at most {NOTE_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// Whether there is room for one more.
pub(super) fn check_count(count: usize) -> Result<(), LogError> {
    if count >= NOTES_MAX {
        return Err(LogError::Full(format!("it keeps at most {NOTES_MAX} notes at a time")));
    }
    Ok(())
}
