//! The documents of one Hocuspocus socket: which are open, which wait for a token, which were denied.
//!
//! Pure. The socket's task asks what to do with each message, and carries it out.
//!
//! Invariants:
//! - Nothing is opened, and nothing of a room is touched, before it is decided who asks.
//! - What waits for that is bounded in documents, messages, bytes and time.
//! - A denied document costs its name, and what the client goes on to say of it is dropped; a new token is looked at.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::limits::{
    HOCUSPOCUS_AUTH_MS_MAX, HOCUSPOCUS_DENIED_MAX, HOCUSPOCUS_DOCUMENTS_MAX, HOCUSPOCUS_EMPTY_MS_MAX,
    HOCUSPOCUS_LATE_TOKEN_MS, HOCUSPOCUS_QUEUE_BYTES_MAX, HOCUSPOCUS_QUEUE_MESSAGES_MAX,
};
use crate::wire::close::{self, Close};
use crate::wire::hocuspocus::{self, Said, Token};

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<D> {
    /// Give it to the document's session.
    Pass(D, Bytes),
    /// See whether this token, or none, opens the document; then call [`Desk::open`], [`Desk::deny`] or
    /// [`Desk::wait_for_token`].
    Decide {
        /// What was said in band; `None`: the document began without.
        token: Option<Token>,
        /// See [`Said::Token`].
        tells_version: bool,
    },
    /// An open document's client has a new token.
    Renew(D, Token),
    /// Tell the client that it is not let in.
    Deny(&'static str),
    /// Nothing.
    Done,
    /// End the socket.
    Close(Close),
}

/// What one socket may have and send before it is decided who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskBounds {
    /// Documents that are open or waited for.
    pub documents: usize,
    /// Bytes of messages for documents about which nothing is decided.
    pub queue_bytes: usize,
    /// How many such messages.
    pub queue_messages: usize,
    /// From a document's first message to its token, in milliseconds.
    pub token_ms: u64,
}

impl Default for DeskBounds {
    fn default() -> Self {
        Self {
            documents: HOCUSPOCUS_DOCUMENTS_MAX,
            queue_bytes: HOCUSPOCUS_QUEUE_BYTES_MAX,
            queue_messages: HOCUSPOCUS_QUEUE_MESSAGES_MAX,
            token_ms: HOCUSPOCUS_AUTH_MS_MAX,
        }
    }
}

/// What a socket's task knows of its documents. `D` is what it holds of a document's session; letting go of it ends
/// the session.
#[derive(Debug)]
pub struct Desk<D> {
    bounds: DeskBounds,
    documents: HashMap<Bytes, Place<D>>,
    /// Names, oldest first.
    denied: VecDeque<Bytes>,
    queued_bytes: usize,
    queued_messages: usize,
    /// Since when no document is open.
    empty_since_ms: Option<u64>,
}

#[derive(Debug)]
enum Place<D> {
    Waiting(Waiting),
    Open(D),
}

#[derive(Debug, Default)]
struct Waiting {
    queue: Vec<Bytes>,
    /// When it is denied.
    due_ms: u64,
    /// What it is told then.
    reason: Option<String>,
}

const NO_TOKEN: &str = "no token came in time";

impl<D: Clone> Desk<D> {
    /// A socket that was opened at `now_ms` by a steady clock.
    #[must_use]
    pub fn new(now_ms: u64, bounds: DeskBounds) -> Self {
        Self {
            bounds,
            documents: HashMap::new(),
            denied: VecDeque::new(),
            queued_bytes: 0,
            queued_messages: 0,
            empty_since_ms: Some(now_ms),
        }
    }

    /// Takes a message about the document `name`.
    pub fn handle(&mut self, name: &Bytes, said: Said, now_ms: u64) -> Step<D> {
        let place = self.documents.get(name);
        match (said, place) {
            (Said::Body(body), Some(Place::Open(document))) => Step::Pass(document.clone(), body),
            (Said::Token { token, .. }, Some(Place::Open(document))) => Step::Renew(document.clone(), token),
            (Said::Close, _) => {
                self.forget(name, now_ms);
                Step::Done
            }
            (Said::Body(_), None) if self.denied.contains(name) => Step::Done,
            (_, None) if self.documents.len() >= self.bounds.documents => {
                if self.denied.contains(name) {
                    return Step::Done;
                }
                self.note_denied(name);
                Step::Deny("too many documents on one socket")
            }
            (Said::Token { token, tells_version }, _) => {
                self.denied.retain(|denied| denied != name);
                self.begin(name, now_ms);
                Step::Decide { token: Some(token), tells_version }
            }
            (Said::Body(body), _) => self.queue(name, body, now_ms),
        }
    }

