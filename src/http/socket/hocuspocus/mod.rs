//! A Hocuspocus socket: one task that reads it, knows its documents, and gives each what is said of it. Each open document
//! is a session with a task of its own.
//!
//! Invariants:
//! - No room is touched before it is decided who asks for it.
//! - A document that is refused ends alone. What ends for a while ends with the socket: providers come back with a new
//!   socket by themselves, and not with a document.
//! - A document that does not keep up keeps the socket from being read. What is bounded is bounded by that.

mod channel;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use self::channel::{DocumentChannel, Ended, How};
use super::ear::Ear;
use super::end::{End, Open, count_close};
use super::enter::session;
use super::io::{Socket, Unreadable};
use super::shared::{Mouth, share};
use crate::auth::{Renewal, Standing};
use crate::caller::Caller;
use crate::clock::wall_ms;
use crate::http::App;
use crate::ids::RoomName;
use crate::limits::{
    BEAT_MS, HALF_OPEN_BEATS, HOCUSPOCUS_ASK_TOKEN_MS, HOCUSPOCUS_INBOX_MAX, HOCUSPOCUS_INBOX_UNIT_BYTES,
    HOCUSPOCUS_INBOX_UNITS, PING_BEATS,
};
use crate::session::desk::{Desk, Step};
use crate::throttle::{Address, Forgiven};
use crate::wire::WireError;
use crate::wire::close::{self, Close};
use crate::wire::hocuspocus::{self, Frame, Said, Token};
use crate::wire::voice::{Named, Voice};
use crate::wire::websocket::{self, Incoming};

/// One message for a document, and its share of what may wait.
type Letter = (Bytes, Option<OwnedSemaphorePermit>);

/// What a socket's task holds of a document's session. The session ends when it is dropped.
#[derive(Debug, Clone)]
struct Document {
    /// Tells sessions apart that follow each other under one name.
    number: u64,
    inbox: Sender<Letter>,
    caller: Arc<Caller>,
    renewal: Renewal,
    tells_version: bool,
    /// Its first Step2 has come.
    answered: Arc<AtomicBool>,
}

/// Serves one socket to its end. `token` is that of its address: providers of version 2 may have no other.
pub(in crate::http) async fn serve(
    app: Arc<App>,
    upgraded: Upgraded,
    token: Option<Token>,
    address: Option<Address>,
) {
    let _open = Open::new(Arc::clone(&app));
    let (mut ear, mouth) = share(Socket::new(upgraded, Arc::clone(&app.throttle)));
    // Until a document is open, nothing larger could be kept than may wait for that.
    ear.take_up_to(app.throttle.limits().desk.queue_bytes);
    let (ended, endings) = unbounded_channel();
    let started = Instant::now();
    let mut hub = Hub {
        desk: Desk::new(0, app.throttle.limits().desk),
        app,
        token,
        ear,
        mouth: Arc::clone(&mouth),
        address,
        space: Arc::new(Semaphore::new(HOCUSPOCUS_INBOX_UNITS as usize)),
        documents: 0,
        ended,
        endings,
        started,
        beat_due: started + Duration::from_millis(BEAT_MS),
        deaf_beats: 0,
    };
    let end = tokio::select! {
        end = hub.run() => end,
        gone = mouth.keep_finishing() => gone.into(),
    };
    // The sessions go now: the close below waits for the client.
    let Hub { app, ear, desk, .. } = hub;
    drop(desk);
    if let End::Close(close) = end {
        count_close(&app, &close);
        mouth.close(ear, close).await;
    }
}

struct Hub {
    app: Arc<App>,
    token: Option<Token>,
    address: Option<Address>,
    ear: Ear,
    mouth: Arc<Mouth>,
    desk: Desk<Document>,
    /// Bounds what documents have not dealt with.
    space: Arc<Semaphore>,
    /// Sessions so far.
    documents: u64,
    ended: UnboundedSender<Ended>,
    endings: UnboundedReceiver<Ended>,
    started: Instant,
    beat_due: Instant,
    /// Beats since anything was read.
    deaf_beats: u32,
}

impl Hub {
    async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    /// Deals with all that was read, then waits for one thing. Something may have been read before the first turn: it came
    /// with the request.
    async fn turn(&mut self) -> Result<(), End> {
        while let Some(incoming) = self.ear.next_read() {
            self.on_incoming(incoming).await?;
        }
        let due = self.desk.due_ms().map(|ms| self.started + Duration::from_millis(ms));
        let due = due.map_or(self.beat_due, |due| due.min(self.beat_due));
        tokio::select! {
            biased;
            Some(ended) = self.endings.recv() => return self.on_ended(ended).await,
            () = sleep_until(due) => return self.on_due().await,
            () = until_stopped(&self.app, self.desk.is_empty()) => {
                return Err(Close::new(close::RESTART, "the server restarts").into());
            }
            more = self.ear.more() => more?,
        }
        self.deaf_beats = 0;
        Ok(())
    }

