//! A room that begins without an edit: y-sweet makes a document before anybody writes to it.

use super::State;
use crate::caller::Caller;
use crate::gate::EMPTY_UPDATE;
use crate::log::record::{Kind, Metadata, Record, RecordError};

impl State {
    /// Sees to it that the room is stored. What makes it is the genesis record, as with any first edit: of several who
    /// begin, one does. Returns whether it is there by now; else it is with the next batch that is committed.
    ///
    /// # Errors
    /// [`RecordError`]: the caller's name is too long. Nothing has changed then.
    pub(crate) fn begin(&mut self, caller: &Caller, admitted_ms: u64) -> Result<bool, RecordError> {
        if !self.is_new() {
            return Ok(true);
        }
        if !self.batches.is_empty() {
            return Ok(false);
        }
        self.choose_kind(caller);
        let number = self.open_batch(EMPTY_UPDATE.len());
        let metadata = Metadata {
            user: caller.user.as_deref().map(str::to_owned),
            role: caller.role.into(),
            ..self.own_metadata(number, admitted_ms)
        };
        let record =
            Record::new(Kind::Admin, &metadata, &EMPTY_UPDATE).inspect_err(|_| self.batches.clear())?;
        if let Some(batch) = self.batches.back_mut() {
            batch.bytes += record.encoded.len();
            batch.records.push(record);
        }
        Ok(false)
    }
}