    /// Makes a place for a document, if it has none. Under a copy of its name: the name is a view into a frame that may
    /// be large, and would keep all of it for as long as the document is open.
    fn begin(&mut self, name: &Bytes, now_ms: u64) {
        if !self.documents.contains_key(name) {
            let place = waiting_since(now_ms, self.bounds.token_ms);
            self.documents.insert(Bytes::copy_from_slice(name), place);
        }
    }

    /// Keeps a message until it is decided who says it.
    fn queue(&mut self, name: &Bytes, body: Bytes, now_ms: u64) -> Step<D> {
        self.queued_bytes += body.len();
        self.queued_messages += 1;
        if self.queued_bytes > self.bounds.queue_bytes || self.queued_messages > self.bounds.queue_messages {
            return Step::Close(Close::new(close::TOO_LARGE, "too much was sent before a token"));
        }
        self.begin(name, now_ms);
        let Some(Place::Waiting(waiting)) = self.documents.get_mut(name) else { return Step::Done };
        let is_step1 = hocuspocus::is_step1(&body);
        waiting.queue.push(body);
        // A token comes before the Step1, if it comes. If one is asked for, it may be on its way all the same.
        if is_step1 && waiting.reason.is_none() {
            Step::Decide { token: None, tells_version: false }
        } else {
            Step::Done
        }
    }

    /// The document is open: returns what was said of it so far, in order.
    pub fn open(&mut self, name: &Bytes, document: D) -> Vec<Bytes> {
        self.empty_since_ms = None;
        let before = self.documents.insert(name.clone(), Place::Open(document));
        let queue = if let Some(Place::Waiting(waiting)) = before { waiting.queue } else { Vec::new() };
        self.unqueue(&queue);
        queue
    }

    /// The document is not for this client.
    pub fn deny(&mut self, name: &Bytes, now_ms: u64) {
        self.forget(name, now_ms);
        self.note_denied(name);
    }

    /// Nobody gets in without a token, for this reason; one may be on its way.
    pub fn wait_for_token(&mut self, name: &Bytes, reason: String, now_ms: u64) {
        if let Some(Place::Waiting(waiting)) = self.documents.get_mut(name) {
            waiting.due_ms = waiting.due_ms.min(now_ms + HOCUSPOCUS_LATE_TOKEN_MS);
            waiting.reason = Some(reason);
        }
    }

    /// The document's session, if it is open.
    #[must_use]
    pub fn get(&self, name: &Bytes) -> Option<&D> {
        match self.documents.get(name) {
            Some(Place::Open(document)) => Some(document),
            _ => None,
        }
    }

    /// All that are open.
    pub fn open_documents(&self) -> impl Iterator<Item = (&Bytes, &D)> {
        self.documents.iter().filter_map(|(name, place)| match place {
            Place::Open(document) => Some((name, document)),
            Place::Waiting(_) => None,
        })
    }

    /// The client, or the document's session, is through with it.
    pub fn forget(&mut self, name: &Bytes, now_ms: u64) {
        match self.documents.remove(name) {
            Some(Place::Waiting(waiting)) => self.unqueue(&waiting.queue),
            Some(Place::Open(_)) if !self.documents.values().any(|place| matches!(place, Place::Open(_))) => {
                self.empty_since_ms = Some(now_ms);
            }
            _ => {}
        }
        self.denied.retain(|denied| denied != name);
    }

