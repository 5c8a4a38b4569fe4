//! One client in one room, as a state machine: message in, intent out.
//!
//! Pure: never waits, never reads the time, never sees a socket. The shell in `http/socket`
//! carries the intents out; the room tells back what became of them.
//!
//! Invariants:
//! - Nothing of the room is sent before the client's SyncStep1 was read.
//! - At most one SyncStep1 of ours is unanswered. Who leaves it so for as many edits as may wait to be told of has to come
//!   back.
//! - Every Step2 and Update is counted once, in order: acks are that count.
//! - What each role's messages get is in one table, [`permit`].
//! - A Step2 that nobody asked for is an Update by another name, and is judged as one. What is larger
//!   than any edit is a whole document, by whichever name, and is judged as a Step2.

mod answers;
mod counter;
pub mod desk;
mod stateless;

use bytes::Bytes;

use self::answers::Answers;
use self::stateless::is_passed_on;
use crate::caller::Role;
use crate::gate::Source;
use crate::ids::Position;
use crate::limits::ECHO_BYTES_MAX;
use crate::limits::{DOCUMENT_BYTES_MAX, UPDATE_BYTES_MAX};
use crate::wire::close::{self, Close};
use crate::wire::voice::Voice;
use crate::wire::{Message, WireError};

pub use self::answers::READ_ONLY;

/// What a message gets, by the role of who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It is taken.
    Taken,
    /// It is taken if all of it may be, and else refused whole: its sender gets an answer, and can take it back.
    TakenWhole,
    /// It is looked at, and taken if it brings nothing new. If it does, it is refused and the session stays: editors
    /// write by themselves (formatting is cleaned up, Step1 is answered), and that is no offence.
    OnlyIfNothingNew,
    /// It is dropped.
    Dropped,
}

/// Who may send what: the one table of it. Presence and questions are for everyone in the room.
#[must_use]
pub fn permit(role: Role, message: &Message) -> Permit {
    match message {
        Message::SyncStep2(_) | Message::Update(_) if !role.may_write() => Permit::OnlyIfNothingNew,
        // Its receivers take it for the server's word.
        Message::Stateless(_) if !role.may_write() => Permit::Dropped,
        Message::SyncStep2(_)
        | Message::Update(_)
        | Message::Stateless(_)
        | Message::SyncStep1(_)
        | Message::Presence(_)
        | Message::QueryPresence
        | Message::Echo(_)
        | Message::Unknown(_) => Permit::Taken,
    }
}

/// What the shell is to do for a client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Answer with a Step2 for this state vector. If `first`, start relaying to this session, and
    /// send everyone's presence after the Step2.
    Sync {
        /// What the client has, encoded, not judged yet.
        state_vector: Bytes,
        /// Whether it is the session's first.
        first: bool,
        /// Whether to send our own SyncStep1 after the Step2.
        ask: bool,
    },
    /// Give an update to the gate, then to the log.
    Submit {
        /// The update, not judged yet.
        update: Bytes,
        /// Whether it came as a Step2 or as an Update.
        source: Source,
        /// Whether it may bring something.
        permit: Permit,
    },
    /// Announce presence states.
    Announce(Bytes),
    /// Send everyone's presence.
    SharePresence,
    /// Give the others in the room a message that is not part of the document.
    Relay(Bytes),
    /// Say what can be said of the client's edits by now.
    Answer,
    /// Nothing to do.
    Ignore,
    /// End the session.
    Close(Close),
}

/// What one client has said and been asked so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    role: Role,
    answers: Answers,
    /// The client's SyncStep1 was read: it may be told things.
    greeted: bool,
    /// Our SyncStep1 is on its way and its Step2 has not come.
    asked: bool,
    /// Step2 and Update messages so far.
    submitted: u64,
}

impl Session {
    /// A client that has said nothing yet.
    #[must_use]
    pub fn new(voice: Voice, role: Role) -> Self {
        Self { role, answers: Answers::new(voice), greeted: false, asked: false, submitted: 0 }
    }

    /// Takes one message and says what to do.
    pub fn handle(&mut self, message: Message) -> Intent {
        let permit = permit(self.role, &message);
        match message {
            Message::SyncStep1(state_vector) => {
                let first = !std::mem::replace(&mut self.greeted, true);
                let ask = (first || self.answers.asks_back()) && !std::mem::replace(&mut self.asked, true);
                if let Some(counter) = self.answers.counter() {
                    counter.on_step1(&state_vector);
                }
                Intent::Sync { state_vector, first, ask }
            }
            Message::SyncStep2(_) | Message::Update(_)
                if !self.is_answer(&message) && self.answers.is_full() =>
            {
                let why = "a question of the server was left unanswered for too long: sync again";
                Intent::Close(Close::new(close::BUSY, why))
            }
            Message::SyncStep2(update) => {
                let asked = std::mem::take(&mut self.asked);
                if asked {
                    self.answers.synced(self.submitted + 1);
                }
                if let Some(counter) = self.answers.counter() {
                    counter.on_step2(self.submitted + 1, asked);
                }
                self.submit(update, asked, permit)
            }
            Message::Update(update) => {
                if let Some(counter) = self.answers.counter() {
                    counter.on_update(self.submitted + 1, &update);
                }
                self.submit(update, false, permit)
            }
            Message::Presence(update) => Intent::Announce(update),
            Message::QueryPresence if self.greeted => Intent::SharePresence,
            Message::Echo(question) if question.len() > ECHO_BYTES_MAX => Intent::Close(Close::new(
                close::TOO_LARGE,
                "a question whether all is stored may not be large",
            )),
            Message::Echo(question) => {
                self.answers.ask(self.submitted, question);
                Intent::Answer
            }
            Message::Stateless(payload) if permit == Permit::Taken && is_passed_on(&payload) => {
                Intent::Relay(payload)
            }
            Message::QueryPresence | Message::Stateless(_) | Message::Unknown(_) => Intent::Ignore,
        }
    }

