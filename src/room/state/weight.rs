//! How much a room holds, and what would take long.

use bytes::Bytes;

use super::State;
use crate::gate::Refusal;
use crate::limits::{INLINE_BYTES_MAX, INLINE_COUNTED_BYTES_MAX, INLINE_STEPS_MAX};
use crate::log::record::Record;

impl State {
    /// Bounds what the document may come to. One that is larger already stays, and takes no more.
    pub(crate) fn bound_document(&mut self, bytes_max: usize) {
        self.document_bytes_max = bytes_max;
    }

    /// Whether `bytes` more could be more than a document may have, by an estimate that runs ahead.
    pub(crate) fn is_nearly_full(&self, bytes: usize) -> bool {
        let under_way: usize = self.batches.iter().map(|batch| batch.bytes).sum();
        self.encoded_bytes + under_way + bytes > self.document_bytes_max
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
        self.batches
            .front()
            .is_some_and(|batch| batch.bytes > INLINE_BYTES_MAX || batch.steps > INLINE_STEPS_MAX)
    }

    /// Shows the gate the document and what is in flight, so that it learns their order. Heavy: it
    /// goes through the whole document.
    ///
    /// # Errors
    /// [`Refusal`]: the document holds what the gate would not take.
    pub(crate) fn learn_order(&mut self) -> Result<(), Refusal> {
        let full = self.document.encode_full();
        let in_flight = self.batches.iter().flat_map(|batch| &batch.records);
        let updates: Vec<Bytes> = in_flight.map(Record::update).collect();
        self.gate.learn_order([full.as_slice()].into_iter().chain(updates.iter().map(AsRef::as_ref)))
    }

    /// About how many bytes the document has when encoded.
    pub(crate) fn encoded_bytes(&self) -> usize {
        self.encoded_bytes
    }
}
