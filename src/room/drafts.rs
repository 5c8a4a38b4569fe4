//! Hidden cards: how many there are, and how they come into their board. `board::drafts` says what is copied; here it is read,
//! stored, and repeated.
//!
//! A card goes in two steps: it is stored in the board, then taken out of its draft. Whatever is cut off between the two, or done
//! twice, by anyone, ends the same: what the board has, or has had, is not copied again, and only what it has had is taken out.
//!
//! Invariants:
//! - One task of this process at a time moves cards into one board.
//! - A draft's cards are moved only while its board shows cards, so by a reveal or after it.
//! - What is copied is stored in its author's name, under a client id that is the author's from there on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::outside::{Copy, Edit, ReadError, WriteError, Written};
use super::{Command, Rooms};
use crate::board::drafts::{self, Draft};
use crate::caller::{Caller, Role, UserId};
use crate::document::FoldError;
use crate::gate::Source;
use crate::heavy::heavy;
use crate::history::{self, Range, WalkError};
use crate::ids::{Position, RoomName};
use crate::kind::RoomKind;
use crate::limits::{DRAFT_EXACT_TRIES, DRAFT_LATE_WAITS_S, DRAFT_TRIES, DRAFTS_PAGE, DRAFTS_PER_BOARD_MAX};
use crate::log::LogError;

/// What a reveal has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Revealed {
    /// The newest record that it has stored in the board; [`Position::START`] if there was nothing to do.
    pub position: Position,
    /// Whose cards were moved: how many people's.
    pub authors: usize,
    /// How many cards were moved.
    pub cards: usize,
}

/// Why cards are not, or not all, revealed. Asked again, the rest follows.
#[derive(Debug, thiserror::Error)]
pub enum RevealError {
    /// Nothing is stored under the name.
    #[error("there is no such room")]
    NoRoom,
    /// Only boards have hidden cards.
    #[error("this room is no board")]
    NoBoard,
    /// A room cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A room does not take an edit.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The store does not say which drafts there are.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A draft's past cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A document is damaged.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The board or a draft is written to all the time.
    #[error("some cards could not be moved while others write: try again")]
    Busy,
    /// The work was stopped.
    #[error("the work was stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

/// How a room is looked at for its cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) kind: RoomKind,
    /// Nothing is stored in it.
    pub(super) is_new: bool,
    /// Cards are hidden.
    pub(super) hides: bool,
    /// Of a draft: how many cards lie in it.
    pub(super) cards: usize,
}

/// What is under way with drafts.
#[derive(Default)]
pub(super) struct Movers {
    /// Who moves into a board holds its lock; it goes with the last who wants it.
    boards: Mutex<HashMap<RoomName, Arc<tokio::sync::Mutex<()>>>>,
    /// Rooms whose cards a task sees to, and whether something came since it has looked.
    busy: Mutex<HashMap<RoomName, bool>>,
}

impl Rooms {
    /// Reveals the cards of a board: shows cards, and moves those that lie in drafts into the board. Also if they are shown already:
    /// whatever was cut off is made up for.
    ///
    /// # Errors
    /// [`RevealError`]: what was moved is moved; the rest follows when it is asked again.
    pub async fn reveal(
        self: &Arc<Self>,
        board: &RoomName,
        by: &Arc<Caller>,
    ) -> Result<Revealed, RevealError> {
        let look = self.look(board).await?;
        if look.is_new {
            return Err(RevealError::NoRoom);
        }
        if look.kind != RoomKind::Board || Draft::of(board).is_some() {
            return Err(RevealError::NoBoard);
        }
        let mut revealed = Revealed::default();
        if look.hides {
            // First: what comes into a draft from here on finds that cards are shown, and moves by itself.
            revealed.position = self.show_cards(board, by).await?;
        }
        self.move_all(board, revealed).await
    }

