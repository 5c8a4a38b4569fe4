//! The way of cards into their board: copied, then taken out, until a draft has none.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{RevealError, Revealed};
use crate::board::drafts::{self, Draft};
use crate::caller::{Caller, Role, UserId};
use crate::gate::Source;
use crate::heavy::heavy;
use crate::ids::{Position, RoomName};
use crate::kind::RoomKind;
use crate::limits::{DRAFT_EXACT_TRIES, DRAFT_LATE_WAITS_S, DRAFT_TRIES};
use crate::room::Rooms;
use crate::room::outside::{Copy, Edit, WriteError, Written};

impl Rooms {
    /// Cards may have to be moved: those of a draft, if something came into it, or of all drafts of a board that has begun to show
    /// cards. Seen to by a task of its own, which ends with the rooms.
    pub(in crate::room) fn note_cards(self: &Arc<Self>, room: &RoomName) {
        {
            let mut busy = self.movers.busy.lock();
            if let Some(again) = busy.get_mut(room) {
                *again = true;
                return;
            }
            busy.insert(room.clone(), false);
        }
        let (rooms, room) = (Arc::clone(self), room.clone());
        self.tasks.spawn(async move {
            let stop = rooms.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = rooms.see_to_all_that_comes(&room) => {}
            }
        });
    }

    async fn see_to_all_that_comes(self: &Arc<Self>, room: &RoomName) {
        loop {
            self.see_to(room).await;
            let mut busy = self.movers.busy.lock();
            match busy.get_mut(room) {
                Some(again) if *again => *again = false,
                _ => {
                    busy.remove(room);
                    return;
                }
            }
        }
    }

    async fn see_to(self: &Arc<Self>, room: &RoomName) {
        for wait_s in DRAFT_LATE_WAITS_S {
            match self.try_see_to(room).await {
                Ok(_) => return,
                // The document is damaged, or more than the engine can do: trying again would cost more of it.
                Err(error @ RevealError::Fold(_)) => {
                    tracing::error!(room = %room.log_id(), %error, "cards cannot be moved into their board");
                    return;
                }
                Err(error) => {
                    tracing::warn!(room = %room.log_id(), %error, "cards cannot be moved into their board yet");
                    sleep(Duration::from_secs(wait_s)).await;
                }
            }
        }
        tracing::error!(
            room = %room.log_id(),
            "cards are not moved into their board: the next edit of their author moves them, or a reveal that is asked again"
        );
    }

    async fn try_see_to(self: &Arc<Self>, room: &RoomName) -> Result<Revealed, RevealError> {
        let draft = Draft::of(room);
        let board = draft.as_ref().map_or(room, |draft| &draft.board);
        let look = self.look(board).await?;
        if look.kind != RoomKind::Board || look.is_new || look.hides {
            return Ok(Revealed::default());
        }
        match draft {
            None => self.move_all(room, Revealed::default()).await,
            Some(_) => self.move_draft(room).await,
        }
    }

    pub(super) async fn move_all(
        self: &Arc<Self>,
        board: &RoomName,
        mut revealed: Revealed,
    ) -> Result<Revealed, RevealError> {
        let mut failed = None;
        for draft in self.drafts_of(board).await? {
            // One person's trouble keeps nobody else's cards back.
            match self.move_draft(&draft).await {
                Ok(Revealed { position, authors, cards }) => {
                    revealed.position = revealed.position.max(position);
                    revealed.authors += authors;
                    revealed.cards += cards;
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(revealed), Err)
    }

    /// Moves what is in a draft into its board. What comes meanwhile is moved, too.
    async fn move_draft(self: &Arc<Self>, name: &RoomName) -> Result<Revealed, RevealError> {
        let Some(draft) = Draft::of(name) else { return Ok(Revealed::default()) };
        let Some(user) = draft.user() else { return Ok(Revealed::default()) };
        let user: UserId = user.into();
        let lock = Arc::clone(self.movers.boards.lock().entry(draft.board.clone()).or_default());
        let moved = {
            let _one_at_a_time = lock.lock().await;
            self.move_cards(name, &draft.board, &user).await
        };
        let mut boards = self.movers.boards.lock();
        // Ours, and the one that stands there.
        if Arc::strong_count(&lock) == 2 {
            boards.remove(&draft.board);
        }
        moved
    }

    async fn move_cards(
        self: &Arc<Self>,
        draft: &RoomName,
        board: &RoomName,
        user: &UserId,
    ) -> Result<Revealed, RevealError> {
        let author = Arc::new(Caller { user: Some(Arc::clone(user)), ..Caller::anonymous(Role::Editor) });
        let mut revealed = Revealed::default();
        // The draft as it was copied, of which nothing is taken out yet.
        let mut copied: Option<Copy> = None;
        for tried in 0..DRAFT_TRIES {
            let is_exact = tried < DRAFT_EXACT_TRIES;
            let (from, lease) = self.read_to_edit(draft, Some(user)).await?;
            lease.give_back(); // nothing is written under it: cards are only taken out
            let update = from.update.clone();
            let cards = heavy(move || drafts::cards_of(&update)).await??;
            if cards.is_empty() {
                revealed.authors = usize::from(revealed.cards > 0);
                return Ok(revealed);
            }
            if let Some(before) = copied.take() {
                self.amend_cards(before, &from, board, &author).await?;
            }
            match self.copy_cards(&from, board, &author, is_exact).await {
                Ok((position, cards)) => {
                    revealed.position = revealed.position.max(position);
                    revealed.cards += cards;
                }
                Err(RevealError::Write(WriteError::Moved { .. })) => {
                    breathe(tried).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let update = from.update.clone();
            let update = heavy(move || drafts::remove(&update, &cards)).await??;
            let at = is_exact.then_some(from.position);
            let edit =
                Edit { update: update.into(), source: Source::Update, caller: Arc::clone(&author), at };
            match self.write(draft, edit).await {
                Ok(_) => {}
                Err(WriteError::Moved { .. }) => {
                    copied = Some(from);
                    breathe(tried).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(RevealError::Busy)
    }

    /// Its author has changed a draft while it was copied: the same changes in the board.
    async fn amend_cards(
        self: &Arc<Self>,
        before: Copy,
        now: &Copy,
        board: &RoomName,
        author: &Arc<Caller>,
    ) -> Result<(), RevealError> {
        let (onto, lease) = self.read_to_edit(board, author.user.as_ref()).await?;
        let (now, client) = (now.update.clone(), lease.client);
        let made = heavy(move || drafts::amend(&before.update, &now, &onto.update, client)).await??;
        let Some(update) = made else {
            lease.give_back();
            return Ok(());
        };
        let edit =
            Edit { update: update.into(), source: Source::Update, caller: Arc::clone(author), at: None };
        self.write(board, edit).await?;
        lease.give_back();
        Ok(())
    }

    /// Stores in a board what it lacks of a draft. Returns how far it is stored, and how many cards are new.
    async fn copy_cards(
        self: &Arc<Self>,
        from: &Copy,
        board: &RoomName,
        author: &Arc<Caller>,
        is_exact: bool,
    ) -> Result<(Position, usize), RevealError> {
        let user = author.user.clone().unwrap_or_default();
        let (onto, lease) = self.read_to_edit(board, Some(&user)).await?;
        let (draft, full, client) = (from.update.clone(), onto.update, lease.client);
        let drafts::Copy { updates, cards } =
            heavy(move || drafts::copy(&draft, &full, &user, client)).await??;
        let (mut stored, mut at) = (Position::START, is_exact.then_some(onto.position));
        for update in updates {
            let edit = Edit { update: update.into(), source: Source::Update, caller: Arc::clone(author), at };
            match self.write(board, edit).await {
                // A gap, or what is somebody else's, would be a fault of ours: it is tried again, as something else.
                Ok(Written { has_gap: true, .. } | Written { is_foreign: true, .. }) => {
                    return Err(RevealError::Busy);
                }
                Ok(written) => stored = written.position,
                Err(error) => {
                    if error.leaves_no_trace() && stored == Position::START {
                        lease.give_back();
                    }
                    return Err(error.into());
                }
            }
            at = at.map(|_| stored);
        }
        lease.give_back();
        Ok((stored, cards.len()))
    }
}

/// Lets others finish what they are at, a little longer each time, and not all for as long.
async fn breathe(tried: usize) {
    let ms = rand::random_range(1..=4 + 2 * tried as u64);
    sleep(Duration::from_millis(ms)).await;
}
