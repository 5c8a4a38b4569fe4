//! Faults on request, for tests of whatever stands on a log.
//!
//! ```
//! # use ruang::log::memory::MemoryLog;
//! let (log, faults) = MemoryLog::with_faults();
//! let held = faults.hold_appends(); // from here on nothing is stored, nothing answered
//! // … start an append; `held.arrived(1).await` waits until it is at the gate …
//! held.release(); // it is stored and answered
//! # drop(log);
//! ```

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Rooms;
use super::bus::Fate;
use crate::ids::RoomName;
use crate::log::bus::Heard;
use crate::log::{LogError, UploadId};

/// Makes a [`super::MemoryLog`] misbehave. Clones act on the same log. What is asked for `count`
/// calls applies to the next ones that come, each kind of fault counting for itself.
#[derive(Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    /// Where appends wait before they are applied.
    appends: Arc<Gate>,
    /// Where appends wait after they were applied, before the answer.
    replies: Arc<Gate>,
    /// Where everything that reads waits.
    reads: Arc<Gate>,
    /// Where changes that are no appends wait before they are applied.
    changes: Arc<Gate>,
    /// What the log has stored, to damage it. Weak: a forgotten handle keeps nothing.
    rooms: Weak<Mutex<Rooms>>,
}

/// What to do to the calls to come.
#[derive(Default)]
struct Plan {
    append_errors: VecDeque<LogError>,
    /// `None`: that call goes through.
    change_errors: VecDeque<Option<LogError>>,
    changes_unanswered: VecDeque<bool>,
    /// Each with the room whose reads it is for; `None`: the next read, whatever of.
    read_errors: VecDeque<(Option<RoomName>, LogError)>,
    replies_lost: usize,
    calls_duplicated: usize,
    append_delay: Duration,
}

/// What to do to one append.
pub(super) struct AppendFault {
    pub(super) refuse: Option<LogError>,
    pub(super) lose_reply: bool,
    pub(super) duplicate: bool,
}

/// What to do to one change that is no append.
pub(super) struct ChangeFault {
    pub(super) lose_reply: bool,
}

/// How to spoil a stored record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Turns one bit around, counted from the record's first byte.
    FlipBit(usize),
    /// Leaves only this many bytes.
    Truncate(usize),
}

/// Calls wait here while any [`Held`] of it lives.
struct Gate {
    holders: watch::Sender<usize>,
    waiting: watch::Sender<usize>,
}

/// Keeps calls waiting until it is released or dropped. Where several exist, the last one counts.
pub struct Held {
    gate: Arc<Gate>,
}

impl Faults {
    pub(super) fn new(rooms: Weak<Mutex<Rooms>>) -> Self {
        Self {
            plan: Arc::default(),
            appends: Arc::new(Gate::new()),
            replies: Arc::new(Gate::new()),
            reads: Arc::new(Gate::new()),
            changes: Arc::new(Gate::new()),
            rooms,
        }
    }

    /// The next `count` appends are refused with `error` and store nothing. Later calls queue
    /// behind earlier ones.
    pub fn fail_appends(&self, count: usize, error: LogError) {
        self.plan.lock().append_errors.extend(std::iter::repeat_n(error, count));
    }

    /// Forgets every fault that was asked for and has not come yet.
    pub fn forgive(&self) {
        *self.plan.lock() = Plan::default();
    }

    /// Of the calls that change something but are no append (chunks, adoptions, trims, room life),
    /// the one after `skip` others fails with `error` and changes nothing.
    pub fn fail_change(&self, skip: usize, error: LogError) {
        let errors = &mut self.plan.lock().change_errors;
        errors.extend(std::iter::repeat_n(None, skip));
        errors.push_back(Some(error));
    }

    /// Of the same calls, the one after `skip` others is applied, then answered with
    /// [`LogError::Unknown`].
    pub fn lose_change_reply(&self, skip: usize) {
        let unanswered = &mut self.plan.lock().changes_unanswered;
        unanswered.extend(std::iter::repeat_n(false, skip));
        unanswered.push_back(true);
    }