    /// How many cards each person has hidden, by user. Counts what is stored.
    ///
    /// # Errors
    /// [`RevealError`]
    pub async fn hidden_cards(
        self: &Arc<Self>,
        board: &RoomName,
    ) -> Result<Vec<(String, usize)>, RevealError> {
        let mut counts = Vec::new();
        for draft in self.drafts_of(board).await? {
            let Some(user) = Draft::of(&draft).and_then(|draft| draft.user()) else { continue };
            let cards = if self.is_open(&draft) {
                self.look(&draft).await?.cards
            } else {
                let Some(mut walk) = history::walk(&self.log, &draft, Range::TO_HEAD).await? else {
                    continue;
                };
                walk.to_end().await?;
                drafts::count(walk.fold()?.document().doc())
            };
            if cards > 0 {
                counts.push((user, cards));
            }
        }
        Ok(counts)
    }

    /// The draft rooms of a board that are stored, by name.
    pub(super) async fn drafts_of(&self, board: &RoomName) -> Result<Vec<RoomName>, LogError> {
        let mut found = Vec::new();
        let Some(beginning) = drafts::beginning(board) else { return Ok(found) };
        let mut after = beginning.clone();
        loop {
            let page = self.log.rooms(Some(&after), DRAFTS_PAGE).await?;
            let Some(last) = page.last().cloned() else { return Ok(found) };
            let within = |name: &RoomName| name.as_str().starts_with(beginning.as_str());
            let is_over = !within(&last);
            found.extend(page.into_iter().filter(|name| within(name) && Draft::of(name).is_some()));
            if is_over || found.len() >= DRAFTS_PER_BOARD_MAX {
                found.truncate(DRAFTS_PER_BOARD_MAX);
                return Ok(found);
            }
            after = last;
        }
    }

    /// Cards may have to be moved: those of a draft, if something came into it, or of all drafts of a board that has begun to show
    /// cards. Seen to by a task of its own, which ends with the rooms.
    pub(super) fn note_cards(self: &Arc<Self>, room: &RoomName) {
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

    async fn move_all(
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
        self.write_claiming(board, edit).await?;
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
            match self.write_claiming(board, edit).await {
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

    async fn show_cards(
        self: &Arc<Self>,
        board: &RoomName,
        by: &Arc<Caller>,
    ) -> Result<Position, RevealError> {
        let (copy, lease) = self.read_to_edit(board, by.user.as_ref()).await?;
        let (full, client) = (copy.update, lease.client);
        let update = heavy(move || drafts::show(&full, client)).await??;
        let edit = Edit { update: update.into(), source: Source::Update, caller: Arc::clone(by), at: None };
        let written = self.write(board, edit).await;
        if written.as_ref().map_or_else(WriteError::leaves_no_trace, |_| true) {
            lease.give_back();
        }
        Ok(written?.position)
    }

    async fn look(self: &Arc<Self>, name: &RoomName) -> Result<Look, RevealError> {
        for _ in 0..LOOKS {
            let shared =
                self.enter(name).await.map_err(|close| ReadError::Closed(close.reason.to_string()))?;
            let (reply, answer) = oneshot::channel();
            if shared.inbox.send(Command::Look { reply }).is_ok()
                && let Ok(look) = answer.await
            {
                return Ok(look);
            }
            tokio::task::yield_now().await;
        }
        Err(ReadError::Closed("it is loaded again and again".to_owned()).into())
    }
}

/// A room that is found to have ended is looked for again this often.
const LOOKS: usize = 4;

/// Lets others finish what they are at, a little longer each time, and not all for as long.
async fn breathe(tried: usize) {
    let ms = rand::random_range(1..=4 + 2 * tried as u64);
    sleep(Duration::from_millis(ms)).await;
}

impl Look {
    pub(super) fn of(kind: RoomKind, is_new: bool, is_draft: bool, doc: &yrs::Doc) -> Self {
        Self { kind, is_new, hides: drafts::hides(doc), cards: if is_draft { drafts::count(doc) } else { 0 } }
    }
}
