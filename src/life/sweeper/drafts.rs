//! Hidden cards live as long as their board, and a board as long as what is hidden of it: the sooner of two deadlines is moved to the
//! later one. Nothing is moved beyond that, so that the two do not keep each other alive.

use super::Sweeper;
use crate::board::drafts::Draft;
use crate::clock::in_ms;
use crate::ids::RoomName;
use crate::life::deadline::left_ms;
use crate::limits::DRAFT_APART_MS_MAX;
use crate::log::LogError;

impl Sweeper {
    /// Looks at a draft and its board, open or not. Long before either may go: a store may remove rooms by itself, and there may be
    /// no sweeper for a while.
    pub(super) async fn keep_together(&self, room: &RoomName) -> Result<(), LogError> {
        let (Some(draft), Some(ttl)) = (Draft::of(room), self.rooms.options.ttl) else { return Ok(()) };
        let Some(here) = self.log.open(room).await?.and_then(|head| head.deadline_ms) else { return Ok(()) };
        let Some(there) = self.log.open(&draft.board).await?.and_then(|head| head.deadline_ms) else {
            return Ok(());
        };
        let ttl_ms = in_ms(ttl);
        let sooner = if here < there { room } else { &draft.board };
        let wall_ms = self.rooms.now().wall_ms;
        let (goes_in_ms, until_ms) = (left_ms(here.min(there), wall_ms), left_ms(here.max(there), wall_ms));
        let is_apart = here.abs_diff(there) > DRAFT_APART_MS_MAX.min(ttl_ms / 8);
        if is_apart && goes_in_ms < ttl_ms / 2 && until_ms > 0 {
            self.log.touch(sooner, Some(until_ms)).await?;
        }
        Ok(())
    }
}
