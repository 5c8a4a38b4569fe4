//! What a client is told of its edits, in its family's words: what is decided, what was refused.
//!
//! Invariants:
//! - Each Step2 and Update is told of once, in order, and only when it and all before it are decided.
//! - Nothing that was refused is ever called stored.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::ids::Position;
use crate::limits::ECHOES_MAX;
use crate::wire::voice::Voice;
use crate::wire::{hocuspocus, y_websocket};

/// Why a viewer's edit is not stored.
pub const READ_ONLY: &str = "you may read this room, not write to it: this edit is not stored";

/// What one client has been told, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    voice: Voice,
    /// Messages that were told of.
    told: u64,
    /// Refused messages that were not told of.
    refused: VecDeque<u64>,
    /// Something was refused: from here on no answer may mean that all is stored.
    withheld: bool,
    /// Questions of y-sweet, each with the messages that must be decided first; `None` until the Step2 comes whose
    /// decision is waited for.
    echoes: VecDeque<(Option<u64>, Bytes)>,
    /// The Step2 that answers our first Step1 has come.
    synced: bool,
}

impl Answers {
    pub(super) fn new(voice: Voice) -> Self {
        let (refused, echoes) = (VecDeque::new(), VecDeque::new());
        Self { voice, told: 0, refused, withheld: false, echoes, synced: false }
    }

    /// The client asks whether what it has sent so far, `submitted` messages, is stored. The first such question
    /// may come before the Step2 with its offline edits: it is about these too.
    pub(super) fn ask(&mut self, submitted: u64, question: Bytes) {
        if self.echoes.len() >= ECHOES_MAX {
            self.echoes.pop_front(); // the newer question is about all that the older one was about
        }
        self.echoes.push_back((self.synced.then_some(submitted), question));
    }

    /// The Step2 that answers our Step1 is message number `ordinal`.
    pub(super) fn synced(&mut self, ordinal: u64) {
        if !std::mem::replace(&mut self.synced, true) {
            self.echoes.iter_mut().for_each(|(after, _)| *after = Some(ordinal));
        }
    }

    /// Whether the client waits for an answer that is not there yet.
    pub(super) fn owes_echo(&self) -> bool {
        !self.echoes.is_empty()
    }

    /// These messages were refused, in order; more may be told with [`Answers::settle`]. Returns what to say at once.
    pub(super) fn refuse(&mut self, ordinals: impl IntoIterator<Item = u64>) -> Option<Bytes> {
        let before = self.refused.len();
        self.refused.extend(ordinals);
        if self.refused.len() == before {
            return None;
        }
        let first = !std::mem::replace(&mut self.withheld, true);
        if self.voice.hears_acks() {
            return None;
        }
        // y-websocket has no word for one message; its console has room for one line.
        self.refused.clear();
        first.then(|| y_websocket::permission_denied(READ_ONLY))
    }

    /// All messages up to number `decided` are decided, as of `position`. Returns what to say.
    pub(super) fn settle(&mut self, decided: u64, position: Position) -> Vec<Bytes> {
        let told = self.told;
        self.told = told.max(decided);
        let mut says = Vec::new();
        match self.voice {
            Voice::YWebsocket { ruang: false } => {}
            Voice::YWebsocket { ruang: true } => {
                while let Some(ordinal) = self.next_refused(decided) {
                    says.push(y_websocket::refused(ordinal, READ_ONLY));
                }
                says.push(y_websocket::ack(decided, position));
            }
            Voice::Hocuspocus(_) => {
                let mut refused = self.next_refused(decided);
                for ordinal in told + 1..=decided {
                    let is_refused = refused == Some(ordinal);
                    says.push(hocuspocus::sync_status(!is_refused));
                    if is_refused {
                        refused = self.next_refused(decided);
                    }
                }
            }
            Voice::YSweet => says = self.echo(),
        }
        says
    }

    /// The questions whose answer is yes, in order.
    pub(super) fn echo(&mut self) -> Vec<Bytes> {
        let (told, mut says) = (self.told, Vec::new());
        let is_due = |(after, _): &(Option<u64>, Bytes)| after.is_some_and(|after| after <= told);
        while !self.withheld && self.echoes.front().is_some_and(is_due) {
            says.extend(self.echoes.pop_front().map(|(_, echo)| echo));
        }
        says
    }

    fn next_refused(&mut self, decided: u64) -> Option<u64> {
        let is_due = self.refused.front().is_some_and(|ordinal| *ordinal <= decided);
        if is_due { self.refused.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wire::voice::Named;

    const AT: Position = Position { seq: 1, ms: 2 };

    /// [S11] Each family has its own way of saying no, and none says that a refused edit is stored.
    #[test]
    fn a_refusal_is_told_in_the_words_of_the_family() {
        let mut plain = Answers::new(Voice::YWebsocket { ruang: false });
        assert_eq!(plain.refuse([1]), Some(y_websocket::permission_denied(READ_ONLY)));
        assert_eq!(plain.refuse([2]), None, "once is enough");

        let mut ruang = Answers::new(Voice::YWebsocket { ruang: true });
        assert_eq!(ruang.refuse([2]), None);
        assert_eq!(ruang.settle(1, AT), [y_websocket::ack(1, AT)]);
        assert_eq!(ruang.settle(2, AT), [y_websocket::refused(2, READ_ONLY), y_websocket::ack(2, AT)]);

        let mut named = Answers::new(Voice::Hocuspocus(Arc::new(Named::new(b"r"))));
        assert_eq!(named.refuse([2, 3]), None);
        assert_eq!(named.settle(2, AT), [true, false].map(hocuspocus::sync_status));
        assert_eq!(named.settle(4, AT), [false, true].map(hocuspocus::sync_status));
        assert!(named.settle(4, AT).is_empty(), "each message is told of once");

        let mut sweet = Answers::new(Voice::YSweet);
        sweet.synced(1);
        sweet.ask(2, Bytes::from_static(b"q"));
        sweet.refuse([2]);
        assert!(sweet.settle(2, AT).is_empty() && sweet.owes_echo(), "never a yes again");
    }

    /// [S12] A question of y-sweet goes back when all that was sent before it is decided; those before the first
    /// Step2 when that is.
    #[test]
    fn questions_wait_for_what_was_sent_before_them() {
        let mut answers = Answers::new(Voice::YSweet);
        let questions = ["one", "two", "three"].map(|text| Bytes::from_static(text.as_bytes()));
        answers.ask(0, questions[0].clone());
        assert!(answers.settle(0, AT).is_empty(), "the offline edits have not come");
        answers.synced(1);
        answers.ask(1, questions[1].clone());
        answers.ask(2, questions[2].clone());
        assert_eq!(answers.settle(1, AT), questions[..2]);
        assert_eq!(answers.settle(2, AT), questions[2..]);
        assert!(!answers.owes_echo());
        answers.ask(2, questions[0].clone());
        assert_eq!(answers.echo(), questions[..1], "nothing is under way");
    }
}
