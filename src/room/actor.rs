//! The room's task: it waits for commands, for the log and for the clock, and carries out what
//! `state` decides.
//!
//! Absences: nothing here looks inside an update, and nothing here waits for a socket.

use std::collections::HashMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::load::{self, LoadError, SetAside};
use super::registry::Rooms;
use super::ring::Frame;
use super::seat::{Outlet, Seat};
use super::state::{Author, Committed, State, Submission, SubmitError};
use super::{Command, Shared, Synced};
use crate::document::FoldError;
use crate::gate;
use crate::ids::{Position, RoomName, SessionId};
use crate::limits::{BEAT_MS, INLINE_BYTES_MAX, PRESENCE_TICK_MS, ROUND_MS, ROUND_SESSIONS_MIN};
use crate::log::{Appended, Batch, Log, LogError};
use crate::wire::close::{self, Close};
use crate::wire::{websocket, y_websocket};

/// Commands judged in one turn: then the log and the clock get theirs.
const COMMANDS_PER_TURN: usize = 256;

type AppendFuture = Pin<Box<dyn Future<Output = Result<Appended, Refused>> + Send>>;

/// The append in flight. It is never dropped half-way: if the room ends first, it goes on alone.
struct Append(Option<AppendFuture>);

impl Append {
    async fn finish(&mut self) -> Result<Appended, Refused> {
        let Some(running) = &mut self.0 else { return pending().await };
        let answer = running.await;
        self.0 = None;
        answer
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        if let (Some(running), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(running);
        }
    }
}

/// One room at work.
pub(super) struct Actor {
    rooms: Arc<Rooms>,
    shared: Arc<Shared>,
    /// Always there between turns; away only while a job runs on the blocking pool.
    state: Option<Box<State>>,
    seats: HashMap<SessionId, Arc<Seat>>,
    append: Append,
    /// Committed updates whose round of fan-out has not begun.
    unreleased: Vec<Bytes>,
    unreleased_author: Author,
    round_ended: Instant,
    round_due: Option<Instant>,
    presence_due: Option<Instant>,
    beat_due: Instant,
    idle_due: Option<Instant>,
}

impl Drop for Actor {
    /// However the room ends, by a panic too: no session is left waiting for it.
    fn drop(&mut self) {
        self.shared.ring.close(super::room_ended());
        for seat in self.seats.values() {
            seat.put(|post| {
                post.close.get_or_insert_with(super::room_ended);
            });
        }
    }
}

