//! The room's deadline in the log, and the room's end when it is removed.
//!
//! `life::deadline` decides when to touch and when to warn. A touch never holds up the room: it runs
//! beside it, and what became of it is looked at with the next beat.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::super::RoomsOptions;
use super::super::removal::Retire;
use super::Actor;
use crate::clock::in_ms;
use crate::ids::{Position, RoomName};
use crate::life::Clocks;
use crate::life::deadline::{Touches, left_ms};
use crate::log::{APPEND_TIMEOUT, Appended, Log, LogError};
use crate::wire::close::Close;

/// The deadline of this room, as far as it is known here.
pub(super) struct Deadline {
    touches: Touches,
    ttl_ms: Option<u64>,
    clocks: Clocks,
    touching: Option<Touching>,
}

struct Touching {
    /// When it was begun, by the steady clock: the deadline counts from no earlier.
    began_ms: u64,
    task: JoinHandle<Touched>,
}

/// What became of a touch.
enum Touched {
    Set,
    /// Whether it may work with the next beat, and how long the room has by the deadline that stands.
    Failed {
        error: LogError,
        left_ms: Option<u64>,
    },
}

impl Deadline {
    pub(super) fn new(options: &RoomsOptions) -> Self {
        let (ttl_ms, clocks) = (options.ttl.map(in_ms), options.life.clocks.clone());
        let touches = Touches::new(ttl_ms, clocks.now().steady_ms);
        Self { touches, ttl_ms, clocks, touching: None }
    }

    fn now_ms(&self) -> u64 {
        (self.clocks.steady)()
    }
}

impl Actor {
    /// Leaves the list of open rooms if nobody is here, nobody has asked to come, and everything
    /// is stored.
    pub(super) fn unload(&mut self) -> bool {
        let stored = !self.append.is_running() && self.state().uncommitted() == 0;
        let settled = self.seats.is_empty() && stored && self.is_deadline_set();
        let gone = settled && self.rooms.forget_if(&self.shared, || self.is_left());
        if gone {
            self.upkeep.start_if_worth_it(&self.rooms, &self.shared.name);
        } else {
            self.idle_due = Some(Instant::now() + self.rooms.options.idle_unload);
        }
        gone
    }

    /// Finishes what is on its way into the log, shows and acks it, then ends the sessions.
    pub(super) async fn finish(&mut self) {
        let goodbye = match self.retiring.take() {
            Some(retire) => self.retire(retire).await,
            None => {
                self.finish_appends().await;
                None
            }
        };
        if self.state.is_some() {
            self.release().await;
        }
        super::super::outside::let_go(self.writes.take_put_off());
        self.rooms.forget(&self.shared);
        let close = goodbye.unwrap_or_else(|| {
            if self.rooms.stop.is_cancelled() { super::super::restarts() } else { super::super::room_ended() }
        });
        self.shared.ring.close(close.clone());
        for seat in self.seats.all() {
            seat.put(|post| {
                post.close.get_or_insert(close.clone());
            });
        }
    }

    /// Stores what waits, as far as the log answers.
    async fn finish_appends(&mut self) {
        while self.append.is_running() && self.state.is_some() {
            // A store that does not answer must not keep people from being told to come back; the
            // append goes on alone.
            let Ok(appended) = timeout(APPEND_TIMEOUT, self.append.decided()).await else { break };
            if self.on_appended(appended).await.is_err() {
                break;
            }
            self.send_next_batch();
        }
    }

    /// An append has set the deadline. One that was stored by an earlier try did so at a time that
    /// nobody knows.
    pub(super) fn note_append(&mut self, appended: &Appended) {
        if !appended.duplicate {
            self.deadline.touches.on_set(self.deadline.now_ms());
        }
    }

    /// The last session has left: the room's time counts from now.
    pub(super) fn on_last_leave(&mut self) {
        self.deadline.touches.on_last_leave(self.deadline.now_ms());
        self.touch_if_due();
    }

    /// Touches the room if it is time, and warns its sessions if it may go soon.
    pub(super) fn on_deadline_beat(&mut self) {
        self.look_at_touch();
        self.touch_if_due();
        let now_ms = self.deadline.now_ms();
        if let Some(left_ms) = self.deadline.touches.warning(now_ms).filter(|_| self.is_stored()) {
            self.seats.all().for_each(|seat| seat.warn(left_ms, now_ms));
        }
    }