    /// The next `count` calls of `open`, `read`, `rooms`, `chunk` and `tombstone` fail with `error`.
    pub fn fail_reads(&self, count: usize, error: LogError) {
        self.plan.lock().read_errors.extend(std::iter::repeat_n((None, error), count));
    }

    /// The next `count` calls that read of that room fail with `error`; what a server reads by
    /// itself meanwhile, of other rooms or of none, goes through.
    pub fn fail_reads_of(&self, room: &RoomName, count: usize, error: LogError) {
        self.plan.lock().read_errors.extend(std::iter::repeat_n((Some(room.clone()), error), count));
    }

    /// The next `count` appends are applied, then answered with [`LogError::Unknown`].
    pub fn lose_replies(&self, count: usize) {
        self.plan.lock().replies_lost += count;
    }

    /// The next `count` appends reach the store twice, as after a hidden retry; the second answer
    /// is the one that the caller gets.
    pub fn duplicate_calls(&self, count: usize) {
        self.plan.lock().calls_duplicated += count;
    }

    /// Every append takes this long before it is applied, until set to zero.
    pub fn delay_appends(&self, delay: Duration) {
        self.plan.lock().append_delay = delay;
    }

    /// Appends wait before they are applied: nothing is stored, nothing answered.
    #[must_use = "appends go on when this is dropped"]
    pub fn hold_appends(&self) -> Held {
        Held::of(&self.appends)
    }

    /// Appends are applied, and readers see them, but their answers wait.
    #[must_use = "answers go on when this is dropped"]
    pub fn stall_replies(&self) -> Held {
        Held::of(&self.replies)
    }

    /// Calls of `open`, `read` and `rooms` wait.
    #[must_use = "reads go on when this is dropped"]
    pub fn hold_reads(&self) -> Held {
        Held::of(&self.reads)
    }

    /// Spoils the stored record of that counter. False if there is none, or if it has fewer bytes.
    pub fn damage(&self, room: &RoomName, seq: u64, damage: Damage) -> bool {
        let mut spoilt = false;
        self.rewrite(room, seq, |bytes| spoilt = spoil(bytes, damage)) && spoilt
    }

    /// Changes the bytes of the stored record of that counter. False if there is none.
    pub fn rewrite(&self, room: &RoomName, seq: u64, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(rooms) = self.rooms.upgrade() else { return false };
        let mut rooms = rooms.lock();
        let stored = rooms.by_name.get_mut(room).and_then(|room| room.record_mut(seq));
        rewrite_bytes(stored, change)
    }

