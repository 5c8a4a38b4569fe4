//! The way of cards into their board: copied, then taken out, until a draft has none. `following` is what comes after.

use std::iter::repeat_n;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::lives::are_apart;
use super::{RevealError, Revealed};
use crate::board::drafts::{self, Draft};
use crate::caller::{Caller, Role, UserId};
use crate::document::FoldError;
use crate::gate::Source;
use crate::heavy::heavy;
use crate::ids::{Position, RoomName};
use crate::kind::RoomKind;
use crate::limits::{DRAFT_LATE_TRIES, DRAFT_LATE_WAITS_S, DRAFT_TRIES, UPDATE_BYTES_MAX};
use crate::room::Rooms;
use crate::room::outside::{Copy, Edit, Lease, WriteError, Written};

impl Rooms {
    /// Cards may have to be moved: those of a draft, if something came into it, or of all drafts of a board that has begun to show
    /// cards. Seen to by a task of its own, which ends with the rooms.
    pub(in crate::room) fn note_cards(self: &Arc<Self>, room: &RoomName) {
        let more = Arc::new(Notify::new());
        {
            let mut busy = self.movers.busy.lock();
            if let Some(more) = busy.get(room) {
                more.notify_one();
                return;
            }
            busy.insert(room.clone(), Arc::clone(&more));
        }
        let busy = Busy { rooms: Arc::clone(self), room: room.clone(), more };
        self.tasks.spawn(async move {
            let stop = busy.rooms.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = busy.see_to_all_that_comes() => {}
            }
        });
    }

    /// Who asks for it sees to a board, and no task does meanwhile. `None`: one does already.
    pub(super) fn see_to_myself(self: &Arc<Self>, board: &RoomName) -> Option<Busy> {
        let mut busy = self.movers.busy.lock();
        if busy.contains_key(board) {
            return None;
        }
        let more = Arc::new(Notify::new());
        busy.insert(board.clone(), Arc::clone(&more));
        Some(Busy { rooms: Arc::clone(self), room: board.clone(), more })
    }

    /// A board is found to show cards that it hid: those that were stored here meanwhile, by whoever took them for hidden, are moved.
    pub(in crate::room) fn note_open_drafts(self: &Arc<Self>, board: &RoomName) {
        let is_of = |name: &RoomName| Draft::of(name).is_some_and(|draft| draft.board == *board);
        let open: Vec<RoomName> =
            self.listed.lock().open.keys().filter(|name| is_of(name)).cloned().collect();
        open.iter().for_each(|draft| self.note_cards(draft));
    }

    /// Tries until the cards are moved, at once if something comes meanwhile. Gives up in the end.
    async fn see_to(self: &Arc<Self>, room: &RoomName, more: &Notify) {
        let [.., longest] = DRAFT_LATE_WAITS_S;
        let waits = || DRAFT_LATE_WAITS_S.into_iter().chain(repeat_n(longest, DRAFT_LATE_TRIES));
        let mut left = waits();
        while let Some(wait_s) = left.next() {
            match self.try_see_to(room).await {
                // That cards are hidden, or the board is gone, is nobody's trouble.
                Ok(_) | Err(RevealError::Hides | RevealError::NoRoom | RevealError::NoBoard) => return,
                Err(RevealError::OtherLife) => return self.close_draft(room).await,
                // The document is damaged, or more than the engine can do: trying again would cost more of it.
                Err(error @ RevealError::Fold(_)) => {
                    tracing::error!(room = %room.log_id(), %error, "cards cannot be moved into their board");
                    return;
                }
                Err(error) => {
                    tracing::warn!(room = %room.log_id(), %error, "cards cannot be moved into their board yet");
                    if timeout(Duration::from_secs(wait_s), more.notified()).await.is_ok() {
                        left = waits();
                    }
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
        if look.kind != RoomKind::Board || look.is_new {
            return Ok(Revealed::default());
        }
        if let Some(draft) = &draft {
            self.tie(room, draft, &look).await?;
        }
        if look.hides {
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
                Ok(Revealed { position, authors, cards, .. }) => {
                    revealed.position = revealed.position.max(position);
                    revealed.authors += authors;
                    revealed.cards += cards;
                }
                // Of the others' cards the same would come. That cards are hidden again is no failure.
                Err(RevealError::Hides) => return Ok(revealed),
                Err(error @ (RevealError::NoRoom | RevealError::NoBoard)) => return Err(error),
                // Nothing of it is for this board.
                Err(RevealError::OtherLife) => {}
                // Asked again it would fail again: that must not make the others' reveal a failure.
                Err(error) if error.is_lasting() => {
                    tracing::error!(room = %draft.log_id(), %error, "cards cannot be moved into their board");
                    revealed.failed.extend(Draft::of(&draft).and_then(|draft| draft.user()));
                }
                Err(error) => failed = Some(error),
            }
        }
        if failed.is_none() {
            self.movers.note_finished(board);
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
            let _copies = self.movers.moves.acquire().await.expect("it is never closed");
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
        if !self.trusts_engine(draft) {
            return Err(RevealError::Fold(FoldError::Panicked));
        }
        let author = Arc::new(Caller { user: Some(Arc::clone(user)), ..Caller::anonymous(Role::Editor) });
        let moved = Way { rooms: self, draft, board, author }.go().await;
        if matches!(moved, Err(RevealError::Fold(FoldError::Panicked))) {
            self.engine_panicked(draft);
        }
        moved
    }
}

/// A room whose cards are seen to.
pub(super) struct Busy {
    rooms: Arc<Rooms>,
    room: RoomName,
    more: Arc<Notify>,
}

impl Busy {
    /// It is over. What was noted meanwhile is left to a task: it may have come too late to be seen.
    pub(super) fn end(self) {
        let (rooms, room, more) = (Arc::clone(&self.rooms), self.room.clone(), Arc::clone(&self.more));
        drop(self);
        if more.notified().now_or_never().is_some() {
            rooms.note_cards(&room);
        }
    }

    async fn see_to_all_that_comes(&self) {
        loop {
            self.rooms.see_to(&self.room, &self.more).await;
            let mut busy = self.rooms.movers.busy.lock();
            if self.more.notified().now_or_never().is_none() {
                busy.remove(&self.room);
                return;
            }
        }
    }
}

impl Drop for Busy {
    /// However the task ends, by a panic too: the next one is let begin.
    fn drop(&mut self) {
        let mut busy = self.rooms.movers.busy.lock();
        if busy.get(&self.room).is_some_and(|more| Arc::ptr_eq(more, &self.more)) {
            busy.remove(&self.room);
        }
    }
}

/// From one draft into its board.
pub(super) struct Way<'r> {
    pub(super) rooms: &'r Arc<Rooms>,
    pub(super) draft: &'r RoomName,
    pub(super) board: &'r RoomName,
    author: Arc<Caller>,
}

/// How far a try has come.
enum Tried {
    /// The board has all, and the draft has no cards.
    Done,
    /// Something is stored: the rest is made of what the rooms are now.
    Again,
}

impl Way<'_> {
    async fn go(&self) -> Result<Revealed, RevealError> {
        let mut revealed = Revealed::default();
        for tried in 0..DRAFT_TRIES {
            let (from, lease) = self.rooms.read_to_edit(self.draft, self.author.user.as_ref()).await?;
            lease.give_back(); // nothing is written under it: cards are only taken out
            match self.try_once(&from, &mut revealed).await {
                Ok(Tried::Done) => {
                    revealed.authors = usize::from(revealed.cards > 0);
                    return Ok(revealed);
                }
                Ok(Tried::Again) => {}
                Err(RevealError::Write(WriteError::Moved { .. })) => breathe(tried).await,
                Err(error) => return Err(error),
            }
        }
        Err(RevealError::Busy)
    }

    /// Each step is stored only right behind what it was made of, or the try is over: whoever reveals at the same moment, hides
    /// cards again, or deletes the board, comes before it or after it.
    async fn try_once(&self, from: &Copy, revealed: &mut Revealed) -> Result<Tried, RevealError> {
        let update = from.update.clone();
        let (cards, had_any) = heavy(move || drafts::cards_of(&update)).await??;
        let is_followed = !had_any || self.rooms.movers.is_followed(self.draft, from.position);
        if cards.is_empty() && is_followed {
            return Ok(Tried::Done);
        }
        let (onto, lease) = self.board().await?;
        let (user, draft, full) = (self.user(), from.update.clone(), onto.update.clone());
        let (client, at) = (lease.client, from.position);
        let mut made = heavy(move || drafts::copy(&draft, &full, &user, client, at)).await??;
        if made.hides {
            lease.give_back();
            return Err(RevealError::Hides);
        }
        if !is_followed {
            let followed = self.follow(from, &onto, client, std::mem::take(&mut made.moved)).await;
            if !matches!(followed, Ok(None)) {
                // Used again by the next try: what is stored under it is in the board that it reads.
                if followed.as_ref().map_or_else(RevealError::leaves_no_trace, |_| true) {
                    lease.give_back();
                }
                revealed.position = revealed.position.max(followed?.unwrap_or_default());
                return Ok(Tried::Again);
            }
            self.rooms.movers.note_followed(self.draft, from.position);
        }
        self.copy(made, onto.position, lease, revealed).await?;
        if cards.is_empty() {
            return Ok(Tried::Done);
        }
        let update = from.update.clone();
        let update = heavy(move || drafts::remove(&update, &cards)).await??;
        let taken_out = self.write(self.draft, update, from.position).await?;
        self.rooms.movers.note_followed(self.draft, taken_out);
        Ok(Tried::Again)
    }

    /// The board, to write into it: one that is there. What it was for a reader before this one does not count: the name may have
    /// begun another life since.
    async fn board(&self) -> Result<(Copy, Lease), RevealError> {
        let (onto, lease) = self.rooms.read_to_edit(self.board, self.author.user.as_ref()).await?;
        // Asked after the document was read: if it is of another life, so is the position, and nothing is stored.
        let refused = match self.rooms.look(self.board).await {
            Ok(_) if onto.position == Position::START => RevealError::NoRoom,
            Ok(look) if look.kind != RoomKind::Board => RevealError::NoBoard,
            Ok(look) => match self.rooms.look(self.draft).await {
                Ok(own) if are_apart(&own.lives, &look.lives) => RevealError::OtherLife,
                Ok(_) => return Ok((onto, lease)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        lease.give_back();
        Err(refused)
    }

    /// Stores in the board what it lacks of a draft.
    async fn copy(
        &self,
        made: drafts::Copy,
        mut at: Position,
        lease: Lease,
        revealed: &mut Revealed,
    ) -> Result<(), RevealError> {
        let mut has_trace = false;
        for (update, cards) in made.updates.into_iter().zip(made.counts) {
            match self.write(self.board, update, at).await {
                Ok(stored) => {
                    (at, has_trace) = (stored, true);
                    revealed.position = revealed.position.max(stored);
                    revealed.cards += cards;
                }
                Err(error) => {
                    if error.leaves_no_trace() && !has_trace {
                        lease.give_back();
                    }
                    return Err(error);
                }
            }
        }
        lease.give_back();
        Ok(())
    }

    pub(super) fn user(&self) -> UserId {
        self.author.user.clone().expect("a draft's author is somebody")
    }

    /// Right behind `at`, in the author's name.
    pub(super) async fn write(
        &self,
        room: &RoomName,
        update: Vec<u8>,
        at: Position,
    ) -> Result<Position, RevealError> {
        let (update, caller) = (Bytes::from(update), Arc::clone(&self.author));
        // A card that came in as several edits may be larger than one: it comes all the same, though under an id that nobody claims.
        let is_large = update.len() > UPDATE_BYTES_MAX;
        let source = if is_large { Source::Step2 } else { Source::Update };
        let edit = Edit { update, source, caller, at: Some(at) };
        match self.rooms.write(room, edit).await? {
            // A gap, or what is somebody else's, would be a fault of ours: it is tried again, as something else.
            Written { has_gap: true, .. } | Written { is_foreign: true, .. } => Err(RevealError::Busy),
            written => Ok(written.position),
        }
    }
}

/// Lets others finish what they are at, a little longer each time, and not all for as long.
async fn breathe(tried: usize) {
    let ms = rand::random_range(1..=4 + 2 * tried as u64);
    sleep(Duration::from_millis(ms)).await;
}
