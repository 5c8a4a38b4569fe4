//! What waits for one receiver. Pure: the time is an argument, in milliseconds of a steady clock.
//!
//! Invariants:
//! - Of one room one notice is under way at a time, the oldest; rooms do not wait for each other.
//! - Of the changes of a room at most one waits behind what is under way: a newer one takes its place, and keeps its
//!   time.
//! - There are never more than [`WEBHOOK_QUEUE_MAX`] notices. Changes leave the last quarter to the others: they
//!   come again.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::notice::{Kind, Notice};
use super::settings::WebhookOptions;
use crate::clock::in_ms;
use crate::ids::RoomName;
use crate::limits::{WEBHOOK_QUEUE_MAX, WEBHOOK_REST_MS_MAX};

/// How fast to tell, and to try again.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Changes of a room are told this long after the first of them.
    debounce_ms: u64,
    /// From one try to the next; after the last one a notice is dropped.
    waits_ms: Vec<u64>,
    /// How long a receiver is left alone after a first failure; twice as long after each further one.
    rest_ms: u64,
}

impl Pace {
    pub(super) fn of(options: &WebhookOptions) -> Self {
        Self {
            debounce_ms: in_ms(options.debounce),
            waits_ms: options.waits.iter().copied().map(in_ms).collect(),
            rest_ms: in_ms(options.rest),
        }
    }
}

pub(super) struct Queue {
    pace: Pace,
    rooms: HashMap<RoomName, VecDeque<Waiting>>,
    /// Rooms whose oldest notice is not under way, by when that is due; numbered, so that who is due at the same time
    /// comes in order.
    due: BTreeSet<(u64, u64, RoomName)>,
    number: u64,
    len: usize,
    /// The receiver is left alone until then.
    rests_until_ms: u64,
    failures: u32,
    /// Nothing waits for company any more.
    hurries: bool,
}

struct Waiting {
    notice: Notice,
    not_before_ms: u64,
    tries: usize,
    is_under_way: bool,
}

/// What became of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// The receiver wants nothing of it, now or later.
    Unwanted,
    /// It may work later, not before so many milliseconds, if the receiver has said so.
    Failed {
        after_ms: Option<u64>,
    },
}

impl Queue {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            rooms: HashMap::new(),
            due: BTreeSet::new(),
            number: 0,
            len: 0,
            rests_until_ms: 0,
            failures: 0,
            hurries: false,
        }
    }

    /// How many wait or are under way.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes a notice. False if it finds no place.
    pub(super) fn push(&mut self, notice: Notice, now_ms: u64) -> bool {
        let is_change = notice.kind == Kind::Changed;
        if is_change
            && let Some(waiting) = self.rooms.get_mut(&notice.room).and_then(VecDeque::back_mut)
            && waiting.notice.kind == Kind::Changed
            && !waiting.is_under_way
        {
            waiting.notice = notice;
            return true;
        }
        let places = if is_change { WEBHOOK_QUEUE_MAX / 4 * 3 } else { WEBHOOK_QUEUE_MAX };
        if self.len >= places {
            return false;
        }
        let not_before_ms = if is_change { now_ms.saturating_add(self.pace.debounce_ms) } else { now_ms };
        let room = notice.room.clone();
        let of_room = self.rooms.entry(room.clone()).or_default();
        of_room.push_back(Waiting { notice, not_before_ms, tries: 0, is_under_way: false });
        self.len += 1;
        if of_room.len() == 1 {
            self.schedule(room, not_before_ms);
        }
        true
    }

    fn schedule(&mut self, room: RoomName, due_ms: u64) {
        self.number += 1;
        self.due.insert((due_ms, self.number, room));
    }

    /// The next notice that is due: it is under way until [`Queue::done`].
    pub(super) fn take(&mut self, now_ms: u64) -> Option<Notice> {
        if now_ms < self.rests_until_ms && !self.hurries {
            return None;
        }
        let (due_ms, ..) = self.due.first()?;
        if *due_ms > now_ms && !self.hurries {
            return None;
        }
        let (_, _, room) = self.due.pop_first()?;
        let waiting = self.rooms.get_mut(&room)?.front_mut()?;
        waiting.is_under_way = true;
        Some(waiting.notice.clone())
    }

    /// When to ask again, if anything waits.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, ..)| if self.hurries { 0 } else { (*due_ms).max(self.rests_until_ms) })
    }

    /// What became of the notice of a room that was under way. `spread`: 0 to 1, at random, so that many that failed
    /// together do not come together. Returns whether it is dropped.
    pub(super) fn done(&mut self, room: &RoomName, outcome: Outcome, now_ms: u64, spread: f64) -> bool {
        let Some(of_room) = self.rooms.get_mut(room) else { return false };
        let Some(waiting) = of_room.front_mut().filter(|waiting| waiting.is_under_way) else { return false };
        waiting.is_under_way = false;
        waiting.tries += 1;
        let wait_ms = self.pace.waits_ms.get(waiting.tries - 1).copied().filter(|_| !self.hurries);
        if let Outcome::Failed { after_ms } = outcome {
            self.failures = self.failures.saturating_add(1);
            let rest_ms = self.pace.rest_ms.saturating_mul(1 << (self.failures - 1).min(20));
            let rest_ms = spread_out(rest_ms.max(after_ms.unwrap_or(0)), spread).min(WEBHOOK_REST_MS_MAX);
            self.rests_until_ms = self.rests_until_ms.max(now_ms.saturating_add(rest_ms));
            if let Some(wait_ms) = wait_ms {
                let due_ms = now_ms.saturating_add(spread_out(wait_ms, spread));
                self.schedule(room.clone(), due_ms);
                return false;
            }
        } else {
            // What another try was told to wait still holds.
            self.failures = 0;
        }
        of_room.pop_front();
        self.len -= 1;
        match of_room.front().map(|next| next.not_before_ms) {
            Some(not_before_ms) => self.schedule(room.clone(), not_before_ms.max(now_ms)),
            None => drop(self.rooms.remove(room)),
        }
        outcome != Outcome::Taken
    }

    /// From now on everything is due, and tried once.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }
}

/// From all of a time to half as much again: never earlier than the time given.
fn spread_out(ms: u64, spread: f64) -> u64 {
    ms.saturating_add((ms as f64 * spread / 2.0) as u64)
}

#[cfg(test)]
mod tests;
