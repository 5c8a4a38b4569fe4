//! What the room sees to of hidden cards: that somebody moves those which lie in a draft whose board shows cards.

use tokio::sync::oneshot;

use super::super::drafts::Look;
use super::Actor;
use crate::board::drafts::{self, Draft};
use crate::ids::RoomName;
use crate::kind::RoomKind;

/// What is watched for.
pub(super) struct Watch {
    is_draft: bool,
    /// The board hid its cards when it was looked at last. [`Movers`](super::super::drafts::Movers) know it too, for the task after
    /// this one.
    hid: bool,
}

impl Watch {
    pub(super) fn new(room: &RoomName) -> Self {
        Self { is_draft: Draft::of(room).is_some(), hid: false }
    }
}

impl Actor {
    /// Whether there is a board here, and what of its cards.
    pub(super) fn on_look(&self, reply: oneshot::Sender<Look>) {
        let draft = Draft::of(&self.shared.name);
        let _ = reply.send(Look::of(self.state(), draft.as_ref())); // the caller may have gone
    }

    /// The room is loaded: what a process before this one has left undone is made up for.
    pub(super) fn begin_watch(&mut self) {
        if self.watch.is_draft {
            self.note_cards();
            return;
        }
        self.watch.hid = self.hides();
        if self.rooms.movers.note_hides(&self.shared.name, self.watch.hid) && !self.watch.hid {
            // The task before this one has ended before it has seen that.
            self.rooms.note_cards(&self.shared.name);
        } else if !self.watch.hid && self.has_hidden() {
            self.rooms.finish_reveal(&self.shared.name);
        }
    }

    /// Something is stored. `own`: by this instance, which sees to what follows from it.
    pub(super) fn watch(&mut self, own: bool) {
        if self.watch.is_draft {
            if own {
                self.note_cards();
            }
            return;
        }
        let hides = self.hides();
        if std::mem::replace(&mut self.watch.hid, hides) == hides {
            return;
        }
        self.rooms.movers.note_hides(&self.shared.name, hides);
        match (hides, own) {
            (true, _) => {}
            (false, true) => self.rooms.note_cards(&self.shared.name),
            (false, false) => {
                self.rooms.note_open_drafts(&self.shared.name);
                self.rooms.finish_reveal_of_another(&self.shared.name);
            }
        }
    }

    /// Whether nobody has asked for anything, so that the room may come to rest: what it has seen is seen to.
    pub(super) fn is_left(&self) -> bool {
        let is_left = self.shared.inbox.is_empty();
        if is_left {
            self.rooms.movers.forget_hides(&self.shared.name);
        }
        is_left
    }

    /// Also if there is no card: one that was moved may have been changed.
    fn note_cards(&self) {
        if !self.state().is_new() {
            self.rooms.note_cards(&self.shared.name);
        }
    }

    /// Cards are shown that were hidden: there may be some that a reveal has not come to.
    fn has_hidden(&self) -> bool {
        self.state().kind() == RoomKind::Board && drafts::shows(self.state().doc())
    }

    fn hides(&self) -> bool {
        self.state().kind() == RoomKind::Board && drafts::hides(self.state().doc())
    }
}