/// Why a room ends before it is idle.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the document cannot be used: {0}")]
    Fold(#[from] FoldError),
    #[error("a job on the blocking pool has failed: {0}")]
    Job(#[from] tokio::task::JoinError),
    #[error("the log refuses a batch that it may have stored: {0}")]
    Unsettled(LogError),
}

/// The log refuses a batch for good.
struct Refused {
    error: LogError,
    /// An earlier try was not answered: only reading the log again can tell.
    may_be_stored: bool,
}

impl Actor {
    /// Loads the room and runs it until it is idle, stopped or broken.
    pub(super) async fn run(
        rooms: Arc<Rooms>,
        shared: Arc<Shared>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let state = match open(&rooms, &shared).await {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(room = %shared.name.log_id(), %error, "a room cannot be loaded; joins are told to come back");
                rooms.forget(&shared);
                refuse_joins(&mut commands, &error.to_string());
                return;
            }
        };
        let now = Instant::now();
        let mut actor = Self {
            state: Some(Box::new(state)),
            seats: HashMap::new(),
            append: Append(None),
            unreleased: Vec::new(),
            unreleased_author: Author::Nobody,
            round_ended: now,
            round_due: None,
            presence_due: None,
            beat_due: now + Duration::from_millis(BEAT_MS),
            idle_due: Some(now + rooms.options.idle_unload),
            rooms,
            shared,
        };
        if let Err(end) = actor.work(&mut commands).await {
            tracing::error!(room = %actor.shared.name.log_id(), %end, "a room ends and is loaded again from its log");
            actor.rooms.metrics.rooms_failed.inc();
        }
        actor.finish().await;
    }

    async fn work(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Result<(), End> {
        let mut inbox = Vec::with_capacity(8);
        let shared = Arc::clone(&self.shared);
        let stop = self.rooms.stop.clone();
        loop {
            let due = self.next_due();
            tokio::select! {
                biased; // stop first, then what is under way, then what is new
                () = stop.cancelled() => return Ok(()),
                appended = self.append.finish() => self.on_appended(appended).await?,
                () = sleep_until(due) => {
                    if self.on_due(commands).await? {
                        return Ok(());
                    }
                }
                _ = commands.recv_many(&mut inbox, COMMANDS_PER_TURN) => {
                    for command in inbox.drain(..) {
                        self.on_command(command).await?;
                    }
                }
                () = shared.presence_changed.notified() => self.on_presence_changed(),
            }
            self.send_next_batch();
        }
    }

    async fn on_command(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Join { wants_acks, outlet, reply } => self.on_join(wants_acks, outlet, reply),
            Command::Leave { session } => self.on_leave(session),
            Command::Submit(submission) => self.on_submit(submission).await?,
            Command::Sync { state_vector, reply } => {
                let answer = self.on_sync(&state_vector).await?;
                let _ = reply.send(answer); // the session may have gone meanwhile
            }
            Command::CatchUp { covers, reply } => {
                self.release()?;
                let frame = self.with_state(true, move |state| state.catch_up(&covers)).await??;
                let covers = self.checkpoint()?;
                self.rooms.metrics.catch_ups.inc();
                let _ = reply.send(Ok(Synced { frame, cursor: self.shared.ring.cursor(covers) }));
            }
            Command::StateVector { reply } => {
                let _ = reply.send(Ok(self.checkpoint()?));
            }
        }
        Ok(())
    }

    fn on_join(
        &mut self,
        wants_acks: bool,
        outlet: Arc<dyn Outlet>,
        reply: oneshot::Sender<Result<Arc<Seat>, String>>,
    ) {
        let session = self.rooms.next_session();
        let seat = Arc::new(Seat::new(session, wants_acks, outlet));
        if reply.send(Ok(Arc::clone(&seat))).is_ok() {
            self.seats.insert(session, seat);
            self.idle_due = None;
        }
    }

    fn on_leave(&mut self, session: SessionId) {
        self.seats.remove(&session);

        if self.seats.is_empty() {
            self.idle_due = Some(Instant::now() + self.rooms.options.idle_unload);
        }
        // The grace after which its presence goes is counted by the beat.
        self.shared.presence_changed.notify_one();
    }

    async fn on_submit(&mut self, submission: Submission) -> Result<(), End> {
        let (session, ordinal, cost) = (submission.session, submission.ordinal, submission.cost);
        let heavy = submission.update.len() > INLINE_BYTES_MAX;
        let judged = self.with_state(heavy, move |state| state.submit(&submission)).await?;
        let seat = self.seats.get(&session);
        match judged {
            Ok(judged) => {
                self.shared.inflow.add_permits(judged.cost as usize);
                self.rooms.metrics.note_dropped(&judged.dropped);
                let ack = judged.decided_now.then(|| (ordinal, self.state().committed()));
                let wanted = |seat: &&Arc<Seat>| seat.wants_acks && ack.is_some() || judged.dropped.is_gap();
                if let Some(seat) = seat.filter(wanted) {
                    seat.put(|post| {
                        post.ack = ack.or(post.ack);
                        post.gap |= judged.dropped.is_gap();
                    });
                }
            }
            Err(error) => {
                self.shared.inflow.add_permits(cost as usize);
                self.rooms.metrics.updates_refused.inc();
                let close = match &error {
                    SubmitError::Refused(refusal) if refusal.is_too_large() => {
                        Close::new(close::TOO_LARGE, error.to_string())
                    }
                    SubmitError::Refused(_) => Close::new(close::MALFORMED, error.to_string()),
                    SubmitError::Record(_) => Close::new(close::TOO_LARGE, error.to_string()),
                };
                if let Some(seat) = seat {
                    seat.put(|post| post.close = Some(close));
                }
            }
        }
        Ok(())
    }

    async fn on_sync(&mut self, state_vector: &[u8]) -> Result<Result<Synced, Close>, End> {
        let theirs = match gate::parse_state_vector(state_vector) {
            Ok(theirs) => theirs,
            Err(refusal) => return Ok(Err(Close::new(close::MALFORMED, refusal.to_string()))),
        };
        let heavy = self.state().encoded_bytes() > INLINE_BYTES_MAX;
        // The checkpoint must not cover what only a later round shows.
        self.release()?;
        let frame = self.with_state(heavy, move |state| state.step2(&theirs)).await??;
        let covers = self.checkpoint()?;
        Ok(Ok(Synced { frame, cursor: self.shared.ring.cursor(covers) }))
    }

    /// Sends the next batch if one waits and none is in flight. The last fan-out is handed over
    /// then: the room goes through its seats before it turns to anything else.
    fn send_next_batch(&mut self) {
        if self.append.0.is_some() {
            return;
        }
        let after = self.state().committed();
        let Some(batch) = self.state_mut().next_batch() else { return };
        let (log, room) = (Arc::clone(&self.rooms.log), self.shared.name.clone());
        self.rooms.metrics.appends.inc();
        self.append.0 = Some(Box::pin(append_until_decided(log, room, after, batch)));
    }

    async fn on_appended(&mut self, appended: Result<Appended, Refused>) -> Result<(), End> {
        match appended {
            Ok(appended) => self.on_committed(appended).await,
            Err(Refused { error, may_be_stored: true }) => Err(End::Unsettled(error)),
            Err(Refused { error, may_be_stored: false }) => {
                tracing::error!(
                    room = %self.shared.name.log_id(), %error,
                    "the log refuses a batch for good: its authors are asked to come back and keep their edits"
                );
                self.rooms.metrics.appends_refused.inc();
                let (authors, cost) = self.state_mut().drop_overlay();
                self.shared.inflow.add_permits(cost as usize);
                // Off the list at once: what else of theirs is judged must not be acked over the loss.
                for seat in authors.iter().filter_map(|session| self.seats.remove(session)) {
                    seat.put(|post| {
                        post.close = Some(Close::new(close::BUSY, "the store refuses edits now"))
                    });
                }
                Ok(())
            }
        }
    }

    /// A batch is stored: fold it, show it, ack it. The only way into the document.
    async fn on_committed(&mut self, appended: Appended) -> Result<(), End> {
        let position = appended.last;
        let heavy = self.state().is_batch_heavy();
        let Committed { update, author, acks, updates, cost } =
            self.with_state(heavy, move |state| state.on_committed(&appended)).await??;
        self.shared.inflow.add_permits(cost as usize);
        self.rooms.metrics.updates_stored.inc_by(updates as u64);
        self.unreleased.push(update);
        self.unreleased_author = self.unreleased_author.and(author);
        let now = Instant::now();
        let next_round = self.round_ended + Duration::from_millis(ROUND_MS);
        if self.seats.len() > ROUND_SESSIONS_MIN && now < next_round {
            self.round_due.get_or_insert(next_round);
        } else {
            self.release()?;
        }
        self.ack(acks, position);
        Ok(())
    }

    fn ack(&self, acks: HashMap<SessionId, u64>, position: Position) {
        for (session, ordinal) in acks {
            if let Some(seat) = self.seats.get(&session).filter(|seat| seat.wants_acks) {
                seat.put(|post| post.ack = Some((ordinal, position)));
            }
        }
    }

    /// Begins a round of fan-out: one merged frame for everyone.
    fn release(&mut self) -> Result<(), End> {
        self.round_due = None;
        let author = std::mem::replace(&mut self.unreleased_author, Author::Nobody);
        let update = match self.unreleased.as_slice() {
            [] => return Ok(()),
            [only] => only.clone(),
            several => {
                let slices: Vec<&[u8]> = several.iter().map(AsRef::as_ref).collect();
                gate::merge(&slices).into()
            }
        };
        self.unreleased.clear();
        let now = Instant::now();
        self.round_ended = now;
        let frame = websocket::frame(&y_websocket::update(&update));
        let frame = Frame { bytes: frame, sole_author: author.sole() };
        let number = self.shared.ring.push(frame.clone());
        for seat in self.seats.values() {
            seat.show(number, &frame);
        }
        self.rooms.metrics.frames.inc();
        Ok(())
    }

    /// When the clock is next of interest.
    fn next_due(&self) -> Instant {
        [self.round_due, self.presence_due, self.idle_due]
            .into_iter()
            .flatten()
            .fold(self.beat_due, Instant::min)
    }

    /// Does what is due. Returns true if the room was idle and is off the list now.
    async fn on_due(&mut self, commands: &mpsc::UnboundedReceiver<Command>) -> Result<bool, End> {
        let now = Instant::now();
        if self.round_due.is_some_and(|due| due <= now) {
            self.release()?;
        }
        if self.presence_due.is_some_and(|due| due <= now) {
            self.tick_presence();
        }
        if self.beat_due <= now {
            self.beat_due = now + Duration::from_millis(BEAT_MS);
            self.release()?;
            let checkpoint = self.checkpoint()?;
            self.shared.ring.beat(checkpoint);
            self.seats.values().for_each(|seat| seat.wake());
            self.shared.presence_changed.notify_one();
        }
        Ok(self.idle_due.is_some_and(|due| due <= now) && self.unload(commands))
    }

    /// A tick is due soon, however far away the next sweep is.
    fn on_presence_changed(&mut self) {
        let (small, large) = PRESENCE_TICK_MS;
        let tick = if self.seats.len() > ROUND_SESSIONS_MIN { large } else { small };
        let due = Instant::now() + Duration::from_millis(tick);
        self.presence_due = Some(self.presence_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Sends what changed in presence, and sees when the next person may have to go.
    fn tick_presence(&mut self) {
        let now_ms = self.shared.steady_ms();
        let mut presence = self.shared.presence.lock();
        let sweep_ms = presence.sweep(now_ms);
        let message = presence.end_tick();
        drop(presence);
        if let Some((tick, message)) = message {
            self.shared.ring.set_presence(tick, message.clone());
            for seat in self.seats.values() {
                seat.show_presence(tick, &message);
            }
        }
        self.presence_due = sweep_ms.map(|at_ms| Instant::now() + Duration::from_millis(at_ms - now_ms));
    }

    /// Leaves the list of open rooms if nobody is here, nobody has asked to come, and everything
    /// is stored.
    fn unload(&mut self, commands: &mpsc::UnboundedReceiver<Command>) -> bool {
        let settled = self.seats.is_empty() && self.append.0.is_none() && self.state().uncommitted() == 0;
        let gone = settled && self.rooms.forget_if(&self.shared, || commands.is_empty());
        if !gone {
            self.idle_due = Some(Instant::now() + self.rooms.options.idle_unload);
        }
        gone
    }

    /// Finishes what is on its way into the log, shows and acks it, then ends the sessions.
    async fn finish(mut self) {
        while self.append.0.is_some() && self.state.is_some() {
            let appended = self.append.finish().await;
            if self.on_appended(appended).await.is_err() {
                break;
            }
            self.send_next_batch();
        }
        if self.state.is_some() {
            let _ = self.release();
        }
        self.rooms.forget(&self.shared);
        let close = if self.rooms.stop.is_cancelled() {
            Close::new(close::RESTART, "the server restarts")
        } else {
            super::room_ended()
        };
        self.shared.ring.close(close.clone());
        for seat in self.seats.values() {
            seat.put(|post| {
                post.close.get_or_insert(close.clone());
            });
        }
    }

    fn checkpoint(&mut self) -> Result<Bytes, End> {
        Ok(self.state_mut().state_vector()?.encode().into())
    }

    /// Runs a piece of work on the state: on the blocking pool if it is heavy, here otherwise,
    /// where moving it would take longer than doing it. The room waits for it, so there is one
    /// such job at most.
    async fn with_state<T: Send + 'static>(
        &mut self,
        heavy: bool,
        work: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, End> {
        if !heavy {
            return Ok(work(self.state_mut()));
        }
        let mut state = self.state.take().expect(STATE_IS_HERE);
        let (state, result) = tokio::task::spawn_blocking(move || {
            let result = work(&mut state);
            (state, result)
        })
        .await?;
        self.state = Some(state);
        Ok(result)
    }

    fn state(&self) -> &State {
        self.state.as_ref().expect(STATE_IS_HERE)
    }

    fn state_mut(&mut self) -> &mut State {
        self.state.as_mut().expect(STATE_IS_HERE)
    }
}

const STATE_IS_HERE: &str = "the state is away only while its own task waits for it";

/// Loads a room and reports what had to be left out.
async fn open(rooms: &Rooms, shared: &Shared) -> Result<State, LoadError> {
    let began = Instant::now();
    let loaded = load::load(&rooms.log, &shared.name, (rooms.instance, rooms.next_life())).await?;
    let room = shared.name.log_id();
    for SetAside { position, why } in &loaded.set_aside {
        tracing::error!(%room, %position, why, "a record is set aside; the room is served without it");
        rooms.metrics.records_set_aside.inc();
    }
    tracing::debug!(%room, records = loaded.records, took = ?began.elapsed(), "room loaded");
    rooms.metrics.rooms_loaded.inc();
    Ok(loaded.state)
}

/// Tells all who wait for a room that it cannot be had.
fn refuse_joins(commands: &mut mpsc::UnboundedReceiver<Command>, why: &str) {
    commands.close();
    while let Ok(command) = commands.try_recv() {
        if let Command::Join { reply, .. } = command {
            let _ = reply.send(Err(format!("the room cannot be loaded now: {why}")));
        }
    }
}

/// Appends a batch, again and again under the same number, until the log has decided. It must come
/// to stand behind `after`.
async fn append_until_decided(
    log: Arc<dyn Log>,
    room: RoomName,
    after: Position,
    batch: Batch,
) -> Result<Appended, Refused> {
    let mut wait = Duration::from_millis(50);
    let mut tries = 0_u32;
    let mut may_be_stored = false;
    loop {
        let error = match log.append(&room, batch.clone()).await {
            Ok(appended) if appended.first <= after => {
                // Acking it would be a lie: what is stored under this number is something else.
                let why = format!("batch {} was stored before it was sent", batch.number);
                return Err(Refused { error: LogError::Fatal(why), may_be_stored });
            }
            Ok(appended) => {
                if tries > 0 {
                    tracing::warn!(room = %room.log_id(), tries, "an append that had failed is stored now");
                }
                return Ok(appended);
            }
            Err(error) if error.is_temporary() => error,
            Err(error) => return Err(Refused { error, may_be_stored }),
        };
        may_be_stored |= matches!(error, LogError::Unknown(_));
        if tries.is_power_of_two() || tries == 0 {
            tracing::warn!(room = %room.log_id(), %error, tries, "an append has failed and is tried again; edits wait, nobody sees them");
        }
        tries += 1;
        sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
}
