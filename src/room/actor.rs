//! The room's task: it waits for commands, for the log and for the clock, and carries out what
//! `state` decides.
//!
//! `open` brings the room into memory, `commands` is what sessions ask, `outside` what others ask, `commit` what the log says,
//! `heal` what is done when it has lost something, `verdict` the last word on copies of other lives, `presence` who is here,
//! `drafts` hidden cards; `life` keeps the room alive and brings it to rest, `compaction` keeps its log short. Here is what the
//! clock brings, and the order of it all.
//!
//! Absences: nothing here looks inside an update, and nothing here waits for a socket.

mod commands;
mod commit;
mod compaction;
mod drafts;
mod heal;
mod life;
mod open;
mod outside;
mod presence;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use self::drafts::Watch;
use self::life::Deadline;
use self::verdict::Doubt;
use super::Shared;
use super::append::Append;
use super::catch_up::CatchUps;
use super::fan_out::{FanOut, Seats};
use super::line::{FromLog, Line};
use super::outside::Writes;
use super::pace::{Asks, Meter};
use super::registry::Rooms;
use super::removal::Retire;
use super::state::{State, StoredError};
use super::upkeep::Upkeep;
use crate::document::FoldError;
use crate::limits::BEAT_MS;
use crate::log::LogError;

/// Commands judged in one turn: then the log and the clock get theirs.
const COMMANDS_PER_TURN: usize = 256;

/// One room at work.
pub(super) struct Actor {
    rooms: Arc<Rooms>,
    shared: Arc<Shared>,
    /// Always there between turns; away only while a job runs on the blocking pool.
    state: Option<Box<State>>,
    seats: Seats,
    append: Append,
    /// What waits is sent then, so that more of it goes in one batch.
    append_due: Option<Instant>,
    /// Updates that are stored from here.
    updates: Meter,
    upkeep: Upkeep,
    line: Line,
    fan_out: FanOut,
    catch_ups: CatchUps,
    presence_due: Option<Instant>,
    beat_due: Instant,
    idle_due: Option<Instant>,
    deadline: Deadline,
    /// Hidden cards.
    watch: Watch,
    /// It was stored before, or somebody was let begin it.
    begun: bool,
    /// Edits from outside that are not decided.
    writes: Writes,
    /// Who waits for the room to be stored.
    beginnings: Vec<oneshot::Sender<()>>,
    /// The room is to be removed: it takes no more edits.
    retiring: Option<Retire>,
    /// What is known here may not be the newest.
    doubt: Option<Box<Doubt>>,
}

impl Drop for Actor {
    /// However the room ends, by a panic too: no session is left waiting for it.
    fn drop(&mut self) {
        self.shared.ring.close(super::room_ended());
        for seat in self.seats.all() {
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
    #[error("somebody else was first: {0}")]
    Moved(String),
    #[error("the store has not served it for {} s", .0.as_secs())]
    Away(Duration),
}

impl From<StoredError> for End {
    fn from(error: StoredError) -> Self {
        match error {
            StoredError::Fold(error) => Self::Fold(error),
            error @ (StoredError::Apart(_) | StoredError::Mixed) => Self::Moved(error.to_string()),
        }
    }
}

impl Actor {
    /// Loads the room and runs it until it is idle, stopped or broken.
    pub(super) async fn run(rooms: Arc<Rooms>, shared: Arc<Shared>) {
        // Boxed, here and below, is what happens once or seldom: a room's future is as large as the
        // largest of its parts for as long as it lives.
        let Some(mut actor) = Box::pin(Self::open(rooms, shared)).await else { return };
        match actor.work().await {
            Ok(()) => {}
            // No fault: its sessions come back, and are judged by what the room is now.
            Err(end @ End::Moved(_)) => {
                tracing::info!(room = %actor.shared.name.log_id(), %end, "a room is loaded again");
            }
            Err(end @ End::Away(_)) => {
                tracing::error!(
                    room = %actor.shared.name.log_id(), %end,
                    "a room's people are asked to come back later; they keep their edits. See /healthz for what is wrong \
                     with the store"
                );
                actor.rooms.metrics.rooms_without_store.inc();
                actor.append.leave();
            }
            Err(end) => {
                tracing::error!(room = %actor.shared.name.log_id(), %end, "a room ends and is loaded again from its log");
                actor.rooms.metrics.rooms_failed.inc();
            }
        }
        Box::pin(actor.finish()).await;
    }

    /// Loads the room. Nothing if that fails: who has asked to come in is told so.
    async fn open(rooms: Arc<Rooms>, shared: Arc<Shared>) -> Option<Box<Self>> {
        let (mut state, upkeep, line) = match open::open(&rooms, &shared).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(room = %shared.name.log_id(), %error, "a room cannot be loaded; joins are told to come back");
                rooms.forget(&shared);
                open::refuse_joins(&shared, &error.to_string());
                return None;
            }
        };
        state.share_owners(&shared.owners);
        state.choose_by(&rooms.options.boards, &shared.name);
        let now = Instant::now();
        let mut actor = Box::new(Self {
            state: Some(Box::new(state)),
            seats: Seats::default(),
            append: Append::new(rooms.options.store_patience),
            append_due: None,
            updates: Meter::new(now),
            upkeep,
            line,
            fan_out: FanOut::new(now),
            catch_ups: CatchUps::default(),
            presence_due: None,
            beat_due: now + Duration::from_millis(BEAT_MS),
            idle_due: Some(now + rooms.options.idle_unload),
            deadline: Deadline::new(&rooms.options),
            watch: Watch::new(&shared.name),
            begun: false,
            writes: Writes::default(),
            beginnings: Vec::new(),
            retiring: None,
            doubt: None,
            rooms,
            shared,
        });
        actor.note_size();
        actor.begin_watch();
        Some(actor)
    }

