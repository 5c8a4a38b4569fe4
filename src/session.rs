//! One client in one room, as a state machine: message in, intent out.
//!
//! Pure: never waits, never reads the time, never sees a socket. The shell in `http/socket`
//! carries the intents out; the room tells back what became of them.
//!
//! Invariants:
//! - Nothing of the room is sent before the client's SyncStep1 was read.
//! - At most one SyncStep1 of ours is unanswered.
//! - Every Step2 and Update is counted once, in order: acks are that count.
//! - A Step2 that nobody asked for is an Update by another name, and is judged as one. What is larger
//!   than any edit is a whole document, by whichever name, and is judged as a Step2.

use bytes::Bytes;

use crate::gate::Source;
use crate::limits::{DOCUMENT_BYTES_MAX, UPDATE_BYTES_MAX};
use crate::wire::close::{self, Close};
use crate::wire::{Message, WireError};

/// What the shell is to do for a client's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Answer with a Step2 for this state vector. If `first`, start relaying to this session, and
    /// send our own SyncStep1 and everyone's presence after the Step2.
    Sync {
        /// What the client has, encoded, not judged yet.
        state_vector: Bytes,
        /// Whether it is the session's first.
        first: bool,
    },
    /// Give an update to the gate, then to the log.
    Submit {
        /// The update, not judged yet.
        update: Bytes,
        /// Whether it came as a Step2 or as an Update.
        source: Source,
    },
    /// Announce presence states.
    Announce(Bytes),
    /// Send everyone's presence.
    SharePresence,
    /// Nothing to do.
    Ignore,
    /// End the session.
    Close(Close),
}

/// What one client has said and been asked so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Session {
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
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one message and says what to do.
    pub fn handle(&mut self, message: Message) -> Intent {
        match message {
            Message::SyncStep1(state_vector) => {
                let first = !std::mem::replace(&mut self.greeted, true);
                self.asked |= first;
                Intent::Sync { state_vector, first }
            }
            Message::SyncStep2(update) if std::mem::take(&mut self.asked) => {
                self.submit(update, Source::Step2)
            }
            // A copy that y-indexeddb loads after the join comes as one Update. It is judged as the
            // Step2 that it would have been.
            Message::SyncStep2(update) | Message::Update(update) if update.len() > UPDATE_BYTES_MAX => {
                self.submit(update, Source::Step2)
            }
            Message::SyncStep2(update) | Message::Update(update) => self.submit(update, Source::Update),
            Message::Presence(update) => Intent::Announce(update),
            Message::QueryPresence if self.greeted => Intent::SharePresence,
            Message::QueryPresence | Message::Unknown(_) => Intent::Ignore,
        }
    }

    /// Takes bytes that are no message.
    #[must_use]
    pub fn malformed(error: WireError) -> Intent {
        Intent::Close(Close::new(close::MALFORMED, error.to_string()))
    }

    /// The room found a gap in what this client sent. Returns whether to send a SyncStep1 now:
    /// not before the client is greeted, and never a second while one is unanswered.
    pub fn ask_again(&mut self) -> bool {
        self.greeted && !std::mem::replace(&mut self.asked, true)
    }

    /// Step2 and Update messages so far.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    fn submit(&mut self, update: Bytes, source: Source) -> Intent {
        if update.len() > DOCUMENT_BYTES_MAX {
            return Intent::Close(Close::new(
                close::TOO_LARGE,
                "the document is larger than this server takes",
            ));
        }
        self.submitted += 1;
        Intent::Submit { update, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    #[test]
    fn the_first_step1_greets_and_later_ones_resync() {
        let mut session = Session::new();
        assert_eq!(session.handle(Message::QueryPresence), Intent::Ignore);
        let sync = |first| Intent::Sync { state_vector: bytes(1), first };
        assert_eq!(session.handle(Message::SyncStep1(bytes(1))), sync(true));
        assert_eq!(session.handle(Message::SyncStep1(bytes(1))), sync(false));
        assert_eq!(session.handle(Message::QueryPresence), Intent::SharePresence);
    }

    #[test]
    fn one_question_at_a_time() {
        let mut session = Session::new();
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
            let mut session = Session::new();
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
        let mut session = Session::new();
        assert_eq!(session.handle(Message::Unknown(9)), Intent::Ignore);
    }

    /// [S10] A Step2 that nobody asked for is judged as an Update: before the greeting, and once the
    /// question was answered.
    #[test]
    fn only_an_answer_has_the_limits_of_a_step2() {
        let mut session = Session::new();
        let step2 = || Message::SyncStep2(bytes(2));
        assert_eq!(source(&session.handle(step2())), Some(Source::Update), "nothing was asked");
        session.handle(Message::SyncStep1(bytes(1)));
        assert_eq!(source(&session.handle(step2())), Some(Source::Step2), "the greeting asks");
        assert_eq!(source(&session.handle(step2())), Some(Source::Update), "answered already");
        assert!(session.ask_again());
        assert_eq!(source(&session.handle(step2())), Some(Source::Step2), "asked again");
    }

    fn source(intent: &Intent) -> Option<Source> {
        match intent {
            Intent::Submit { source, .. } => Some(*source),
            _ => None,
        }
    }
}