    /// When [`Desk::overdue`] or [`Desk::is_idle`] has something to say, at the earliest.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        let waiting = self.documents.values().filter_map(|place| match place {
            Place::Waiting(waiting) => Some(waiting.due_ms),
            Place::Open(_) => None,
        });
        waiting.chain(self.empty_since_ms.map(|since| since + HOCUSPOCUS_EMPTY_MS_MAX)).min()
    }

    /// A document that has waited long enough, and what to tell the client; it is to be denied.
    #[must_use]
    pub fn overdue(&self, now_ms: u64) -> Option<(Bytes, String)> {
        self.documents.iter().find_map(|(name, place)| match place {
            Place::Waiting(waiting) if waiting.due_ms <= now_ms => {
                let reason = waiting.reason.clone().unwrap_or_else(|| NO_TOKEN.to_owned());
                Some((name.clone(), reason))
            }
            _ => None,
        })
    }

    /// Whether no document is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.empty_since_ms.is_some()
    }

    /// Whether the socket has had no document for too long.
    #[must_use]
    pub fn is_idle(&self, now_ms: u64) -> bool {
        self.empty_since_ms.is_some_and(|since| since + HOCUSPOCUS_EMPTY_MS_MAX <= now_ms)
    }

    fn unqueue(&mut self, queue: &[Bytes]) {
        self.queued_bytes -= queue.iter().map(Bytes::len).sum::<usize>();
        self.queued_messages -= queue.len();
    }

    fn note_denied(&mut self, name: &Bytes) {
        if self.denied.len() >= HOCUSPOCUS_DENIED_MAX {
            self.denied.pop_front();
        }
        // Its own copy: the name is a view into a frame that may be large.
        self.denied.push_back(Bytes::copy_from_slice(name));
    }
}

