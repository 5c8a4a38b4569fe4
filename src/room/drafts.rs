//! Hidden cards: how many there are, and how they come into their board. `board::drafts` says what is copied; here it is read,
//! stored, and repeated.
//!
//! A card goes in two steps: it is stored in the board, then taken out of its draft. Whatever is cut off between the two, or done
//! twice, by anyone, ends the same: what the board has, or has had, is not copied again, and only what it has had is taken out.
//!
//! Invariants:
//! - One task of this process at a time moves cards into one board.
//! - A draft's cards are moved only while its board shows cards, so by a reveal or after it: each record of a move stands right behind
//!   the state of the room that it was made of.
//! - What is copied is stored in its author's name, under a client id that is the author's from there on.

mod finishing;
mod following;
mod lives;
mod moving;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use super::outside::{Edit, ReadError, WriteError};
use super::state::State;
use super::{Command, Rooms};
use crate::board::drafts::{self, Draft};
use crate::caller::Caller;
use crate::document::FoldError;
use crate::gate::Source;
use crate::generation::{self, Marker};
use crate::heavy::heavy;
use crate::history::{self, Range, WalkError};
use crate::ids::{Position, RoomName};
use crate::kind::RoomKind;
use crate::limits::{DRAFT_COUNTS_MAX, DRAFTS_MOVED_MAX, DRAFTS_PAGE, DRAFTS_PER_BOARD_MAX, REVEALS_MAX};
use crate::log::LogError;

/// What a reveal has done by itself; others may do so at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revealed {
    /// The newest record that it has stored in the board; [`Position::START`] if there was nothing to do.
    pub position: Position,
    /// Whose cards were moved: how many people's.
    pub authors: usize,
    /// How many cards were moved.
    pub cards: usize,
    /// Whose cards cannot be moved, however often it is asked: a document is damaged, or a card is more than a board takes.
    pub failed: Vec<String>,
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
    /// The draft is of an earlier board of that name.
    #[error("these cards are of an earlier board of this name")]
    OtherLife,
    /// Cards are hidden again, by somebody who came meanwhile: what has not been moved stays where it is.
    #[error("the board hides its cards again")]
    Hides,
    /// The board or a draft is written to all the time.
    #[error("some cards could not be moved while others write: try again")]
    Busy,
    /// The work was stopped.
    #[error("the work was stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

impl RevealError {
    /// Whether the same comes of it when it is asked again.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Fold(_) | Self::Read(ReadError::Fold(_) | ReadError::Refused(_)) => true,
            Self::Write(error) => matches!(
                error,
                WriteError::Refused(_)
                    | WriteError::Record(_)
                    | WriteError::Contradicts(_)
                    | WriteError::Broken(_)
            ),
            _ => false,
        }
    }

    /// As [`WriteError::leaves_no_trace`].
    fn leaves_no_trace(&self) -> bool {
        matches!(self, Self::Write(error) if error.leaves_no_trace())
    }
}

/// How a room is looked at for its cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) kind: RoomKind,
    /// Nothing is stored in it.
    pub(super) is_new: bool,
    /// Cards are hidden.
    pub(super) hides: bool,
    /// Of a draft: how many cards lie in it.
    pub(super) cards: usize,
    /// The markers of its lives; of a draft, those of its board's lives that it is of.
    pub(super) lives: Vec<Marker>,
}

/// What is known of a draft that is not open.
#[derive(Debug, Clone)]
struct Counted {
    /// Its newest record then.
    at: Position,
    cards: usize,
    /// As [`Look::lives`].
    lives: Vec<Marker>,
}

/// What is under way with drafts.
pub(super) struct Movers {
    /// Who moves into a board holds its lock; it goes with the last who wants it.
    boards: Mutex<HashMap<RoomName, Arc<tokio::sync::Mutex<()>>>>,
    /// Drafts of which the board has all that was changed in moved cards, up to which record.
    followed: Mutex<HashMap<RoomName, Position>>,
    /// Rooms whose cards a task sees to, and whether something came since it has looked.
    busy: Mutex<HashMap<RoomName, Arc<Notify>>>,
    /// Boards that hid their cards when a room's task looked at them last, unless it has come to rest since.
    hid: Mutex<HashSet<RoomName>>,
    /// What drafts have that are not open.
    counts: Mutex<HashMap<RoomName, Counted>>,
    /// When boards were looked through last for cards that a reveal has left.
    finished: Mutex<HashMap<RoomName, Instant>>,
    /// Boards that are to be looked through.
    finishing: Mutex<HashSet<RoomName>>,
    /// Held by who does.
    looks: Semaphore,
    /// One for each draft whose cards are on their way.
    moves: Semaphore,
    /// One for each reveal that is asked for.
    reveals: Semaphore,
}

impl Default for Movers {
    fn default() -> Self {
        Self {
            boards: Mutex::default(),
            followed: Mutex::default(),
            busy: Mutex::default(),
            hid: Mutex::default(),
            counts: Mutex::default(),
            finished: Mutex::default(),
            finishing: Mutex::default(),
            looks: Semaphore::new(1),
            moves: Semaphore::new(DRAFTS_MOVED_MAX),
            reveals: Semaphore::new(REVEALS_MAX),
        }
    }
}

