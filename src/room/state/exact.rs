//! Edits that were made, or judged, for one position, and are stored right behind it or nowhere. What other sessions send
//! meanwhile is judged after them, so that nothing builds on an edit that may not be stored.

use super::State;
use crate::ids::SessionId;

impl State {
    /// Whether such an edit is under way.
    pub(crate) fn is_exact_under_way(&self) -> bool {
        self.drafts.front().is_some_and(|draft| draft.at.is_some())
    }

    /// Forgets such an edit: it is not stored. Returns the session that stands for it, and the inflow units to give back.
    pub(crate) fn withdraw_exact(&mut self) -> Option<(SessionId, u32)> {
        if !self.is_exact_under_way() {
            return None;
        }
        let draft = self.drafts.pop_front()?;
        debug_assert!(self.drafts.is_empty(), "nothing is judged behind it");
        self.in_flight = false;
        draft.receipts.iter().rev().for_each(|receipt| self.gate.revert(receipt));
        self.authors.owners.revert();
        if draft.revives {
            self.generations.revert();
        }
        if std::mem::take(&mut self.mingled) {
            // Others may have deleted the same since, and that stays.
            let deleted = self.document.deleted();
            self.gate.note_deleted(&deleted);
        }
        let session = draft.acks.into_keys().next()?;
        Some((session, draft.cost))
    }
}
