//! One socket: the shell around a [`Session`]. It waits for the client, for the room and for the
//! write; it never decides.
//!
//! Invariants:
//! - One thing at a time: while a write is stuck, nothing is read. A client that floods us waits
//!   for itself.
//! - Large answers are made and written under a [`Share`].

mod channel;
mod ear;
mod echo;
mod end;
mod enter;
mod hocuspocus;
mod io;
mod quiet;
mod share;
mod shared;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use self::channel::Channel;
pub(super) use self::echo::echo;
use self::end::{End, refuse};
use self::enter::boxed;
pub(super) use self::enter::{serve, turn_away};
pub(super) use self::hocuspocus::serve as serve_many;
use self::io::{Gone, Unreadable};
use self::share::Share;
use self::waits::{until, until_greeted, until_over};
use super::App;
use crate::auth::{Ended, Standing};
use crate::gate::Source;
use crate::ids::Position;
use crate::limits::{
    BEAT_MS, GREETING_MS_MAX, LATE_ANSWER_MS, READS_PER_TURN_MAX, RING_BYTES_MAX, UPDATE_BYTES_MAX,
};
use crate::room::{Member, News, refusal_close};
use crate::session::{Intent, Permit, Session};
use crate::throttle::Forgiven;
use crate::wire::close::{self, Close};
use crate::wire::websocket::Incoming;
use crate::wire::y_websocket::MESSAGES_PER_FRAME_MAX;
use crate::wire::{Message, WireError, hocuspocus as hocuspocus_wire, websocket, y_websocket};

/// Turns of writing after which a socket is read although there is more to write. Asking whether
/// something has come costs less than a write.
const BUSY_TURNS_MAX: u32 = 8;

/// Bytes of one socket that are dealt with before its writes get their turn, give or take a frame:
/// a fraction of what the ring holds.
const READ_BYTES_PER_TURN_MAX: usize = RING_BYTES_MAX / 4;

struct Shell<C> {
    app: Arc<App>,
    channel: C,
    member: Member,
    session: Session,
    /// Whether the token still counts.
    standing: Standing,
    greeting_due: Instant,
    greeted: bool,
    /// A Step2 that was asked for has come.
    answered: bool,
    /// Nothing was written since the last beat.
    quiet: bool,
    /// Beats since anything was read.
    deaf_beats: u32,
    /// What is acked and was not said yet: nothing is said before the client's first sync.
    ack: Option<(u64, Position)>,
    /// When a client that waits for an answer has to hear something.
    late_due: Option<Instant>,
    /// Turns with something to write since there was a moment to read.
    busy_turns: u32,
    out: Vec<Bytes>,
}

impl<C: Channel> Shell<C> {
    fn new(app: Arc<App>, channel: C, member: Member, standing: Standing) -> Self {
        let greeting_due = Instant::now() + Duration::from_millis(GREETING_MS_MAX);
        Self {
            app,
            channel,
            session: Session::new(member.voice().clone(), member.caller().role),
            member,
            standing,
            greeting_due,
            greeted: false,
            answered: false,
            quiet: false,
            deaf_beats: 0,
            ack: None,
            late_due: None,
            busy_turns: 0,
            out: Vec::new(),
        }
    }

    /// Boxed: a future keeps what it is given twice, once as it came.
    async fn run(mut self: Box<Self>) {
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        // Presence and the ring go on without us while the close is on its way.
        let Self { app, channel, member, .. } = *self;
        drop(member);
        if let End::Close(close) = end {
            boxed(async move { refuse(&app, channel, close).await }).await;
        }
    }

    /// Writes what there is, then waits for one thing and deals with it.
    async fn turn(&mut self) -> Result<(), End> {
        if self.write_news().await? {
            return self.after_news().await;
        }
        if let Some(first) = self.channel.next_read() {
            return Box::pin(self.on_frames(first)).await;
        }
        if !self.member.park() {
            return Ok(());
        }
        self.busy_turns = 0;
        // While parked, the room writes to this socket: nothing here may, and reading does not.
        let more = tokio::select! {
            biased;
            () = self.member.woken() => return Ok(()),
            more = self.channel.more() => more,
            () = until(self.late_due) => return Ok(()),
            ended = until_over(&mut self.standing) => return Err(ended.close().into()),
            () = until_greeted(self.greeted, self.greeting_due) => {
                let why = "no sync step 1 came; a Yjs provider sends one at once";
                return Err(Close::new(close::BUSY, why).into());
            }
        };
        // Bytes are a sign of life, also those of a frame that takes a minute to arrive.
        self.deaf_beats = 0;
        let rest = self.member.unpark();
        self.finish(rest).await?;
        more?;
        match self.channel.next_read() {
            Some(first) => Box::pin(self.on_frames(first)).await,
            None => Ok(()),
        }
    }

