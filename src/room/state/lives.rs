//! The lives of a room, as its sessions bring them: who is let in, what an update may bring, and who
//! has to go when the room turns out to have another life. `generation` has the rules.

use super::State;
use crate::gate::{ParsedUpdate, Receipt, StateVector};
use crate::generation::{Brings, GenerationError, Outlook};
use crate::ids::SessionId;

impl State {
    /// A session says what it has. Whoever comes with a life that is not stored here owes it until it
    /// is: its edits wait for it.
    ///
    /// # Errors
    /// [`GenerationError`]: the session ends, and nothing of the room is for it.
    pub(crate) fn greet(&mut self, session: SessionId, theirs: &StateVector) -> Result<(), GenerationError> {
        let owed = self.generations.greet(theirs, !self.drafts.is_empty())?;
        if owed.is_empty() {
            self.owed.remove(&session);
        } else {
            self.owed.insert(session, owed);
        }
        Ok(())
    }

    /// What an update means for the lives of the room, before the gate has judged it.
    pub(super) fn judge_life(
        &self,
        session: SessionId,
        update: &ParsedUpdate<'_>,
    ) -> Result<Brings, GenerationError> {
        let owed = self.owed.get(&session).map_or(&[][..], Vec::as_slice);
        self.generations.judge(update, owed, !self.drafts.is_empty())
    }

    /// The last draft takes what an update brings.
    pub(super) fn draft_life(&mut self, brings: Brings) {
        if let (Brings::Markers(markers), Some(draft)) = (brings, self.drafts.back_mut()) {
            draft.revives = true;
            self.generations.draft(markers);
        }
    }

    /// What these receipts have brought is stored.
    pub(super) fn commit_life<'a>(&mut self, receipts: impl IntoIterator<Item = &'a Receipt>) {
        let blocks = receipts.into_iter().flat_map(|receipt| &receipt.blocks);
        self.generations.commit(blocks.map(|&(client, _, to)| (client, to)));
    }

    /// The sessions that hold another life than the room has now. They must not be shown what was
    /// stored last.
    pub(crate) fn take_strangers(&mut self) -> Vec<SessionId> {
        let Self { generations, owed, .. } = self;
        let mut strangers = Vec::new();
        owed.retain(|&session, markers| {
            let outlook = generations.outlook(markers);
            if outlook == Outlook::Lost {
                strangers.push(session);
            }
            outlook == Outlook::Open
        });
        strangers
    }

    /// A session has left.
    pub(crate) fn forget_session(&mut self, session: SessionId) {
        self.owed.remove(&session);
    }
}
