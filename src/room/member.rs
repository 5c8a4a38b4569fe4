//! A session in a room, as the socket holds it: what it asks of the room, and what there is for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::presence::Announcer;
use super::ring::PresenceChange;
use super::seat::{Post, Seat};
use super::{Command, Shared, room_ended, state};
use crate::board::drafts::Draft;
use crate::caller::Caller;
use crate::clock::wall_ms;
use crate::gate::{self, Refusal, Source};
use crate::session::Permit;
use crate::throttle::SessionPass;
use crate::wire::close::Close;
use crate::wire::voice::Voice;

/// One session in one room, as the socket holds it. Dropping it leaves the room.
pub struct Member {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    /// Its place among the sessions of its user, its room and the instance.
    pass: Option<SessionPass>,
    announcer: Announcer,
}

/// What there is to write to a session's socket, in this order.
#[derive(Debug, Default)]
pub struct News {
    /// The rest of a frame whose beginning the room has written already.
    pub rest: Bytes,
    /// Frames were missed: call [`Member::catch_up`] before writing the others.
    pub fell_off: bool,
    /// Whole frames, oldest first.
    pub frames: Vec<Bytes>,
    /// What is for this session alone.
    pub post: Post,
    /// A beat has passed: write a keepalive if nothing was written since the one before.
    pub beat: bool,
    /// With a beat: the room has written since the one before.
    pub written: bool,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
        shared.sessions.fetch_add(1, Ordering::Relaxed);
        let announcer = Announcer::new(seat.session, &seat.caller);
        Self { shared, seat, pass: None, announcer }
    }

    pub(super) fn with_pass(mut self, pass: SessionPass) -> Self {
        self.pass = Some(pass);
        self
    }

    /// The Step2 for a client that has `state_vector`, as a whole frame. The first one starts the
    /// relay.
    ///
    /// # Errors
    /// A close for the session: the state vector is refused, or the room has ended, or this is
    /// another life of it.
    pub async fn sync(&mut self, state_vector: Bytes, first: bool) -> Result<Bytes, Close> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Sync { session: self.seat.session, state_vector, reply })?;
        let synced = answer.await.map_err(|_| self.ended())?.map_err(|close| self.seat.reason(close))?;
        if first {
            self.seat.set_cursor(synced.cursor);
        }
        Ok(self.seat.voice.reframe(synced.frame))
    }

    /// One frame with an update instead of all the frames that this session has missed.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn catch_up(&mut self) -> Result<Bytes, Close> {
        let covers = self.seat.covers();
        let (reply, answer) = oneshot::channel();
        self.send(Command::CatchUp { session: self.seat.session, covers, reply })?;
        let synced = answer.await.map_err(|_| self.ended())?.map_err(|close| self.seat.reason(close))?;
        self.seat.resume(synced.cursor);
        Ok(self.seat.voice.reframe(synced.frame))
    }

    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.seat.caller
    }

    /// How its client is spoken to.
    #[must_use]
    pub fn voice(&self) -> &Voice {
        &self.seat.voice
    }

    /// About how many bytes a Step2 with everything has.
    #[must_use]
    pub fn document_bytes(&self) -> usize {
        self.shared.encoded_bytes.load(Ordering::Relaxed)
    }

    /// Whether this is a draft room.
    #[must_use]
    pub fn is_in_draft(&self) -> bool {
        Draft::of(&self.shared.name).is_some()
    }

    /// The committed state vector: the body of our SyncStep1.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn state_vector(&self) -> Result<Bytes, Close> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::StateVector { reply })?;
        answer.await.map_err(|_| self.ended())?
    }

    /// Sees to it that the room is stored, though nobody has written to it. Returns when it is.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn begin(&self) -> Result<(), Close> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Begin { caller: Arc::clone(&self.seat.caller), reply })?;
        answer.await.map_err(|_| self.ended())
    }

    /// Gives an update to the room. Waits while too much is on its way into the log, so that the
    /// socket is not read. What becomes of it comes with the [`News`].
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn submit(
        &self,
        update: Bytes,
        source: Source,
        permit: Permit,
        ordinal: u64,
    ) -> Result<(), Close> {
        let cost = self.shared.inflow.enter(update.len()).await.map_err(|_| self.ended())?;
        self.send(Command::Submit(state::Submission {
            session: self.seat.session,
            ordinal,
            caller: Arc::clone(&self.seat.caller),
            update,
            source,
            permit,
            at: None,
            cost,
            admitted_ms: wall_ms(),
        }))
    }

    /// Gives the others whose clients take such a message that is not part of the document: UTF-8. Waits as
    /// [`Member::submit`] does.
    ///
    /// # Errors
    /// As [`Member::sync`].
    pub async fn relay(&self, payload: Bytes) -> Result<(), Close> {
        let cost = self.shared.inflow.enter(payload.len()).await.map_err(|_| self.ended())?;
        self.send(Command::Relay { session: self.seat.session, payload, cost })
    }

    /// Announces presence states. What other users show is not this session's to say, and dropped.
    ///
    /// # Errors
    /// [`Refusal`] if the bytes are no awareness update, or a state is no JSON.
    pub fn announce(&self, update: &[u8]) -> Result<(), Refusal> {
        let entries = gate::parse_presence(update)?;
        let max = self.pass.as_ref().map_or(usize::MAX, SessionPass::presence_bytes);
        if entries.iter().any(|entry| entry.state.is_some_and(|state| state.len() > max)) {
            return Err(Refusal::PresenceTooLarge);
        }
        let now_ms = self.shared.steady_ms();
        let (owners, user) = (&self.shared.owners, self.seat.caller.user.as_ref());
        // Not while presence is locked: whoever judges updates asks the one, then the other.
        let taken = owners.taken(user, entries.iter().map(|entry| entry.client));
        let mut presence = self.shared.presence.lock();
        let announced =
            presence.announce(&self.announcer, |client| taken.contains(&client), &entries, now_ms)?;
        drop(presence);
        if announced.news {
            self.shared.presence_changed.notify_one();
        }
        Ok(())
    }

    /// One frame with everyone who is here, if anyone is.
    #[must_use]
    pub fn everyone(&self) -> Option<Bytes> {
        self.shared.presence.lock().everyone().map(|frame| self.seat.voice.reframe(frame))
    }

    /// Takes what is new. From now on only the session writes to its socket.
    pub fn news(&mut self) -> News {
        let mut waiting = self.seat.take(&self.shared.ring);
        let presence = waiting.presence();
        let mut news = News {
            rest: waiting.rest,
            fell_off: waiting.taken.fell_off,
            frames: waiting.taken.frames.iter().map(|frame| frame.for_voice(&self.seat.voice)).collect(),
            post: waiting.post,
            beat: waiting.taken.beat,
            written: waiting.written,
        };
        news.post.close = news.post.close.or(waiting.taken.closed);
        news.frames.extend(presence.and_then(|change| match change {
            PresenceChange::Tick(frame) => Some(frame.for_voice(&self.seat.voice)),
            PresenceChange::Since(tick) => {
                let since = self.shared.presence.lock().since(tick);
                since.map(|frame| self.seat.voice.reframe(frame))
            }
        }));
        news
    }

    /// Says that the session has nothing to do: from now on the room may write to the socket.
    /// Returns false if something has come meanwhile.
    pub fn park(&mut self) -> bool {
        self.seat.park(&self.shared.ring)
    }

    /// Says that the session is about to read or write. Returns the rest of a frame that the room
    /// has begun to write; it must be finished first.
    #[must_use = "the rest of a frame must be written"]
    pub fn unpark(&mut self) -> Bytes {
        self.seat.unpark()
    }

    /// Resolves when there may be news. Cancel-safe.
    pub async fn woken(&self) {
        self.seat.woken().await;
    }

    fn send(&self, command: Command) -> Result<(), Close> {
        self.shared.inbox.send(command).map_err(|_| self.ended())
    }

    /// Why the room has ended.
    fn ended(&self) -> Close {
        self.shared.ring.closed().unwrap_or_else(room_ended)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let session = self.seat.session;
        self.shared.sessions.fetch_sub(1, Ordering::Relaxed);
        self.shared.presence.lock().leave(session, self.shared.steady_ms());
        // A room that has ended has nobody to tell.
        let _ = self.shared.inbox.send(Command::Leave { session });
    }
}