    /// Whether the room may be unloaded: its last leave is in its deadline, or was tried often enough.
    pub(super) fn is_deadline_set(&mut self) -> bool {
        self.look_at_touch();
        self.deadline.touching.is_none() && !(self.deadline.touches.owes() && self.is_stored())
    }

    /// Whether the room may be gone by right.
    pub(super) fn is_deadline_over(&self) -> bool {
        self.deadline.touches.is_over(self.deadline.now_ms())
    }

    /// A room that nothing was stored in has no deadline.
    fn is_stored(&self) -> bool {
        self.state().committed() != Position::START
    }

    fn touch_if_due(&mut self) {
        let now_ms = self.deadline.now_ms();
        let due = self.deadline.touches.is_due(now_ms, !self.seats.is_empty());
        if due && self.deadline.touching.is_none() && self.is_stored() {
            let (log, room) = (Arc::clone(&self.rooms.log), self.shared.name.clone());
            let (ttl_ms, clocks) = (self.deadline.ttl_ms, self.deadline.clocks.clone());
            let task = tokio::spawn(touch(log, room, ttl_ms, clocks));
            self.deadline.touching = Some(Touching { began_ms: now_ms, task });
        }
    }

    /// Takes in what became of a touch, if that is known by now.
    fn look_at_touch(&mut self) {
        let now_ms = self.deadline.now_ms();
        let Some(touching) = &mut self.deadline.touching else { return };
        let Some(touched) = (&mut touching.task).now_or_never() else { return };
        let began_ms = touching.began_ms;
        self.deadline.touching = None;
        match touched {
            Ok(Touched::Set) => self.deadline.touches.on_set(began_ms),
            Ok(Touched::Failed { error, left_ms }) => {
                self.rooms.metrics.life.touch_failures.inc();
                tracing::debug!(room = %self.shared.name.log_id(), %error, "a room's deadline cannot be moved now");
                self.deadline.touches.on_failed(now_ms, error.is_temporary(), left_ms);
            }
            Err(stopped) => {
                tracing::error!(room = %self.shared.name.log_id(), %stopped, "a touch was stopped");
                self.deadline.touches.on_failed(now_ms, true, None);
            }
        }
    }

    /// Brings the room to rest for its removal: what is under way is decided, or cannot be stored once the
    /// room is gone. Nothing else is begun. Returns how the sessions end; `None` if the room stays.
    pub(super) async fn retire(&mut self, retire: Retire) -> Option<Close> {
        let Retire { at_rest, goodbye } = retire;
        let decided = timeout(APPEND_TIMEOUT, self.decide_append()).await.is_ok();
        // A batch for a room that exists is refused once it does not; the first one would begin
        // another life.
        let resting = decided || self.state.is_some() && self.is_stored();
        let _ = at_rest.send(resting);
        goodbye.await.ok()
    }

    async fn decide_append(&mut self) {
        if self.append.is_running() {
            let appended = self.append.decided().await;
            if self.state.is_some()
                && let Err(end) = self.on_appended(appended).await
            {
                tracing::debug!(room = %self.shared.name.log_id(), %end, "the last append of a room that is removed");
            }
        }
    }
}

/// Moves the deadline, and finds out what it is if that fails.
async fn touch(log: Arc<dyn Log>, room: RoomName, ttl_ms: Option<u64>, clocks: Clocks) -> Touched {
    let touched = timeout(TOUCH_TIMEOUT, log.touch(&room, ttl_ms)).await;
    let error = match touched {
        Ok(Ok(())) => return Touched::Set,
        Ok(Err(error)) => error,
        Err(_) => LogError::Unknown("a touch was not answered in time".to_owned()),
    };
    let head = timeout(TOUCH_TIMEOUT, log.open(&room)).await.ok().and_then(Result::ok).flatten();
    let deadline_ms = head.and_then(|head| head.deadline_ms);
    Touched::Failed { error, left_ms: deadline_ms.map(|deadline_ms| left_ms(deadline_ms, (clocks.wall)())) }
}

/// A store that does not answer must not keep rooms in memory.
const TOUCH_TIMEOUT: Duration = APPEND_TIMEOUT;