    /// A client that is slower than its room always has news. It is heard all the same, now and
    /// then: its edits must not wait until the room falls silent. So are the other tasks of this
    /// thread: writes that are taken at once do not wait by themselves.
    async fn after_news(&mut self) -> Result<(), End> {
        self.busy_turns += 1;
        if self.busy_turns < BUSY_TURNS_MAX {
            return Ok(());
        }
        self.busy_turns = 0;
        tokio::task::coop::consume_budget().await;
        match self.channel.next_now() {
            Some(first) => Box::pin(self.on_frames(first)).await,
            None => Ok(()),
        }
    }

    /// Writes what the room has for us. Returns whether there was anything.
    async fn write_news(&mut self) -> Result<bool, End> {
        self.standing.check().map_err(Ended::close)?;
        let News { rest, fell_off, frames, post, beat, written } = self.member.news();
        self.finish(rest).await?;
        if let Some(said) = self.session.on_refused(post.refused) {
            self.say(&said);
        }
        for (ordinal, reason) in post.broken {
            if let Some(said) = self.session.on_broken(ordinal, reason.code(), &reason.to_string()) {
                self.say(&said);
            }
        }
        if post.left_out {
            self.session.on_left_out();
        }
        if post.gap && self.session.ask_again() {
            let state_vector = Box::pin(self.member.state_vector()).await?;
            self.say(&y_websocket::sync_step1(&state_vector));
        }
        if fell_off {
            Box::pin(self.catch_up()).await?;
        }
        self.out.extend(frames);
        self.ack = post.ack.or(self.ack);
        if let Some((decided, position)) = self.ack.take_if(|_| self.greeted) {
            self.answer(|session| session.on_decided(decided, position));
        }
        post.expires_in_ms.iter().for_each(|in_ms| self.say(&y_websocket::expiry(*in_ms)));
        post.stateless.iter().for_each(|payload| self.say(&hocuspocus_wire::stateless(payload)));
        self.keep_waiting();
        if beat {
            self.quiet &= !written;
            self.on_beat().await?;
        }
        let anything = !self.out.is_empty() || beat;
        self.flush().await?;
        // Last, so that what was stored is shown and acked before the goodbye.
        match post.close {
            Some(close) => Err(close.into()),
            None => Ok(anything),
        }
    }

    /// Brings a client that fell off the ring up to date.
    async fn catch_up(&mut self) -> Result<(), End> {
        let share = Share::of(self.member.document_bytes()).await?;
        self.out.push(self.member.catch_up().await?);
        Ok(share.hold(self.flush()).await?)
    }

    /// Puts a message for this client alone behind what waits to be written.
    fn say(&mut self, message: &[u8]) {
        self.out.push(self.member.voice().frame(message));
    }

    /// Says what the session knows of the client's edits.
    fn answer(&mut self, says: impl FnOnce(&mut Session) -> Vec<Bytes>) {
        says(&mut self.session).iter().for_each(|said| self.say(said));
    }

    /// Finishes a frame that the room has begun to write.
    async fn finish(&mut self, rest: Bytes) -> Result<(), Gone> {
        if rest.is_empty() { Ok(()) } else { self.channel.write(&[rest]).await }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.quiet = false;
        self.late_due = None;
        let out = std::mem::take(&mut self.out);
        self.channel.write(&out).await
    }

    /// Deals with a frame, and with those that have come already behind it. The room goes on
    /// meanwhile: whoever read too much at once would fall off the ring by its own edits.
    async fn on_frames(&mut self, first: Result<Incoming, Unreadable>) -> Result<(), End> {
        let mut bytes = self.on_frame(first).await?;
        for _ in 1..READS_PER_TURN_MAX {
            if bytes > READ_BYTES_PER_TURN_MAX {
                break;
            }
            let Some(next) = self.channel.next_now() else { break };
            bytes += self.on_frame(next).await?;
        }
        Ok(())
    }

    /// Deals with one frame; tells how long it was.
    async fn on_frame(&mut self, incoming: Result<Incoming, Unreadable>) -> Result<usize, End> {
        self.deaf_beats = 0;
        // Who is not let in any more is not heard any more, whatever has come already.
        self.standing.check().map_err(Ended::close)?;
        match incoming? {
            Incoming::Binary(bytes) => {
                let len = bytes.len();
                self.on_messages(bytes).await?;
                Ok(len)
            }
            Incoming::Text => self.carry_out(Session::malformed(WireError::Text)).await.map(|()| 0),
            Incoming::Ping(bytes) => {
                self.out.push(websocket::pong(&bytes));
                self.flush().await?;
                Ok(bytes.len())
            }
            Incoming::Pong => Ok(0),
            Incoming::Close(code) => {
                self.out.push(websocket::close_reply(code));
                self.flush().await?;
                Err(End::Gone)
            }
        }
    }

