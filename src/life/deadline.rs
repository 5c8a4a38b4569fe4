//! When a room may go: every decision about it, for an open room ([`Touches`]) and for those that
//! are closed ([`Sweeps`]). Pure: times are arguments.
//!
//! Two clocks. The *wall* clock is the store's, deadlines are in it, and it may jump. The *steady*
//! clock never jumps: how long something has been is asked of it. Times are milliseconds.

use std::collections::HashMap;

use crate::ids::RoomName;
use crate::limits::{
    CLOCK_JUMP_MS_MIN, EXPIRY_WARNING_MS, EXPIRY_WARNING_PERIOD_MS, LEAVE_TOUCHES_MAX, SWEEP_DUE_MAX,
    SWEEPS_APART_MS, TOUCH_MS, TOUCH_SLACK_MS,
};
use crate::log::Head;

/// What time it is, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since 1970.
    pub wall_ms: u64,
    /// Since some moment of this process.
    pub steady_ms: u64,
}

/// How long until a deadline, and none once it has passed.
pub(crate) fn left_ms(deadline_ms: u64, wall_ms: u64) -> u64 {
    deadline_ms.saturating_sub(wall_ms)
}

/// Whether a room that has so long left is about to go.
pub(crate) fn is_expiring(left_ms: u64) -> bool {
    left_ms <= EXPIRY_WARNING_MS
}

/// Whether a session that was warned at `before` is warned again.
pub(crate) fn may_warn(before_ms: Option<u64>, steady_ms: u64) -> bool {
    before_ms.is_none_or(|before_ms| steady_ms >= before_ms.saturating_add(EXPIRY_WARNING_PERIOD_MS))
}

/// The deadline of one open room, as far as it is known here. All times are steady.
#[derive(Debug)]
pub(crate) struct Touches {
    ttl_ms: Option<u64>,
    /// A room with sessions is touched from then on.
    due_ms: u64,
    /// When the deadline was last set from here, by a touch or an append.
    set_ms: Option<u64>,
    /// When the room may go. `None`: never, or not known yet.
    goes_ms: Option<u64>,
    /// The last leave, until it is in the deadline or given up.
    leave: Option<Leave>,
}

#[derive(Debug, Clone, Copy)]
struct Leave {
    at_ms: u64,
    tries_left: u32,
}

impl Touches {
    /// A room that was just loaded. `ttl_ms`: how long it lives after each touch; `None`: for ever.
    pub(crate) fn new(ttl_ms: Option<u64>, now_ms: u64) -> Self {
        Self { ttl_ms, due_ms: now_ms, set_ms: None, goes_ms: None, leave: None }
    }

    /// Whether to touch the room at this beat.
    pub(crate) fn is_due(&self, now_ms: u64, has_sessions: bool) -> bool {
        self.owes() || has_sessions && self.due_ms <= now_ms
    }

    /// Whether a last leave is not in the deadline yet, and worth another try.
    pub(crate) fn owes(&self) -> bool {
        self.leave.is_some()
    }

    /// The deadline was set to `at_ms` plus the room's life, by a touch or by an append.
    pub(crate) fn on_set(&mut self, at_ms: u64) {
        let set_ms = self.set_ms.unwrap_or(0).max(at_ms);
        self.set_ms = Some(set_ms);
        self.goes_ms = self.ttl_ms.map(|ttl_ms| set_ms.saturating_add(ttl_ms));
        self.due_ms = set_ms.saturating_add(self.period_ms());
        if self.leave.is_some_and(|leave| self.is_covered(leave.at_ms)) {
            self.leave = None;
        }
    }

    /// The last session has left: the deadline counts from now.
    pub(crate) fn on_last_leave(&mut self, now_ms: u64) {
        if !self.is_covered(now_ms) {
            self.leave = Some(Leave { at_ms: now_ms, tries_left: LEAVE_TOUCHES_MAX });
        }
    }

    /// A touch has failed. `again`: it may work with the next beat. `left_ms`: how long the room has
    /// by the deadline that is in the store, if there is one and it could be read.
    pub(crate) fn on_failed(&mut self, now_ms: u64, again: bool, left_ms: Option<u64>) {
        if !again {
            self.due_ms = now_ms.saturating_add(self.period_ms());
        }
        self.leave = self
            .leave
            .filter(|leave| again && leave.tries_left > 1)
            .map(|leave| Leave { tries_left: leave.tries_left - 1, ..leave });
        if let Some(left_ms) = left_ms {
            self.goes_ms = Some(now_ms.saturating_add(left_ms));
        }
    }

    /// How long the room has, if that is worth a warning.
    pub(crate) fn warning(&self, now_ms: u64) -> Option<u64> {
        let left_ms = self.goes_ms?.saturating_sub(now_ms);
        is_expiring(left_ms).then_some(left_ms)
    }