    async fn on_incoming(&mut self, incoming: Result<Incoming, Unreadable>) -> Result<(), End> {
        match incoming? {
            Incoming::Binary(bytes) => self.on_message(&bytes).await,
            Incoming::Text => Err(Close::new(close::MALFORMED, WireError::Text.to_string()).into()),
            Incoming::Ping(bytes) => Ok(self.mouth.write(&[websocket::pong(&bytes)]).await?),
            Incoming::Pong => Ok(()),
            Incoming::Close(code) => {
                self.mouth.write(&[websocket::close_reply(code)]).await?;
                Err(End::Gone)
            }
        }
    }

    async fn on_message(&mut self, bytes: &Bytes) -> Result<(), End> {
        let malformed = |error: WireError| Close::new(close::MALFORMED, error.to_string());
        match hocuspocus::decode(bytes).map_err(malformed)? {
            Frame::Ping => Ok(self.mouth.write(&[websocket::frame(hocuspocus::PONG_FRAME)]).await?),
            Frame::Pong => Ok(()),
            Frame::About { name, said } => self.on_said(&name, said).await,
        }
    }

    async fn on_said(&mut self, name: &Bytes, said: Said) -> Result<(), End> {
        // Who was just denied may try again at once.
        while let Ok(ended) = self.endings.try_recv() {
            self.on_ended(ended).await?;
        }
        match self.desk.handle(name, said, self.now_ms()) {
            Step::Pass(document, body) => {
                self.forgive(&document, &body);
                self.pass(document.inbox, body).await
            }
            Step::Decide { token, tells_version } => self.decide(name, token, tells_version).await,
            Step::Renew(document, token) => self.renew(name, &document, &token).await,
            Step::Deny(reason) => self.say(name, &hocuspocus::denied(reason)).await,
            Step::Done => Ok(()),
            Step::Close(close) => Err(close.into()),
        }
    }

    /// The first Step2 of a document is asked for, and no flood: of as many documents as a socket may have open.
    fn forgive(&mut self, document: &Document, body: &Bytes) {
        let is_counted = document.number > self.app.throttle.limits().desk.documents as u64;
        if !is_counted && hocuspocus::is_step2(body) && !document.answered.swap(true, Ordering::Relaxed) {
            self.ear.forgive(Forgiven::All);
        }
    }

    /// Gives a message to a document's session, and waits while it has too many.
    async fn pass(&mut self, inbox: Sender<Letter>, body: Bytes) -> Result<(), End> {
        let units = u32::try_from(body.len().div_ceil(HOCUSPOCUS_INBOX_UNIT_BYTES)).unwrap_or(u32::MAX);
        let space = Arc::clone(&self.space).acquire_many_owned(units.clamp(1, HOCUSPOCUS_INBOX_UNITS));
        let mut sent = std::pin::pin!(async {
            // Nobody closes the semaphore; a session that has ended is heard of by its ending.
            let space = space.await.ok();
            let _ = inbox.send((body, space)).await;
        });
        loop {
            tokio::select! {
                biased;
                () = &mut sent => return Ok(()),
                Some(ended) = self.endings.recv() => self.on_ended(ended).await?,
            }
        }
    }

    /// Sees whether a document is for this client, and opens it then.
    async fn decide(&mut self, name: &Bytes, token: Option<Token>, tells_version: bool) -> Result<(), End> {
        let in_band = token.is_some();
        // A provider without a token of its own may have one in the address.
        let token = token.filter(|token| token.as_str().is_some()).or_else(|| self.token.clone());
        match self.admit(name, token.as_ref()) {
            Ok(standing) => {
                if in_band {
                    let may_write = standing.caller().role.may_write();
                    self.say(name, &hocuspocus::authenticated(may_write)).await?;
                }
                self.open(name, standing, tells_version);
                Ok(())
            }
            Err(Refused::Token(reason)) if !in_band => {
                self.desk.wait_for_token(name, reason, self.now_ms());
                Ok(())
            }
            Err(Refused::Token(reason) | Refused::Name(reason)) => self.deny(name, &reason).await,
        }
    }

    fn open(&mut self, name: &Bytes, mut standing: Standing, tells_version: bool) {
        self.documents += 1;
        let number = self.documents;
        // A copy: the name is a view into a frame that may be large.
        let own_name = Bytes::copy_from_slice(name);
        let named = Arc::new(Named::new(name).telling_version(tells_version));
        let (inbox, letters) = channel(HOCUSPOCUS_INBOX_MAX);
        let (caller, renewal) = (Arc::clone(standing.caller()), standing.renewal());
        let document = Document { number, inbox, caller, renewal, tells_version, answered: Arc::default() };
        let queue = self.desk.open(&own_name, document);
        self.ear.take_up_to(usize::MAX);
        let channel = DocumentChannel::new(
            (own_name, number),
            Arc::clone(&named),
            (queue, letters),
            Arc::clone(&self.mouth),
            self.ended.clone(),
        );
        let app = Arc::clone(&self.app);
        tokio::spawn(session(app, channel, Voice::Hocuspocus(named), standing, self.address));
    }