    /// Takes bytes that are no message.
    #[must_use]
    pub fn malformed(error: WireError) -> Intent {
        Intent::Close(Close::new(close::MALFORMED, error.to_string()))
    }

    /// Whether a SyncStep1 of ours is unanswered: the next Step2 was asked for.
    #[must_use]
    pub fn awaits_step2(&self) -> bool {
        self.asked
    }

    /// The room found a gap in what this client sent. Returns whether to send a SyncStep1 now:
    /// not before the client is greeted, and never a second while one is unanswered.
    pub fn ask_again(&mut self) -> bool {
        self.answers.miss();
        self.greeted && !std::mem::replace(&mut self.asked, true)
    }

    /// Something of what this client sent was left out, and is asked for later: until its next Step2 was judged,
    /// no answer says that all is stored.
    pub fn on_left_out(&mut self) {
        self.answers.miss();
    }

    /// Step2 and Update messages so far.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Something in one of its Step2 and Update messages breaks a rule, and is stored without its content. Returns what
    /// to say at once.
    pub fn on_broken(&mut self, ordinal: u64, code: &'static str, why: &str) -> Option<Bytes> {
        self.answers.break_rule(ordinal, code, why)
    }

    /// These of its Step2 and Update messages were refused, in order. Returns what to say at once.
    pub fn on_refused(&mut self, ordinals: impl IntoIterator<Item = u64>) -> Option<Bytes> {
        self.answers.refuse(ordinals)
    }

    /// All of its Step2 and Update messages up to number `decided` are decided, as of `position`. Returns what to
    /// say.
    pub fn on_decided(&mut self, decided: u64, position: Position) -> Vec<Bytes> {
        self.answers.settle(decided, position)
    }

    /// What can be said without anything new: after [`Intent::Answer`].
    pub fn answers(&mut self) -> Vec<Bytes> {
        self.answers.echo()
    }

    /// Whether the client waits for an answer, and gives up soon if it hears nothing at all.
    #[must_use]
    pub fn owes_answer(&self) -> bool {
        self.answers.owes_echo()
    }

    fn is_answer(&self, message: &Message) -> bool {
        self.asked && matches!(message, Message::SyncStep2(_))
    }