    /// Whether the room's time is over, as far as it is known.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        self.goes_ms.is_some_and(|goes_ms| goes_ms <= now_ms)
    }

    /// Whether the deadline that stands counts from `at_ms`, near enough. A room that lives for
    /// ever has no deadline once it was touched.
    fn is_covered(&self, at_ms: u64) -> bool {
        let slack_ms = self.ttl_ms.map_or(u64::MAX, |ttl_ms| TOUCH_SLACK_MS.min(ttl_ms / 64));
        self.set_ms.is_some_and(|set_ms| set_ms.saturating_add(slack_ms) >= at_ms)
    }

    fn period_ms(&self) -> u64 {
        self.ttl_ms.map_or(u64::MAX, |ttl_ms| TOUCH_MS.min(ttl_ms / 4))
    }
}

/// Which rooms a sweeper may remove.
///
/// A room goes if its deadline has passed by the wall clock in two sweeps in a row, some time apart
/// by the steady clock, and if its newest record is as old. Nothing goes within `grace_ms` of the
/// start, nor within one life of a room after the wall clock has jumped, in either direction: by
/// then each deadline that still stands was either set that long ago, or by the clock as it runs now.
#[derive(Debug)]
pub(crate) struct Sweeps {
    /// How long rooms live; `None`: nothing ever goes.
    ttl_ms: Option<u64>,
    /// By the steady clock: nothing goes before.
    grace_until_ms: u64,
    /// The same, since a jump.
    suspended_until_ms: u64,
    /// What the wall clock is expected to be ahead of the steady one.
    offset_ms: i128,
    /// Counts sweeps.
    sweep: u64,
    /// Rooms that were found past their deadline.
    due: HashMap<RoomName, Due>,
}

#[derive(Debug)]
struct Due {
    deadline_ms: u64,
    /// By the steady clock.
    since_ms: u64,
    /// The newest sweep that found it.
    sweep: u64,
}

impl Sweeps {
    pub(crate) fn new(ttl_ms: Option<u64>, grace_ms: u64, now: Now) -> Self {
        Self {
            ttl_ms,
            grace_until_ms: now.steady_ms.saturating_add(grace_ms),
            suspended_until_ms: 0,
            offset_ms: offset_ms(now),
            sweep: 0,
            due: HashMap::new(),
        }
    }

    /// Compares the clocks. Returns by how much the wall clock has jumped, if it has: then no room
    /// goes for as long as a room lives, and none that was found before counts as found.
    pub(crate) fn on_clock(&mut self, now: Now) -> Option<i128> {
        let jump_ms = offset_ms(now) - self.offset_ms;
        if jump_ms.unsigned_abs() < u128::from(CLOCK_JUMP_MS_MIN) {
            return None;
        }
        self.offset_ms = offset_ms(now);
        self.suspended_until_ms = now.steady_ms.saturating_add(self.ttl_ms.unwrap_or(0));
        self.due.clear();
        Some(jump_ms)
    }

    /// Whether a jump keeps everything alive now.
    pub(crate) fn is_suspended(&self, steady_ms: u64) -> bool {
        steady_ms < self.suspended_until_ms
    }

    /// Begins a sweep: rooms that the one before did not find due are forgotten.
    pub(crate) fn begin(&mut self) {
        let before = self.sweep;
        self.due.retain(|_, due| due.sweep == before);
        self.due.shrink_to(2 * self.due.len());
        self.sweep += 1;
    }

    /// Looks at a closed room. Returns its deadline if the room may go now.
    pub(crate) fn on_closed(&mut self, room: &RoomName, head: &Head, now: Now) -> Option<u64> {
        let deadline_ms = head.deadline_ms.filter(|_| self.has_passed(head, now));
        let Some(deadline_ms) = deadline_ms else {
            self.due.remove(room);
            return None;
        };
        if self.due.len() >= SWEEP_DUE_MAX && !self.due.contains_key(room) {
            return None;
        }
        let found = Due { deadline_ms, since_ms: now.steady_ms, sweep: self.sweep };
        let due = self.due.entry(room.clone()).or_insert(found);
        if due.deadline_ms != deadline_ms {
            (due.deadline_ms, due.since_ms) = (deadline_ms, now.steady_ms);
        }
        due.sweep = self.sweep;
        let twice = now.steady_ms >= due.since_ms.saturating_add(SWEEPS_APART_MS);
        let allowed = now.steady_ms >= self.grace_until_ms && !self.is_suspended(now.steady_ms);
        (twice && allowed).then_some(deadline_ms)
    }

    /// A room is open here, or gone: it is not on its way out.
    pub(crate) fn forget(&mut self, room: &RoomName) {
        self.due.remove(room);
    }

    /// Whether both the deadline and the newest record say that the room is over. The record's time
    /// never goes back within a room: a deadline that was set by a clock which ran behind is seen
    /// through.
    fn has_passed(&self, head: &Head, now: Now) -> bool {
        let Some(ttl_ms) = self.ttl_ms else { return false };
        let passed = |deadline_ms: u64| deadline_ms <= now.wall_ms;
        head.deadline_ms.is_some_and(passed) && passed(head.last.ms.saturating_add(ttl_ms))
    }
}

fn offset_ms(now: Now) -> i128 {
    i128::from(now.wall_ms) - i128::from(now.steady_ms)
}

#[cfg(test)]
mod tests;