fn waiting_since<D>(now_ms: u64, token_ms: u64) -> Place<D> {
    Place::Waiting(Waiting { due_ms: now_ms.saturating_add(token_ms), ..Waiting::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP1: &[u8] = &[0, 0, 1, 0];
    const EDIT: &[u8] = &[0, 2, 2, 0, 0];

    fn name(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn body(bytes: &'static [u8]) -> Said {
        Said::Body(Bytes::from_static(bytes))
    }

    fn token(text: &str) -> Said {
        Said::Token { token: text.to_owned().into(), tells_version: false }
    }

    fn decides(step: &Step<u32>) -> Option<bool> {
        match step {
            Step::Decide { token, .. } => Some(token.is_some()),
            _ => None,
        }
    }

    /// [W24] What comes before the decision waits for it, in order; what comes behind goes straight on.
    #[test]
    fn messages_wait_for_the_decision() {
        let (mut desk, room) = (Desk::new(0, DeskBounds::default()), name("a"));
        assert_eq!(desk.handle(&room, body(EDIT), 0), Step::Done);
        assert_eq!(decides(&desk.handle(&room, token("t"), 0)), Some(true));
        assert_eq!(desk.open(&room, 7), [EDIT]);
        assert_eq!(desk.handle(&room, body(STEP1), 0), Step::Pass(7, Bytes::from_static(STEP1)));
        assert!(matches!(desk.handle(&room, token("new"), 0), Step::Renew(7, _)));
        assert_eq!((desk.queued_bytes, desk.queued_messages), (0, 0));
        assert_eq!(desk.handle(&room, Said::Close, 0), Step::Done);
        assert_eq!(desk.get(&room), None);
    }

    /// [W24] A name is a view into its frame, which may be of many megabytes: none is kept for a name, however the
    /// document came to its place.
    #[test]
    fn no_frame_is_kept_for_a_name() {
        for said in [token("t"), body(STEP1), body(EDIT)] {
            let mut desk = Desk::<u32>::new(0, DeskBounds::default());
            let frame = Bytes::from(vec![b'a'; 100_000]);
            desk.handle(&frame.slice(..4), said, 0);
            desk.open(&frame.slice(..4), 7);
            assert!(desk.documents.contains_key(&frame[..4]));
            assert!(frame.is_unique(), "somebody holds the frame");
        }
    }

    /// [W24] A Step1 without a token is version 2's way; where a token is asked for, one may still come.
    #[test]
    fn a_step1_asks_by_itself() {
        let (mut desk, room) = (Desk::<u32>::new(0, DeskBounds::default()), name("a"));
        assert_eq!(decides(&desk.handle(&room, body(STEP1), 0)), Some(false));
        desk.wait_for_token(&room, "why".to_owned(), 5);
        assert_eq!(desk.handle(&room, body(STEP1), 6), Step::Done, "asked once");
        assert_eq!(desk.due_ms(), Some(5 + HOCUSPOCUS_LATE_TOKEN_MS));
        assert_eq!(desk.overdue(1_004), None);
        assert_eq!(decides(&desk.handle(&room, token("late"), 900)), Some(true));
        assert_eq!(desk.overdue(1_005), Some((room, "why".to_owned())));
    }

    /// [W25] Of three documents one is denied: the others stay, what is still said of it is dropped, and another
    /// token is looked at.
    #[test]
    fn a_denied_document_is_denied_alone() {
        let mut desk = Desk::new(0, DeskBounds::default());
        let [a, b, c] = ["a", "b", "c"].map(name);
        for (document, room) in [(1, &a), (3, &c)] {
            desk.handle(room, token("t"), 0);
            desk.open(room, document);
        }
        desk.handle(&b, token("bad"), 0);
        desk.deny(&b, 0);
        assert_eq!(desk.handle(&b, body(STEP1), 0), Step::Done);
        assert_eq!(desk.handle(&b, body(EDIT), 0), Step::Done);
        assert_eq!((desk.get(&a), desk.get(&b), desk.get(&c)), (Some(&1), None, Some(&3)));
        assert_eq!(desk.queued_messages, 0);
        assert_eq!(decides(&desk.handle(&b, token("good"), 0)), Some(true));
        desk.open(&b, 2);
        assert_eq!(desk.get(&b), Some(&2));
    }

    /// [W26] Documents, messages, bytes and time before a decision are bounded.
    #[test]
    fn what_waits_is_bounded() {
        let room = name("a");
        let mut many = Desk::<u32>::new(0, DeskBounds::default());
        let closed = (0..).find(|_| matches!(many.handle(&room, body(EDIT), 0), Step::Close(_)));
        assert_eq!(closed, Some(HOCUSPOCUS_QUEUE_MESSAGES_MAX));

        let mut large = Desk::<u32>::new(0, DeskBounds::default());
        let said = || Said::Body(vec![1; 1 << 20].into());
        let closed = (0..).find(|_| matches!(large.handle(&room, said(), 0), Step::Close(_)));
        assert_eq!(closed, Some(HOCUSPOCUS_QUEUE_BYTES_MAX >> 20));

        let mut wide = Desk::<u32>::new(0, DeskBounds::default());
        let numbered = |number: usize| Bytes::from(number.to_string());
        for number in 0..HOCUSPOCUS_DOCUMENTS_MAX {
            assert_eq!(wide.handle(&numbered(number), body(EDIT), 0), Step::Done);
        }
        for number in HOCUSPOCUS_DOCUMENTS_MAX..10 * HOCUSPOCUS_DOCUMENTS_MAX {
            assert!(matches!(wide.handle(&numbered(number), body(EDIT), 0), Step::Deny(_)));
        }
        assert_eq!(wide.documents.len(), HOCUSPOCUS_DOCUMENTS_MAX);
        assert_eq!(wide.denied.len(), HOCUSPOCUS_DENIED_MAX);

        assert_eq!(wide.overdue(HOCUSPOCUS_AUTH_MS_MAX - 1), None);
        while let Some((name, reason)) = wide.overdue(HOCUSPOCUS_AUTH_MS_MAX) {
            assert_eq!(reason, NO_TOKEN);
            wide.deny(&name, HOCUSPOCUS_AUTH_MS_MAX);
        }
        assert_eq!((wide.documents.len(), wide.queued_bytes), (0, 0));
        assert!(!wide.is_idle(HOCUSPOCUS_EMPTY_MS_MAX - 1));
        assert!(wide.is_idle(HOCUSPOCUS_EMPTY_MS_MAX), "whatever it has said");
    }

    /// [W26] A socket counts as empty from the moment on when its last document has gone.
    #[test]
    fn a_socket_without_documents_is_noticed() {
        let (mut desk, a, b) = (Desk::new(0, DeskBounds::default()), name("a"), name("b"));
        for room in [&a, &b] {
            desk.handle(room, token("t"), 0);
            desk.open(room, 1);
        }
        assert_eq!(desk.due_ms(), None);
        desk.forget(&a, 10);
        assert!(!desk.is_idle(u64::MAX / 2));
        desk.forget(&b, 20);
        assert_eq!(desk.due_ms(), Some(20 + HOCUSPOCUS_EMPTY_MS_MAX));
    }
}