impl Movers {
    /// Notes whether a board hides its cards. Returns whether it did, as far as is known here.
    pub(super) fn note_hides(&self, board: &RoomName, hides: bool) -> bool {
        let mut hid = self.hid.lock();
        if hides {
            self.finished.lock().remove(board);
        }
        if hides { !hid.insert(board.clone()) } else { hid.remove(board) }
    }

    fn is_followed(&self, draft: &RoomName, at: Position) -> bool {
        self.followed.lock().get(draft) == Some(&at)
    }

    fn note_followed(&self, draft: &RoomName, at: Position) {
        let mut followed = self.followed.lock();
        if followed.len() >= DRAFT_COUNTS_MAX && !followed.contains_key(draft) {
            followed.clear();
        }
        followed.insert(draft.clone(), at);
    }

    /// The board's task has come to rest, with all that it has seen.
    pub(super) fn forget_hides(&self, board: &RoomName) {
        self.hid.lock().remove(board);
    }
}

impl Rooms {
    /// Reveals the cards of a board: shows cards, and moves those that lie in drafts into the board. Also if they are shown already:
    /// whatever was cut off is made up for.
    ///
    /// # Errors
    /// [`RevealError`]: what was moved is moved; the rest follows when it is asked again. That somebody hides cards again meanwhile is
    /// none: what was not moved by then stays hidden.
    pub async fn reveal(
        self: &Arc<Self>,
        board: &RoomName,
        by: &Arc<Caller>,
    ) -> Result<Revealed, RevealError> {
        let _one = self.movers.reveals.try_acquire().map_err(|_| RevealError::Busy)?;
        let look = self.look(board).await?;
        if look.is_new {
            return Err(RevealError::NoRoom);
        }
        if look.kind != RoomKind::Board || Draft::of(board).is_some() {
            return Err(RevealError::NoBoard);
        }
        // The board's own task would begin the same when it sees that cards are shown, and nobody could tell who moved what.
        let busy = self.see_to_myself(board);
        let moved = self.show_and_move(board, by, look.hides).await;
        if let Some(busy) = busy {
            busy.end();
        }
        if let Err(RevealError::Busy) = moved {
            self.note_cards(board); // goes on, whether it is asked again or not
        }
        moved
    }

    async fn show_and_move(
        self: &Arc<Self>,
        board: &RoomName,
        by: &Arc<Caller>,
        hides: bool,
    ) -> Result<Revealed, RevealError> {
        let mut revealed = Revealed::default();
        if hides {
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
        let drafts = self.drafts_of(board).await?;
        if drafts.is_empty() {
            return Ok(counts);
        }
        let there = self.look(board).await?.lives;
        for name in drafts {
            let Some(draft) = Draft::of(&name) else { continue };
            let Some(user) = draft.user() else { continue };
            let (cards, lives) = if self.is_open(&name) {
                let look = self.look(&name).await?;
                (look.cards, look.lives)
            } else {
                match self.count_closed(&name, &draft.board).await? {
                    Some(counted) => (counted.cards, counted.lives),
                    None => continue,
                }
            };
            if cards > 0 && !lives::are_apart(&lives, &there) {
                counts.push((user, cards));
            }
        }
        Ok(counts)
    }

    /// `None`: there is no such draft.
    async fn count_closed(&self, draft: &RoomName, board: &RoomName) -> Result<Option<Counted>, RevealError> {
        let Some(mut walk) = history::walk(&self.log, draft, Range::TO_HEAD).await? else { return Ok(None) };
        let last = walk.head().last;
        let known = self.movers.counts.lock().get(draft).cloned();
        if let Some(counted) = known.filter(|counted| counted.at == last) {
            return Ok(Some(counted));
        }
        walk.to_end().await?;
        let board = board.clone();
        let count = heavy(move || {
            let fold = walk.fold()?;
            let lives = generation::markers(&board, &fold.gate().state_vector()).collect();
            Ok::<_, WalkError>(Counted { at: last, cards: drafts::count(fold.document().doc()), lives })
        });
        let counted = count.await??;
        let mut counts = self.movers.counts.lock();
        if counts.len() >= DRAFT_COUNTS_MAX {
            counts.clear();
        }
        counts.insert(draft.clone(), counted.clone());
        Ok(Some(counted))
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

impl Look {
    pub(super) fn of(state: &State, draft: Option<&Draft>) -> Self {
        let doc = state.doc();
        let lives = match draft {
            Some(draft) => state.lives_of(&draft.board),
            None => state.lives().collect(),
        };
        Self {
            kind: state.kind(),
            is_new: state.is_new(),
            hides: drafts::hides(doc),
            cards: draft.map_or(0, |_| drafts::count(doc)),
            lives,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [B56] That a board has begun to show cards is seen by the task that loads it anew, once; not if the one before had seen it.
    #[test]
    fn what_a_board_hid_outlives_its_task() {
        let (movers, board) = (Movers::default(), RoomName::parse("retro").unwrap());
        assert!(!movers.note_hides(&board, true) && movers.note_hides(&board, true));
        assert!(movers.note_hides(&board, false), "its task has ended in between");
        assert!(!movers.note_hides(&board, false));
        movers.note_hides(&board, true);
        movers.forget_hides(&board);
        assert!(!movers.note_hides(&board, false) && movers.hid.lock().is_empty());
    }
}
