//! What an author changes in cards that were moved already, found in the log of the draft: the draft itself has them no more.

use std::collections::BTreeSet;

use super::RevealError;
use super::moving::Way;
use crate::board::drafts::{Late, Moved};
use crate::document::FoldError;
use crate::gate;
use crate::heavy::heavy;
use crate::history::{self, Range, WalkError};
use crate::ids::{ClientId, Position};
use crate::limits::LOAD_PAGE_RECORDS;
use crate::log::record::StoredRecord;
use crate::room::outside::Copy;

impl Way<'_> {
    /// Stores in the board what the draft's author has changed in moved cards since they were moved. Returns how far it is stored;
    /// `None`: nothing had to be.
    pub(super) async fn follow(
        &self,
        from: &Copy,
        onto: &Copy,
        client: ClientId,
        mut moved: Vec<Moved>,
    ) -> Result<Option<Position>, RevealError> {
        moved.retain(|moved| moved.at < from.position);
        let Some(late) = self.late(moved, from.position).await? else { return Ok(None) };
        let (user, board, at) = (self.user(), onto.update.clone(), from.position);
        let made = heavy(move || late.onto(&board, &user, client, at)).await??;
        if made.hides {
            return Err(RevealError::Hides);
        }
        let Some(update) = made.update else { return Ok(None) };
        self.write(self.board, update, onto.position).await.map(Some)
    }

    /// The draft as its author sees it. `None`: nothing was changed, or nobody can tell what, since the records of that time are gone.
    async fn late(&self, mut moved: Vec<Moved>, until: Position) -> Result<Option<Late>, RevealError> {
        let states: BTreeSet<Position> = moved.iter().map(|moved| moved.at).collect();
        for state in states {
            moved.retain(|moved| moved.at >= state);
            if !self.has_changes(state, until).await? {
                return Ok(None);
            }
            // Told exactly, by time too: of another life of the draft, or one that the store has lost, nothing follows.
            let Some(full) = self.draft_at(state).await? else { continue };
            return self.pass_all(full, state, moved, until).await;
        }
        Ok(None)
    }

    /// Whether anything but deletes is stored behind a record.
    async fn has_changes(&self, state: Position, until: Position) -> Result<bool, RevealError> {
        let mut after = state.seq;
        while after < until.seq {
            let page = self.rooms.log.read(self.draft, after, LOAD_PAGE_RECORDS).await?;
            let Some(last) = page.last() else { return Ok(false) };
            after = last.position().seq;
            let has_blocks = |stored: &StoredRecord| match stored {
                StoredRecord::Intact { record, .. } => gate::has_blocks(&record.update()).unwrap_or(false),
                StoredRecord::Damaged { .. } => false,
            };
            if page.iter().any(has_blocks) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The draft as it was when a record was its newest; `None`: there is no such record any more.
    async fn draft_at(&self, state: Position) -> Result<Option<Vec<u8>>, RevealError> {
        let walk = match history::walk(&self.rooms.log, self.draft, Range::to(state.seq)).await {
            Ok(walk) => walk,
            Err(WalkError::Trimmed { .. } | WalkError::NoSnapshot { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(mut walk) = walk else { return Ok(None) };
        walk.to_end().await?;
        let fold = walk.into_fold()?;
        if fold.last() != state || !fold.set_aside().is_empty() {
            return Ok(None);
        }
        Ok(Some(heavy(move || fold.document().encode_full()).await?))
    }

    async fn pass_all(
        &self,
        full: Vec<u8>,
        state: Position,
        moved: Vec<Moved>,
        until: Position,
    ) -> Result<Option<Late>, RevealError> {
        let mut late = heavy(move || Late::new(&full, state, moved)).await??;
        let mut after = state.seq;
        while after < until.seq {
            let mut page = self.rooms.log.read(self.draft, after, LOAD_PAGE_RECORDS).await?;
            page.retain(|stored| stored.position().seq <= until.seq);
            let follows = page.first().is_some_and(|first| first.position().seq == after + 1);
            let Some(last) = page.last().map(StoredRecord::position).filter(|_| follows) else {
                return Ok(None);
            };
            after = last.seq;
            let passed = heavy(move || -> Result<Option<Late>, FoldError> {
                for stored in page {
                    let StoredRecord::Intact { position, record } = stored else { return Ok(None) };
                    late.pass(position, &record.update())?;
                }
                Ok(Some(late))
            });
            late = match passed.await? {
                Ok(Some(passed)) => passed,
                Err(panicked @ FoldError::Panicked) => return Err(panicked.into()),
                // Cards that can be moved are not kept back by what came after them.
                damaged => {
                    let error = damaged.err().map(|error| error.to_string());
                    tracing::warn!(
                        room = %self.draft.log_id(), error,
                        "a record of a draft is damaged: what was changed in moved cards stays in its log"
                    );
                    return Ok(None);
                }
            };
        }
        Ok(Some(late))
    }
}
