//! What kind the room is of. Its genesis record says so; before there is one, whoever writes first.
//!
//! Several may write first, on several instances, and each may have another kind in mind. The genesis record that is stored
//! decides for all of them. A batch that was judged as one of a free room is stored only as the first, where a board may have
//! come before it: what a board would not take is not stored behind its back.

use super::State;
use crate::caller::Caller;
use crate::ids::RoomName;
use crate::kind::{Boards, RoomKind};
use crate::log::record::{Kind, Metadata, Record};

/// By what a room's kind is chosen if it is made here.
pub(super) struct Choice {
    boards: Boards,
    room: RoomName,
    /// Other instances or other people could choose otherwise, as far as is known here.
    is_open: bool,
}

impl State {
    /// If the room is made here, its kind is chosen by these settings and by the token of whoever makes it.
    pub(crate) fn choose_by(&mut self, boards: &Boards, room: &RoomName) {
        let choice = Choice { boards: boards.clone(), room: room.clone(), is_open: !boards.is_empty() };
        if self.is_new() {
            self.set_kind(boards.kind_of(room, None));
        }
        self.authors.choice = Some(choice);
    }

    /// The kind of the room: stored, or, while it is new, what it would be.
    pub(crate) fn kind(&self) -> RoomKind {
        self.authors.kind
    }

    /// The committed document, to read values of.
    pub(crate) fn doc(&self) -> &yrs::Doc {
        self.document.doc()
    }

    /// The room is of this kind, and is made of this kind if it is not there.
    pub(crate) fn set_kind(&mut self, kind: RoomKind) {
        self.authors.kind = kind;
        if !self.is_new() {
            return;
        }
        let metadata = self.genesis.metadata().expect("we have made it");
        if metadata.room_kind != kind {
            let metadata = Metadata { room_kind: kind, ..metadata };
            let genesis = Record::new(Kind::Genesis, &metadata, &self.genesis.update());
            self.genesis = genesis.expect("as large as the one before");
        }
    }

    /// Somebody writes: if that makes the room, its kind is theirs to choose.
    pub(super) fn choose_kind(&mut self, caller: &Caller) {
        if !self.is_new() || !self.batches.is_empty() {
            return;
        }
        let Some(choice) = &mut self.authors.choice else { return };
        choice.is_open = caller.kind.is_some() || !choice.boards.is_empty();
        let kind = choice.boards.kind_of(&choice.room, caller.kind);
        self.set_kind(kind);
    }

    /// Whether the first batch must make the room, or not be stored: it was judged by fewer rules than another's room may
    /// have.
    pub(super) fn must_be_first(&self) -> bool {
        self.authors.kind == RoomKind::Free
            && self.authors.choice.as_ref().is_some_and(|choice| choice.is_open)
    }

    /// A record is stored: the first one decides what kind the room is of.
    pub(super) fn learn_kind(&mut self, record: &Record) {
        if record.kind() == Kind::Genesis
            && let Ok(metadata) = record.metadata()
        {
            self.authors.kind = metadata.room_kind;
        }
    }
}

#[cfg(test)]
mod tests;
