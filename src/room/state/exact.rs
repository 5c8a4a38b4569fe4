//! Edits that were made, or judged, for one position, and are stored right behind it or nowhere. What other sessions send
//! meanwhile is judged after them, so that nothing builds on an edit that may not be stored.

use super::State;
use crate::ids::SessionId;

/// What there is to do for an edit that was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    /// Which stands for it.
    pub(crate) session: SessionId,
    /// Inflow units to give back.
    pub(crate) cost: u32,
    /// Nothing of it is left. If not, others have stored some of its blocks meanwhile, and the state is of no use: load the
    /// room again.
    pub(crate) is_whole: bool,
}

impl State {
    /// Whether such an edit is under way.
    pub(crate) fn is_exact_under_way(&self) -> bool {
        self.batches.front().is_some_and(|batch| batch.at.is_some())
    }

    /// Forgets such an edit: it is not stored.
    pub(crate) fn withdraw_exact(&mut self) -> Option<Withdrawn> {
        if !self.is_exact_under_way() {
            return None;
        }
        let batch = self.batches.pop_front()?;
        debug_assert!(self.batches.is_empty(), "nothing is judged behind it");
        self.in_flight = false;
        // What others have stored of the same blocks is committed, and stays.
        let is_whole = !std::mem::take(&mut self.overlaps)
            && batch.receipts.iter().rev().all(|receipt| self.gate.try_revert(receipt));
        self.authors.owners.revert();
        if batch.revives {
            self.generations.revert();
        }
        if std::mem::take(&mut self.mingled) && is_whole {
            // Others may have deleted the same since, and that stays.
            let deleted = self.document.deleted();
            self.gate.note_deleted(&deleted);
        }
        let session = batch.acks.into_keys().next()?;
        Some(Withdrawn { session, cost: batch.cost, is_whole })
    }
}
