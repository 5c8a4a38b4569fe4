//! How much a room holds, and what would take long.

use super::State;
use crate::limits::{INLINE_BYTES_MAX, INLINE_COUNTED_BYTES_MAX, INLINE_STEPS_MAX};

impl State {
    /// Bounds what the document may come to. One that is larger already stays, and takes no more.
    pub(crate) fn bound_document(&mut self, bytes_max: usize) {
        self.document_bytes_max = bytes_max;
    }

    /// Whether `bytes` more could be more than a document may have, by an estimate that runs ahead.
    pub(crate) fn is_nearly_full(&self, bytes: usize) -> bool {
        let drafted: usize = self.drafts.iter().map(|draft| draft.bytes).sum();
        self.encoded_bytes + drafted + bytes > self.document_bytes_max
    }

    /// Whether `bytes` more are more than a document may have. The estimate counts what was
    /// overwritten too, so it is corrected before anyone is refused.
    pub(super) fn is_full(&mut self, bytes: usize) -> bool {
        if self.is_nearly_full(bytes) {
            self.encoded_bytes = self.document.encode_full().len();
        }
        self.is_nearly_full(bytes)
    }

    /// Whether judging an update of so many bytes may take long.
    pub(crate) fn is_submission_heavy(&self, bytes: usize) -> bool {
        let counted = self.gate.ordered_blocks().is_some();
        bytes > if counted { INLINE_COUNTED_BYTES_MAX } else { INLINE_BYTES_MAX }
            || self.is_nearly_full(bytes)
    }

    /// Whether folding the batch in flight may take long.
    pub(crate) fn is_batch_heavy(&self) -> bool {
        self.drafts
            .front()
            .is_some_and(|draft| draft.bytes > INLINE_BYTES_MAX || draft.steps > INLINE_STEPS_MAX)
    }
}