    /// The client of an open document has a new token.
    async fn renew(&mut self, name: &Bytes, document: &Document, token: &Token) -> Result<(), End> {
        match self.admit(name, Some(token)) {
            Ok(standing) if document.renewal.renew(standing.caller()) => {
                self.say(name, &hocuspocus::authenticated(document.caller.role.may_write())).await
            }
            Ok(_) => self.deny(name, "this token is for somebody else, or for another role").await,
            Err(Refused::Token(reason) | Refused::Name(reason)) => self.deny(name, &reason).await,
        }
    }

    /// Tells the client that a document is not for it, and lets go of the document.
    async fn deny(&mut self, name: &Bytes, reason: &str) -> Result<(), End> {
        let tells_version = self.desk.get(name).is_some_and(|document| document.tells_version);
        self.desk.deny(name, self.now_ms());
        self.say(name, &hocuspocus::denied(reason)).await?;
        if tells_version {
            self.say(name, &hocuspocus::closed(reason)).await?;
        }
        Ok(())
    }

    /// Who asks for the document `name`, and for which room.
    fn admit(&self, name: &Bytes, token: Option<&Token>) -> Result<Standing, Refused> {
        let room = std::str::from_utf8(hocuspocus::room_part(name)).unwrap_or_default();
        let room = RoomName::parse(room).map_err(|error| Refused::Name(error.to_string()))?;
        let standing = self.app.stand(token.and_then(Token::as_str), &room);
        standing.map_err(|error| Refused::Token(error.to_string()))
    }

    /// A document's session has ended.
    async fn on_ended(&mut self, ended: Ended) -> Result<(), End> {
        let Ended { name, number, how } = ended;
        if self.desk.get(&name).is_none_or(|document| document.number != number) {
            return Ok(()); // somebody else has the name now
        }
        match how {
            How::Left => self.desk.forget(&name, self.now_ms()),
            How::Denied => self.desk.deny(&name, self.now_ms()),
            How::WithSocket(close) => return Err(close.into()),
        }
        Ok(())
    }

    async fn on_due(&mut self) -> Result<(), End> {
        let now_ms = self.now_ms();
        while let Some((name, reason)) = self.desk.overdue(now_ms) {
            self.deny(&name, &reason).await?;
        }
        if self.desk.is_idle(now_ms) {
            return Err(Close::new(close::BUSY, "no document is open on this socket").into());
        }
        if self.beat_due <= Instant::now() {
            self.beat_due = Instant::now() + Duration::from_millis(BEAT_MS);
            // Who is not read cannot be heard.
            self.deaf_beats = if self.ear.is_held_back() { 0 } else { self.deaf_beats + 1 };
            if self.deaf_beats >= HALF_OPEN_BEATS {
                self.app.metrics.sockets_half_open.inc();
                return Err(End::Gone);
            }
            if self.deaf_beats >= PING_BEATS {
                self.mouth.write(&[Bytes::from_static(websocket::PING)]).await?;
            }
            self.ask_tokens().await?;
        }
        Ok(())
    }

    /// Asks for tokens in place of those that expire soon.
    async fn ask_tokens(&mut self) -> Result<(), End> {
        let soon_ms = wall_ms() + HOCUSPOCUS_ASK_TOKEN_MS;
        let is_due =
            |document: &Document| document.renewal.expires_ms().is_some_and(|at_ms| at_ms <= soon_ms);
        let due = self.desk.open_documents().filter(|(_, document)| is_due(document));
        let names: Vec<Bytes> = due.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.say(&name, &hocuspocus::ask_token()).await?;
        }
        Ok(())
    }

    /// Says something of a document.
    async fn say(&mut self, name: &[u8], message: &[u8]) -> Result<(), End> {
        let frame = Voice::Hocuspocus(Arc::new(Named::new(name))).frame(message);
        Ok(self.mouth.write(&[frame]).await?)
    }

    /// Milliseconds since the socket was opened.
    fn now_ms(&self) -> u64 {
        crate::clock::in_ms(self.started.elapsed())
    }
}

/// Ends when the server stops, for a socket without documents. Others are told by these, which finish first.
async fn until_stopped(app: &App, is_empty: bool) {
    if !is_empty {
        std::future::pending::<()>().await;
    }
    app.rooms.stop.cancelled().await;
}

/// Why a document is not opened.
enum Refused {
    /// No room has such a name, whoever asks.
    Name(String),
    /// Not by this token, or by none.
    Token(String),
}