    /// What a turn does is boxed: a room waits nearly all of its life, and would keep a place for it.
    async fn work(&mut self) -> Result<(), End> {
        let shared = Arc::clone(&self.shared);
        let stop = self.rooms.stop.clone();
        loop {
            let due = self.next_due();
            tokio::select! {
                biased; // stop first, then what is under way, then what is new
                () = stop.cancelled() => return Ok(()),
                appended = self.append.decided() => Box::pin(self.on_appended(appended)).await?,
                () = sleep_until(due) => {
                    if Box::pin(self.on_due()).await? {
                        return Ok(());
                    }
                }
                news = self.line.next() => match news {
                    FromLog::Heard(heard) => Box::pin(self.on_heard(heard)).await?,
                    FromLog::Read(read) => Box::pin(self.on_read(read)).await?,
                },
                commands = shared.inbox.take(COMMANDS_PER_TURN) => {
                    Box::pin(self.on_commands(commands)).await?;
                    if self.retiring.is_some() {
                        return Ok(());
                    }
                }
                () = shared.presence_changed.notified() => self.on_presence_changed(),
                done = self.upkeep.done() => self.on_compacted(done),
            }
            if self.writes.are_put_off() {
                Box::pin(self.on_held()).await?;
            }
            self.append_due = self.next_append();
            if self.append_due.is_none() {
                self.send_next_batch();
            }
            self.tell_begun();
        }
    }

    /// When the next batch is to be sent, if that is not now: see [`super::pace`].
    fn next_append(&mut self) -> Option<Instant> {
        if self.append.is_running() || !self.state().may_grow() {
            return None;
        }
        let asks = Asks {
            sessions: self.seats.len(),
            updates: self.updates.rate(Instant::now()),
            shares_store: self.line.hears(),
        };
        let due = self.append.paced(self.rooms.load.pace(asks))?;
        (due > Instant::now()).then_some(due)
    }

    /// Sends the next batch if one waits and none is in flight. The last fan-out is handed over
    /// then: the room goes through its seats before it turns to anything else.
    fn send_next_batch(&mut self) {
        if self.append.is_running() {
            return;
        }
        let Some(batch) = self.state_mut().next_batch() else { return };
        let (log, room) = (Arc::clone(&self.rooms.log), self.shared.name.clone());
        self.rooms.metrics.appends.inc();
        self.append.begin(log, room, batch);
    }

    /// Begins a round of fan-out, if anything waits for one.
    async fn release(&mut self) {
        if self.fan_out.release(&self.shared.ring, &mut self.seats).await {
            self.rooms.metrics.frames.inc();
        }
    }

    /// When the clock is next of interest.
    fn next_due(&self) -> Instant {
        let overdue = self.overdue_at();
        [self.fan_out.due(), self.append_due, self.presence_due, self.idle_due, self.line.due(), overdue]
            .into_iter()
            .flatten()
            .fold(self.beat_due, Instant::min)
    }

    /// When the room has waited long enough for its store.
    fn overdue_at(&self) -> Option<Instant> {
        self.append.overdue_at(self.state().in_flight().is_some())
    }

    /// Does what is due. Returns true if the room was idle and is off the list now.
    async fn on_due(&mut self) -> Result<bool, End> {
        let now = Instant::now();
        if self.overdue_at().is_some_and(|due| due <= now) {
            return Err(End::Away(self.rooms.options.store_patience));
        }
        if self.fan_out.due().is_some_and(|due| due <= now) {
            self.release().await;
        }
        if self.line.is_read_due(now) {
            self.start_reading();
        }
        self.ask_some(now);
        if self.presence_due.is_some_and(|due| due <= now) {
            self.tick_presence();
        }
        if self.beat_due <= now {
            self.beat_due = now + Duration::from_millis(BEAT_MS);
            self.release().await;
            let checkpoint = self.checkpoint()?;
            self.shared.ring.beat(checkpoint);
            self.catch_ups.clear();
            let taken_by_all = self.seats.all().filter_map(|seat| seat.next_frame()).min();
            self.shared.ring.forget_before(taken_by_all.unwrap_or(u64::MAX));
            self.seats.all().for_each(|seat| seat.wake());
            self.shared.presence_changed.notify_one();
            self.ask_owing();
            self.on_deadline_beat();
            // A room that was opened with much behind its snapshot: not before those who wait for it have it.
            self.compact_if_due();
        }
        Ok(self.idle_due.is_some_and(|due| due <= now) && self.unload())
    }

    /// Tells the sessions about how large an answer may be.
    fn note_size(&self) {
        self.shared.encoded_bytes.store(self.state().encoded_bytes(), Ordering::Relaxed);
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
        let job = crate::heavy::heavy(move || {
            let result = work(&mut state);
            (state, result)
        });
        let (state, result) = job.await?;
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