    /// Changes the bytes of a stored chunk. False if there is none.
    pub fn rewrite_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let Some(rooms) = self.rooms.upgrade() else { return false };
        let mut rooms = rooms.lock();
        let stored = rooms.by_name.get_mut(room).and_then(|room| room.chunk_mut(upload, index));
        rewrite_bytes(stored, change)
    }

    /// What becomes of each message on the bus to each follower.
    pub fn on_bus(&self, decide: impl FnMut(&Heard) -> Fate + Send + 'static) {
        if let Some(bus) = self.rooms.upgrade().and_then(|rooms| rooms.lock().bus.clone()) {
            bus.decide(decide);
        }
    }

    /// Compares the heads of all followed rooms with what their followers know, as a store does every now
    /// and then: whoever has missed something is told.
    pub fn check_heads(&self) {
        if let Some(rooms) = self.rooms.upgrade() {
            rooms.lock().check_heads();
        }
    }

    /// The store forgets a room, as if someone had flushed it: no tombstone, nobody told.
    pub fn forget_room(&self, room: &RoomName) {
        if let Some(rooms) = self.rooms.upgrade() {
            rooms.lock().by_name.remove(room);
        }
    }

    /// The store forgets the newest records of a room, up to the counter `last`, as after a failover to a copy
    /// that had not got them. Nobody is told.
    pub fn roll_back(&self, room: &RoomName, last: u64) {
        if let Some(rooms) = self.rooms.upgrade()
            && let Some(room) = rooms.lock().by_name.get_mut(room)
        {
            room.roll_back(last);
        }
    }

    /// Takes what the plan holds for the next change that is no append, once it may be applied.
    pub(super) async fn before_change(&self) -> Result<ChangeFault, LogError> {
        self.changes.pass().await;
        let mut plan = self.plan.lock();
        if let Some(error) = plan.change_errors.pop_front().flatten() {
            return Err(error);
        }
        Ok(ChangeFault { lose_reply: plan.changes_unanswered.pop_front().unwrap_or(false) })
    }

    /// Calls that change something but are no append wait before they are applied.
    #[must_use = "changes go on when this is dropped"]
    pub fn hold_changes(&self) -> Held {
        Held::of(&self.changes)
    }

    /// Takes what the plan holds for the next append, once it may be applied.
    pub(super) async fn before_append(&self) -> AppendFault {
        let (fault, delay) = {
            let mut plan = self.plan.lock();
            let refuse = plan.append_errors.pop_front();
            let applied = refuse.is_none(); // a refused append uses up no other fault
            let lose_reply = applied && take_one(&mut plan.replies_lost);
            let duplicate = applied && take_one(&mut plan.calls_duplicated);
            (AppendFault { refuse, lose_reply, duplicate }, plan.append_delay)
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.appends.pass().await;
        fault
    }

    pub(super) async fn before_reply(&self) {
        self.replies.pass().await;
    }

    /// `room`: of which is read, if of one.
    pub(super) async fn before_read(&self, room: Option<&RoomName>) -> Result<(), LogError> {
        self.reads.pass().await;
        let errors = &mut self.plan.lock().read_errors;
        let Some(at) = errors.iter().position(|(of, _)| of.is_none() || of.as_ref() == room) else {
            return Ok(());
        };
        errors.remove(at).map_or(Ok(()), |(_, error)| Err(error))
    }
}

impl Held {
    fn of(gate: &Arc<Gate>) -> Self {
        gate.holders.send_modify(|holders| *holders += 1);
        Self { gate: Arc::clone(gate) }
    }

    /// Waits until at least `count` calls stand at the gate.
    pub async fn arrived(&self, count: usize) {
        let mut waiting = self.gate.waiting.subscribe();
        // The gate lives as long as `self`, so its sender does.
        let _ = waiting.wait_for(|waiting| *waiting >= count).await;
    }

    /// How many calls stand at the gate.
    #[must_use]
    pub fn waiting(&self) -> usize {
        *self.gate.waiting.borrow()
    }

    /// Lets them go on. Dropping does the same.
    pub fn release(self) {}
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.holders.send_modify(|holders| *holders -= 1);
    }
}

impl Gate {
    fn new() -> Self {
        Self { holders: watch::Sender::new(0), waiting: watch::Sender::new(0) }
    }

    async fn pass(&self) {
        /// Counts out a call that goes on, or whose future is dropped.
        struct Waiting<'a>(&'a Gate);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.waiting.send_modify(|waiting| *waiting -= 1);
            }
        }

        let mut holders = self.holders.subscribe();
        if *holders.borrow() == 0 {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waiting = Waiting(self);
        // The sender is `self`, so it does not end.
        let _ = holders.wait_for(|holders| *holders == 0).await;
    }
}

fn take_one(count: &mut usize) -> bool {
    let some = *count > 0;
    *count -= usize::from(some);
    some
}

fn rewrite_bytes(stored: Option<&mut Bytes>, change: impl FnOnce(&mut Vec<u8>)) -> bool {
    let Some(stored) = stored else { return false };
    let mut bytes = stored.to_vec();
    change(&mut bytes);
    *stored = Bytes::from(bytes);
    true
}

fn spoil(bytes: &mut Vec<u8>, damage: Damage) -> bool {
    match damage {
        Damage::FlipBit(bit) if bit / 8 < bytes.len() => bytes[bit / 8] ^= 1 << (bit % 8),
        Damage::Truncate(len) if len < bytes.len() => bytes.truncate(len),
        _ => return false,
    }
    true
}
