//! What a client is told of its edits, in its family's words: what is decided, what was refused.
//!
//! Invariants:
//! - Each Step2 and Update that the client waits for is told of once, in order, and only when it and all before it are
//!   decided.
//! - Nothing that was refused is ever called stored.

use std::collections::VecDeque;

use bytes::Bytes;

use super::counter::Counter;
use crate::ids::Position;
use crate::limits::{ECHOES_MAX, HOCUSPOCUS_OWED_MAX};
use crate::wire::voice::Voice;
use crate::wire::{hocuspocus, y_websocket};

/// Why an edit is not stored, or not all of it: a viewer's, or one under the client id of somebody else who is here.
pub const READ_ONLY: &str = "this is not yours to write: the edit, or a part of it, is not stored";

/// What one client has been told, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    voice: Voice,
    /// Messages that were told of.
    told: u64,
    /// Refused messages that were not told of: of those that a client counts, and so bounded as these are.
    refused: VecDeque<u64>,
    /// The codes of the rules that were broken.
    broken: Vec<&'static str>,
    /// Something was refused: from here on no answer may mean that all is stored.
    withheld: bool,
    /// Questions of y-sweet, each with the messages that must be decided first; `None` until the Step2 comes whose
    /// decision is waited for.
    echoes: VecDeque<(Option<u64>, Bytes)>,
    /// The Step2 that answers our last Step1 has come.
    synced: bool,
    /// What a Hocuspocus client waits to be told of.
    counter: Option<Box<Counter>>,
}

impl Answers {
    pub(super) fn new(voice: Voice) -> Self {
        let (refused, echoes) = (VecDeque::new(), VecDeque::new());
        let counter = match &voice {
            Voice::Hocuspocus(named) => Some(Box::new(Counter::new(named.tells_version))),
            _ => None,
        };
        let broken = Vec::new();
        Self { voice, told: 0, refused, broken, withheld: false, echoes, synced: false, counter }
    }

    /// What the client counts by itself, if it does.
    pub(super) fn counter(&mut self) -> Option<&mut Counter> {
        self.counter.as_deref_mut()
    }

    /// Whether each Step1 of the client is to be followed by one of ours: its counter waits for a Step2.
    pub(super) fn asks_back(&self) -> bool {
        self.counter.is_some()
    }

    /// The client asks whether what it has sent so far, `submitted` messages, is stored. The first such question
    /// may come before the Step2 with its offline edits: it is about these too.
    pub(super) fn ask(&mut self, submitted: u64, question: Bytes) {
        if self.echoes.len() >= ECHOES_MAX {
            self.echoes.pop_front(); // the newer question is about all that the older one was about
        }
        // A copy: the question is part of a frame, which may be large, and is kept for as long as the store takes.
        let question = Bytes::copy_from_slice(&question);
        self.echoes.push_back((self.synced.then_some(submitted), question));
    }

    /// The Step2 that answers our Step1 is message number `ordinal`.
    pub(super) fn synced(&mut self, ordinal: u64) {
        if !std::mem::replace(&mut self.synced, true) {
            self.echoes.iter_mut().for_each(|(after, _)| *after = Some(ordinal));
        }
    }

    /// What the client has sent builds on something that is not here, and is stored only when its next Step2 has
    /// brought that: until then no answer is yes.
    pub(super) fn miss(&mut self) {
        if let Some(counter) = self.counter() {
            counter.on_gap();
        }
        self.synced = false;
        self.echoes.iter_mut().for_each(|(after, _)| *after = None);
    }

    /// Whether the client waits for an answer that is not there yet.
    pub(super) fn owes_echo(&self) -> bool {
        !self.echoes.is_empty()
    }

    /// Whether more is kept to be told later than a client can have that answers our questions.
    pub(super) fn is_full(&self) -> bool {
        let owed = self.counter.as_ref().map_or(0, |counter| counter.len());
        owed.max(self.refused.len()) >= HOCUSPOCUS_OWED_MAX
    }

