//! Which life of a board a draft is of. A draft has the marker of its board's life in its own document, as a board has its own: so
//! the cards of one board never come into another one of the same name.
//!
//! It is written into the draft behind its first record, and stays there, whatever is compacted, expires or comes back. A draft
//! without one was begun when no board was there, or by a process that ended at that moment: it is of the board that it finds next.

use std::sync::Arc;

use super::{Look, RevealError};
use crate::board::drafts::Draft;
use crate::caller::{Caller, Role};
use crate::gate::Source;
use crate::generation::Marker;
use crate::ids::{Generation, RoomName};
use crate::log::record::genesis_update;
use crate::room::Rooms;
use crate::room::outside::Edit;
use crate::wire::close::{self, Close};

/// Whether a draft that has these markers is of another life of its board than the one that has those. If one of the two has none,
/// nobody can tell.
pub(super) fn are_apart(draft: &[Marker], board: &[Marker]) -> bool {
    !draft.is_empty() && !board.is_empty() && !draft.iter().any(|marker| board.contains(marker))
}

impl Rooms {
    /// Ties a draft to its board, if it is not tied yet.
    ///
    /// # Errors
    /// [`RevealError::OtherLife`]: it is of an earlier board of that name.
    pub(super) async fn tie(
        self: &Arc<Self>,
        name: &RoomName,
        draft: &Draft,
        board: &Look,
    ) -> Result<(), RevealError> {
        let own = self.look(name).await?;
        if are_apart(&own.lives, &board.lives) {
            return Err(RevealError::OtherLife);
        }
        let (Some(marker), Some(user)) = (board.lives.first(), draft.user()) else { return Ok(()) };
        if own.is_new || !own.lives.is_empty() {
            return Ok(());
        }
        let update = genesis_update(&draft.board, Generation { nonce: marker.nonce }).into();
        let caller = Arc::new(Caller { user: Some(user.into()), ..Caller::anonymous(Role::Editor) });
        self.write(name, Edit { update, source: Source::Update, caller, at: None }).await?;
        Ok(())
    }

    /// A draft is of an earlier board of its name: what is in it stays for its user to read and to delete, and nothing is added.
    pub(super) async fn close_draft(self: &Arc<Self>, name: &RoomName) {
        tracing::info!(room = %name.log_id(), "a draft is of an earlier board of its name: its cards stay where they are");
        let reason = "these cards are of an earlier board of this name: export them, then delete this draft (HTTP API)";
        self.send_away(name, Close::new(close::OTHER_GENERATION, reason)).await;
    }
}
