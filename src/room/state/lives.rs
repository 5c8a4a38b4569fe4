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
        match self.generations.greet(theirs, !self.batches.is_empty())? {
            Some(claim) => self.claims.insert(session, claim),
            None => self.claims.remove(&session),
        };
        Ok(())
    }

    /// Whether somebody with this state vector may be told of the room, who is no session of it.
    ///
    /// # Errors
    /// As [`State::greet`].
    pub(crate) fn look_at(&self, theirs: &StateVector) -> Result<(), GenerationError> {
        self.generations.greet(theirs, !self.batches.is_empty()).map(drop)
    }

    /// What an update means for the lives of the room, before the gate has judged it.
    pub(super) fn judge_life(
        &self,
        session: SessionId,
        update: &ParsedUpdate<'_>,
    ) -> Result<Brings, GenerationError> {
        self.generations.judge(update, self.claims.get(&session), !self.batches.is_empty())
    }

    /// The last batch takes what an update brings.
    pub(super) fn batch_life(&mut self, brings: Brings) {
        let Some(batch) = self.batches.back_mut() else { return };
        batch.revives |= matches!(brings, Brings::Life(_));
        if let Brings::Life(markers) | Brings::Healing(markers) = brings {
            self.generations.pend(markers);
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
        let Self { generations, claims, .. } = self;
        let mut strangers = Vec::new();
        claims.retain(|&session, claim| {
            let outlook = generations.outlook(claim);
            if outlook == Outlook::Lost {
                strangers.push(session);
            }
            outlook == Outlook::Open
        });
        strangers
    }

    /// A session has left.
    pub(crate) fn forget_session(&mut self, session: SessionId) {
        self.claims.remove(&session);
        self.forget_author(session);
    }
}