    fn submit(&mut self, update: Bytes, is_answer: bool, permit: Permit) -> Intent {
        // A copy that y-indexeddb loads after the join comes as one Update. It is judged as the
        // Step2 that it would have been.
        let is_document = is_answer || update.len() > UPDATE_BYTES_MAX;
        let source = if is_document { Source::Step2 } else { Source::Update };
        if update.len() > DOCUMENT_BYTES_MAX {
            return Intent::Close(Close::new(
                close::TOO_LARGE,
                "the document is larger than this server takes",
            ));
        }
        self.submitted += 1;
        Intent::Submit { update, source, permit }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::limits::HOCUSPOCUS_OWED_MAX;
    use crate::wire::voice::Named;

    fn open() -> Session {
        Session::new(Voice::YWebsocket { ruang: true }, Role::Editor)
    }

    fn bytes(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    #[test]
    fn the_first_step1_greets_and_later_ones_resync() {
        let mut session = open();
        assert_eq!(session.handle(Message::QueryPresence), Intent::Ignore);
        let sync = |first| Intent::Sync { state_vector: bytes(1), first, ask: first };
        assert_eq!(session.handle(Message::SyncStep1(bytes(1))), sync(true));
        assert_eq!(session.handle(Message::SyncStep1(bytes(1))), sync(false));
        assert_eq!(session.handle(Message::QueryPresence), Intent::SharePresence);
    }

    #[test]
    fn one_question_at_a_time() {
        let mut session = open();
        assert!(!session.ask_again(), "not before the client's Step1");
        session.handle(Message::SyncStep1(bytes(1)));
        assert!(!session.ask_again(), "the greeting's Step1 is unanswered");
        session.handle(Message::SyncStep2(bytes(2)));
        assert!(session.ask_again());
        assert!(!session.ask_again());
    }

    #[test]
    fn updates_are_counted_and_bounded() {
        for message in [Message::Update, Message::SyncStep2] {
            let mut session = open();
            session.handle(Message::SyncStep1(bytes(1)));
            assert_eq!(source(&session.handle(Message::Update(bytes(2)))), Some(Source::Update));
            let large = || message(bytes(UPDATE_BYTES_MAX + 1));
            assert_eq!(source(&session.handle(large())), Some(Source::Step2), "a whole document");
            assert_eq!(source(&session.handle(large())), Some(Source::Step2), "asked for or not");
            assert_eq!(session.submitted(), 3);
            let close = session.handle(message(bytes(DOCUMENT_BYTES_MAX + 1)));
            assert!(matches!(close, Intent::Close(close) if close.code == close::TOO_LARGE));
            assert_eq!(session.submitted(), 3);
        }
        let mut session = open();
        assert_eq!(session.handle(Message::Unknown(9)), Intent::Ignore);
    }

    /// [S10] A Step2 that nobody asked for is judged as an Update: before the greeting, and once the
    /// question was answered.
    #[test]
    fn only_an_answer_has_the_limits_of_a_step2() {
        let mut session = open();
        let step2 = || Message::SyncStep2(bytes(2));
        assert_eq!(source(&session.handle(step2())), Some(Source::Update), "nothing was asked");
        session.handle(Message::SyncStep1(bytes(1)));
        assert_eq!(source(&session.handle(step2())), Some(Source::Step2), "the greeting asks");
        assert_eq!(source(&session.handle(step2())), Some(Source::Update), "answered already");
        assert!(session.ask_again());
        assert_eq!(source(&session.handle(step2())), Some(Source::Step2), "asked again");
    }

    /// [S11] Viewers read, are seen, and may say again what is known.
    #[test]
    fn what_viewers_write_is_only_looked_at() {
        for role in Role::ALL {
            for message in [Message::SyncStep2, Message::Update] {
                let writes = permit(role, &message(bytes(2))) == Permit::Taken;
                println!("{role}: {writes}");
                assert_eq!(writes, role != Role::Viewer);
            }
            let others = [Message::SyncStep1(bytes(1)), Message::Presence(bytes(1)), Message::QueryPresence];
            assert!(others.iter().all(|message| permit(role, message) == Permit::Taken));
        }
        let mut viewer = Session::new(Voice::YSweet, Role::Viewer);
        let permitted = viewer.handle(Message::Update(bytes(2)));
        assert!(matches!(permitted, Intent::Submit { permit: Permit::OnlyIfNothingNew, .. }));
    }

    /// [S90] What waits to be told to a client that leaves a question of ours unanswered is bounded, of a viewer's refused
    /// edits too: then it is asked to come back. An answer is taken all the same, and all is told of after it.
    #[test]
    fn what_waits_to_be_told_is_bounded() {
        let named = || Voice::Hocuspocus(Arc::new(Named::new(b"r")));
        for role in [Role::Editor, Role::Viewer] {
            let mut session = Session::new(named(), role);
            session.handle(Message::SyncStep1(bytes(1)));
            session.handle(Message::SyncStep2(bytes(2)));
            assert_eq!(session.on_decided(1, Position::START).len(), 1);
            assert!(session.ask_again(), "something builds on what is missing");
            let mut sent = 0;
            let close = loop {
                match session.handle(Message::Update(bytes(2))) {
                    Intent::Close(close) => break close,
                    _ => sent += 1,
                }
                if role == Role::Viewer {
                    assert!(session.on_refused([session.submitted()]).is_none());
                }
                assert!(session.on_decided(session.submitted(), Position::START).is_empty());
                assert!(sent <= HOCUSPOCUS_OWED_MAX, "it grows for ever");
            };
            println!("{role}: {sent} edits, then {} {}", close.code, close.reason);
            assert_eq!((sent, close.code), (HOCUSPOCUS_OWED_MAX, close::BUSY));
            let answer = session.handle(Message::SyncStep2(bytes(2)));
            assert_eq!(source(&answer), Some(Source::Step2));
            assert_eq!(session.on_decided(session.submitted(), Position::START).len(), sent);
            assert!(matches!(session.handle(Message::Update(bytes(2))), Intent::Submit { .. }));
        }
        // What is refused and not counted, since it was said to be in the document already, is bounded too.
        let mut viewer = Session::new(named(), Role::Viewer);
        viewer.handle(Message::SyncStep1(Bytes::from_static(&[1, 7, 100])));
        let from_the_queue = Bytes::from_static(&[1, 1, 7, 0, 4, 1, 1, b't', 1, b'x', 0]);
        let ends = (0..=HOCUSPOCUS_OWED_MAX).any(|_| {
            let intent = viewer.handle(Message::Update(from_the_queue.clone()));
            viewer.on_refused([viewer.submitted()]);
            viewer.on_decided(viewer.submitted(), Position::START);
            matches!(intent, Intent::Close(close) if close.code == close::BUSY)
        });
        assert!(ends);
    }

    fn source(intent: &Intent) -> Option<Source> {
        match intent {
            Intent::Submit { source, .. } => Some(*source),
            _ => None,
        }
    }
}
