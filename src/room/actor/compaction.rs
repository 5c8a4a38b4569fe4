//! How a room's log is kept short while the room is used: [`Upkeep`] counts, `history` compacts.
//!
//! [`Upkeep`]: super::super::upkeep::Upkeep

use super::Actor;
use crate::history::{CompactError, Compacted, SetAside};

impl Actor {
    /// Has the room compacted if that is due.
    pub(super) fn compact_if_due(&mut self) {
        let document_bytes = self.state().encoded_bytes();
        self.upkeep.start_if_due(&self.rooms, &self.shared.name, document_bytes);
    }

    /// A compaction of this room has ended.
    pub(super) fn on_compacted(&mut self, done: Option<Result<Compacted, CompactError>>) {
        let Some(SetAside { position, why }) = self.upkeep.note_done(done) else { return };
        self.rooms.metrics.compactions_stopped.inc();
        tracing::error!(
            room = %self.shared.name.log_id(), %position, why,
            "a record cannot be folded: the room stays open and writable, but no snapshot goes beyond this record and \
             its log grows until the room ends. Keep a backup of the store, and export the room"
        );
    }
}
