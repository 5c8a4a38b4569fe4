//! Making the changes that wait, in the database.
//!
//! A change sees the whole truth: what the journal has is moved before. So that appends need not wait for that, a filled
//! journal is moved by the other thread while appends go on in the other file; what came meanwhile is little, and is
//! moved on this thread right before the changes. All that wait share one commit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Error as RedbError;

use super::{Abort, STUCK, Writer};
use crate::limits::{EMBEDDED_CHANGES_BYTES_MAX, EMBEDDED_QUEUE_MAX, EMBEDDED_SETTLE_BYTES};
use crate::log::LogError;
use crate::log::embedded::changes::{self, Change, ChangeTables, Moment, Scope};
use crate::log::embedded::store::{Failure, panic_text};

impl Writer {
    pub(super) fn on_changes(&mut self, changes: Vec<Box<dyn Change>>) {
        self.waiting.extend(changes);
        self.make_changes();
    }

    /// Makes the changes that wait, but not while records are moved: the end of that brings us here again.
    pub(super) fn make_changes(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if let Err(error) = self.ready() {
            return refuse(std::mem::take(&mut self.waiting), &error);
        }
        let bytes: usize = self.waiting.iter().map(|change| change.bytes()).sum();
        let crowded = bytes >= EMBEDDED_CHANGES_BYTES_MAX || self.waiting.len() >= EMBEDDED_QUEUE_MAX;
        if !crowded {
            if self.mover.is_under_way() {
                return;
            }
            let much = self.journal.is_ready() && self.journal.used() > EMBEDDED_SETTLE_BYTES;
            // Once for these changes: what comes meanwhile must not put them off again.
            if much && !self.moved_ahead && !self.stuck && self.need_settling() && self.turn().is_ok() {
                self.moved_ahead = true;
                return;
            }
        }
        self.make_changes_now();
    }

    /// The same, and waits for what is in the way.
    pub(super) fn make_changes_now(&mut self) {
        self.moved_ahead = false;
        if self.waiting.is_empty() {
            return;
        }
        if let Err(error) = self.ready() {
            return refuse(std::mem::take(&mut self.waiting), &error);
        }
        // One transaction at a time, and nothing may be opened again under a move.
        let settled = if self.need_settling() { self.settle() } else { self.wait_for_move() };
        let mut group = std::mem::take(&mut self.waiting);
        if let Err(failure) = settled
            && !self.stuck
        {
            return refuse(group, &failure.into_log_error());
        }
        if self.stuck {
            // A room that went now would come back with what the journal still has of it.
            let overlay = &self.reads.overlay;
            let held = |change: &mut Box<dyn Change>| {
                change.scope() == Scope::Removal || overlay.has_room(change.room())
            };
            refuse(group.extract_if(.., held).collect(), &LogError::Fatal(STUCK.to_owned()));
        }
        self.commit_changes(group);
    }

    /// Whether what the journal has must be moved before the changes that wait are made.
    fn need_settling(&self) -> bool {
        let overlay = &self.reads.overlay;
        let is_new = |change: &dyn Change| {
            overlay.has_room(change.room()) && !matches!(self.reads.meta(change.room()), Ok(Ok(Some(_))))
        };
        self.waiting.iter().any(|change| change.scope() != Scope::Upload || is_new(&**change))
    }

    fn commit_changes(&mut self, mut group: Vec<Box<dyn Change>>) {
        if group.is_empty() {
            return;
        }
        let applied = self.change(|tables| group.iter_mut().try_for_each(|change| change.apply(tables)));
        let (abort, count) = match applied {
            Ok(()) => {
                self.recovered();
                group.into_iter().for_each(|change| change.answer(Ok(())));
                return;
            }
            Err(failed) => failed,
        };
        let in_doubt = abort.in_doubt;
        let (not_done, damage) = self.open_again(abort);
        let landed = if in_doubt { self.counted(count) } else { Some(false) };
        match landed {
            Some(true) => group.into_iter().for_each(|change| change.answer(Ok(()))),
            // Damage belongs to one of them.
            Some(false) if damage && group.len() > 1 => {
                for change in group {
                    match self.ready() {
                        Ok(()) => self.commit_changes(vec![change]),
                        Err(error) => change.answer(Err(error)),
                    }
                }
            }
            Some(false) => refuse(group, &not_done),
            None => refuse(group, &LogError::Unknown(not_done.to_string())),
        }
    }

    /// Whether the commit of changes that counted to this is in the file; `None` if it cannot be asked.
    fn counted(&self, count: Option<u64>) -> Option<bool> {
        let found = self.reads.store.reading(|transaction| Ok(Ok(changes::counted(transaction)?)));
        Some(found.ok()?.ok()? == count && count.is_some())
    }

    /// One transaction, one sync, while nothing is moved. Every transaction of changes begins here. A failure
    /// comes with what the commit would have counted to.
    pub(in crate::log::embedded) fn change(
        &mut self,
        apply: impl FnOnce(&mut ChangeTables<'_>) -> Result<(), RedbError>,
    ) -> Result<(), (Abort, Option<u64>)> {
        let store = &self.reads.store;
        let headers_before = store.disk.header_writes();
        let moment = Moment { now_ms: (self.clock)(), process: self.process };
        let (mut count, mut queued) = (None, false);
        let committed = catch_unwind(AssertUnwindSafe(|| -> Result<bool, RedbError> {
            let Some(transaction) = store.begin_write()? else { return Ok(false) };
            let mut tables = ChangeTables::open(&transaction, moment)?;
            apply(&mut tables)?;
            queued = tables.queued;
            let changed = tables.changed;
            if changed {
                count = Some(tables.count()?);
            }
            drop(tables);
            if changed {
                transaction.commit()?
            } else {
                transaction.abort()?
            }
            Ok(true)
        }));
        let failure = match committed {
            Ok(Ok(true)) => {
                self.freeing.queued |= queued;
                return Ok(());
            }
            Ok(Ok(false)) => Failure::Disk("it is being opened again".to_owned()),
            Ok(Err(error)) => store.failure(&error),
            Err(panic) => Failure::Damage(panic_text(&*panic)),
        };
        // It may have landed.
        self.freeing.queued |= queued;
        Err((Abort { failure, in_doubt: store.disk.header_writes() != headers_before }, count))
    }
}

fn refuse(group: Vec<Box<dyn Change>>, error: &LogError) {
    group.into_iter().for_each(|change| change.answer(Err(error.clone())));
}