    /// These messages were refused, in order; more may be told with [`Answers::settle`]. Returns what to say at once.
    pub(super) fn refuse(&mut self, ordinals: impl IntoIterator<Item = u64>) -> Option<Bytes> {
        let before = self.refused.len();
        self.refused.extend(ordinals);
        if self.refused.len() == before {
            return None;
        }
        let first = !std::mem::replace(&mut self.withheld, true);
        if self.voice == Voice::YSweet {
            self.refused.clear(); // it is never told of one message
        }
        if self.voice.hears_acks() {
            return None;
        }
        // y-websocket has no word for one message; its console has room for one line.
        self.refused.clear();
        first.then(|| y_websocket::permission_denied(READ_ONLY))
    }

    /// Something in this message breaks a rule, and the rest of it is stored: for who counts, it is. Returns what to say
    /// at once, in words of the family.
    pub(super) fn break_rule(&mut self, ordinal: u64, code: &'static str, why: &str) -> Option<Bytes> {
        let is_first = !self.broken.contains(&code);
        if is_first {
            self.broken.push(code); // as many as there are codes
        }
        match &self.voice {
            Voice::YWebsocket { ruang: true } => Some(y_websocket::broken_rule(ordinal, code, why)),
            // Its console has room for one line of each kind.
            Voice::YWebsocket { ruang: false } => is_first.then(|| y_websocket::permission_denied(why)),
            // "Permission denied" would end the document there.
            Voice::Hocuspocus(_) => Some(hocuspocus::stateless(&broken_rule_json(code, why))),
            Voice::YSweet => None, // it has no word for it
        }
    }

    /// All messages up to number `decided` are decided, as of `position`. Returns what to say.
    pub(super) fn settle(&mut self, decided: u64, position: Position) -> Vec<Bytes> {
        self.told = self.told.max(decided);
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
                let counted = self.counter.as_mut().map(|counter| counter.settle(decided));
                for ordinal in counted.unwrap_or_default() {
                    let refused = std::iter::from_fn(|| self.next_refused(ordinal)).last();
                    says.push(hocuspocus::sync_status(refused != Some(ordinal)));
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

/// What a Hocuspocus client is told, as a message of its own kind for applications.
fn broken_rule_json(code: &str, why: &str) -> String {
    serde_json::json!({ "type": "ruang.brokenRule", "code": code, "message": why }).to_string()
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
        (1..=4).for_each(|ordinal| named.counter().expect("it counts").on_update(ordinal, &[0, 0]));
        assert_eq!(named.refuse([2, 3]), None);
        assert_eq!(named.settle(2, AT), [true, false].map(hocuspocus::sync_status));
        assert_eq!(named.settle(4, AT), [false, true].map(hocuspocus::sync_status));
        assert!(named.settle(4, AT).is_empty(), "each message is told of once");

        let mut sweet = Answers::new(Voice::YSweet);
        sweet.synced(1);
        sweet.ask(2, Bytes::from_static(b"q"));
        sweet.refuse([2]);
        assert!(sweet.settle(2, AT).is_empty() && sweet.owes_echo(), "never a yes again");
        assert!(sweet.refused.is_empty(), "nothing piles up of what is not told one by one");
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

    /// [W44] An edit that builds on something missing is decided, but not stored: what is asked about it is answered
    /// when the Step2 that brings both is decided.
    #[test]
    fn a_gap_is_no_yes() {
        let mut answers = Answers::new(Voice::YSweet);
        let questions = ["one", "two", "three"].map(|text| Bytes::from_static(text.as_bytes()));
        answers.synced(1);
        answers.ask(2, questions[0].clone());
        answers.miss();
        answers.ask(2, questions[1].clone());
        assert!(answers.settle(2, AT).is_empty(), "message 2 is left out");
        answers.synced(3);
        answers.ask(4, questions[2].clone());
        assert_eq!(answers.settle(3, AT), questions[..2]);
        assert_eq!(answers.settle(4, AT), questions[2..]);
    }
}