    async fn on_messages(&mut self, mut frame: Bytes) -> Result<(), End> {
        for _ in 0..MESSAGES_PER_FRAME_MAX {
            let intent = match self.member.voice().decode(&frame) {
                Ok((Message::Unknown(_), used)) if used > UPDATE_BYTES_MAX => Intent::Close(Close::new(
                    close::TOO_LARGE,
                    "a message of a type that is not known here may not be large",
                )),
                Ok((message, used)) => {
                    frame = frame.slice(used..);
                    self.forgive(&message);
                    self.session.handle(message)
                }
                Err(error) => Session::malformed(error),
            };
            self.carry_out(intent).await?;
            if frame.is_empty() {
                return Ok(());
            }
        }
        self.carry_out(Session::malformed(WireError::TooManyMessages)).await
    }

    /// What was asked for is no flood: the first time it is for nothing, later nobody is closed for it.
    fn forgive(&mut self, message: &Message) {
        if matches!(message, Message::SyncStep2(_)) && self.session.awaits_step2() {
            let again = std::mem::replace(&mut self.answered, true);
            self.channel.forgive(if again { Forgiven::Wait } else { Forgiven::All });
        }
    }

    async fn carry_out(&mut self, intent: Intent) -> Result<(), End> {
        match intent {
            Intent::Sync { state_vector, first, ask } => self.sync(state_vector, first, ask).await,
            Intent::Relay(payload) => self.relay(payload).await,
            Intent::Submit { update, source, permit } => self.submit(update, source, permit).await,
            Intent::Answer => {
                self.answer(Session::answers);
                Ok(self.flush().await?)
            }
            Intent::Announce(update) => Ok(self.member.announce(&update).map_err(refusal_close)?),
            Intent::SharePresence => {
                self.out.extend(self.member.everyone());
                Ok(self.flush().await?)
            }
            Intent::Ignore => {
                self.app.metrics.messages_unknown.inc();
                Ok(())
            }
            Intent::Close(close) => Err(close.into()),
        }
    }

    /// Gives an update to the room. While too much waits for the log nothing is read here, but a
    /// client that heard nothing would give up just when it should wait.
    async fn submit(&mut self, update: Bytes, source: Source, permit: Permit) -> Result<(), End> {
        let silence_ms = if self.session.owes_answer() { LATE_ANSWER_MS } else { BEAT_MS };
        let Self { member, channel, .. } = self;
        let submitted = member.submit(update, source, permit, self.session.submitted());
        let keepalive = self.greeted.then(|| member.voice().frame(y_websocket::KEEPALIVE));
        patiently(submitted, channel, keepalive, silence_ms).await
    }

    /// The same for what is no part of the document.
    async fn relay(&mut self, payload: Bytes) -> Result<(), End> {
        let Self { member, channel, .. } = self;
        let keepalive = self.greeted.then(|| member.voice().frame(y_websocket::KEEPALIVE));
        patiently(member.relay(payload), channel, keepalive, BEAT_MS).await
    }

    /// Step2, our Step1 if it is wanted, and at the first sync who is here. In a draft our Step1 comes first: a client that hears of
    /// the removal of a card throws away what was changed in it, before it answers.
    async fn sync(&mut self, state_vector: Bytes, first: bool, ask: bool) -> Result<(), End> {
        let share = Share::of(self.member.document_bytes()).await?;
        let step2 = self.member.sync(state_vector, first).await?;
        let step1 = if ask { Some(self.member.state_vector().await?) } else { None };
        let asks_first = self.member.is_in_draft();
        if let Some(step1) = step1.as_ref().filter(|_| asks_first) {
            self.say(&y_websocket::sync_step1(step1));
        }
        self.out.push(step2);
        if let Some(step1) = step1.filter(|_| !asks_first) {
            self.say(&y_websocket::sync_step1(&step1));
        }
        if first {
            self.greeted = true;
            self.out.extend(self.member.everyone());
        }
        Ok(share.hold(self.flush()).await?)
    }
}

/// Waits for the room to take something, and writes a keepalive whenever that takes so long.
async fn patiently<C: Channel>(
    taken: impl Future<Output = Result<(), Close>>,
    channel: &mut C,
    keepalive: Option<Bytes>,
    silence_ms: u64,
) -> Result<(), End> {
    let mut taken = std::pin::pin!(taken);
    loop {
        match timeout(Duration::from_millis(silence_ms), &mut taken).await {
            Ok(taken) => return Ok(taken?),
            Err(_) => channel.write(keepalive.as_slice()).await?,
        }
    }
}
