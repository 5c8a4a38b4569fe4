//! The append in flight: it is tried until the log has decided, and never dropped half-way.

use std::future::pending;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::ids::RoomName;
use crate::log::{Appended, Batch, Expects, Log, LogError};

/// The log refuses a batch for good.
pub(super) struct Refused {
    pub(super) error: LogError,
    /// An earlier try was not answered: only reading the log again can tell.
    pub(super) may_be_stored: bool,
}

type Running = Pin<Box<dyn Future<Output = Result<Appended, Refused>> + Send>>;

/// At most one append under way. If the room ends first, it goes on alone, and ends with the first answer that says that
/// nothing was stored: nothing of it was acknowledged, and whoever comes back brings it again, in an append of a room that
/// may end as this one has. One that is in doubt is tried for a patience more; but one that may begin
/// the life of a room is not tried again at all: nobody would know of it who later deletes the room.
pub(super) struct Append {
    running: Option<Running>,
    /// When it was begun.
    began: Option<Instant>,
    alone: Arc<AtomicBool>,
    /// How long the room waits for a store that does not decide.
    patience: Duration,
}

impl Append {
    pub(super) fn new(patience: Duration) -> Self {
        Self { running: None, began: None, alone: Arc::default(), patience }
    }

    /// The append under way goes on alone.
    pub(super) fn leave(&mut self) {
        *self = Self::new(self.patience);
    }

    /// Begins to append a batch.
    ///
    /// # Panics
    /// If one is under way.
    pub(super) fn begin(&mut self, log: Arc<dyn Log>, room: RoomName, batch: Batch) {
        assert!(self.running.is_none(), "one append at a time");
        let alone = Alone { is: Arc::clone(&self.alone), patience: self.patience };
        self.began = Some(Instant::now());
        self.running = Some(Box::pin(append_until_decided(log, room, batch, Some(alone))));
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// When the last batch has taken longer than the room waits, unless it is decided: its append is under way, or it
    /// `is_in_flight` still, as records of others stand before it and cannot be read.
    pub(super) fn overdue_at(&self, is_in_flight: bool) -> Option<Instant> {
        self.began.filter(|_| is_in_flight || self.is_running()).map(|began| began + self.patience)
    }

    /// When the next one may begin, if that is to be `pace` after the last one.
    pub(super) fn paced(&self, pace: Duration) -> Option<Instant> {
        self.began.map(|began| began + pace)
    }

    /// Resolves when the append under way is decided; never if there is none. Cancel-safe.
    pub(super) async fn decided(&mut self) -> Result<Appended, Refused> {
        let Some(running) = &mut self.running else { return pending().await };
        let answer = running.await;
        self.running = None;
        answer
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        self.alone.store(true, Ordering::Relaxed);
        if let (Some(running), Ok(runtime)) = (self.running.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(running);
        }
    }
}

/// Whether anybody waits for an append.
pub(super) struct Alone {
    is: Arc<AtomicBool>,
    patience: Duration,
}

/// Appends a batch, again and again under the same number, until the log has decided, or until it has been `alone` for long
/// enough; without that for ever.
pub(super) async fn append_until_decided(
    log: Arc<dyn Log>,
    room: RoomName,
    batch: Batch,
    alone: Option<Alone>,
) -> Result<Appended, Refused> {
    let begins = matches!(batch.expects, Expects::Anything | Expects::Last(0));
    let mut alone_since = None;
    let mut wait = Duration::from_millis(50);
    let mut tries = 0_u32;
    let mut may_be_stored = false;
    loop {
        let error = match log.append(&room, batch.clone()).await {
            Ok(appended) => return Ok(appended),
            Err(error) if error.is_temporary() => error,
            Err(error) => return Err(Refused { error, may_be_stored }),
        };
        let in_doubt = matches!(error, LogError::Unknown(_));
        may_be_stored |= in_doubt;
        if let Some(alone) = alone.as_ref().filter(|alone| alone.is.load(Ordering::Relaxed)) {
            let since = *alone_since.get_or_insert_with(Instant::now);
            if begins || !in_doubt || since.elapsed() >= alone.patience {
                tracing::warn!(room = %room.log_id(), %error, tries, "an append that nobody waits for any more is given up; nothing of it was acknowledged");
                return Err(Refused { error, may_be_stored });
            }
        }
        if tries.is_power_of_two() || tries == 0 {
            tracing::warn!(room = %room.log_id(), %error, tries, "an append has failed and is tried again; edits wait, nobody sees them");
        }
        tries += 1;
        sleep(spread(wait, &room, &batch, tries)).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
}

/// From half of a wait to all of it. Rooms and instances whose appends fail together come back apart; it
/// follows from the batch, so that what is simulated comes out the same each time.
fn spread(wait: Duration, room: &RoomName, batch: &Batch, tries: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (room, batch.instance, batch.number, tries).hash(&mut hasher);
    wait.mul_f64(0.5 + (hasher.finish() % 1_000) as f64 / 2_000.0)
}
