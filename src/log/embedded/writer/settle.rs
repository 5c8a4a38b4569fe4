//! Getting everything into the database, and going on after failures.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Abort, Retry, Writer};
use crate::ids::RoomName;
use crate::limits::{EMBEDDED_JOURNAL_RETRY_MS, EMBEDDED_RETRY_MS_MAX, EMBEDDED_RETRY_MS_MIN};
use crate::log::LogError;
use crate::log::embedded::mover::move_layers;
use crate::log::embedded::store::{Failure, OpenMode};

const RETRY: Duration = Duration::from_millis(EMBEDDED_RETRY_MS_MIN);
const RETRY_MAX: Duration = Duration::from_millis(EMBEDDED_RETRY_MS_MAX);
const RENEW: Duration = Duration::from_millis(EMBEDDED_JOURNAL_RETRY_MS);

impl Writer {
    /// Moves everything that the journal has into the database. After `Ok` the overlay is empty
    /// until the next append: what changes the database on this thread otherwise than by appends
    /// calls this first, and then sees, and leaves, the whole truth.
    ///
    /// # Errors
    /// Nothing is lost; it is tried again when [`Writer::ready`] says so. [`Failure::Damage`] if
    /// some rooms cannot be moved.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        if self.stuck {
            return Err(Failure::Damage("records of some rooms cannot be moved into it".to_owned()));
        }
        self.wait_for_move()?;
        let store = &self.reads.store;
        let overlay = &self.reads.overlay;
        let through = self.journal.through();
        if !overlay.is_quiet() || !self.journal.is_ready() {
            overlay.freeze(through); // also a frame that failed, so that it is no news after this
        }
        let layers = overlay.frozen();
        if !layers.is_empty() {
            match move_layers(store, &layers, None) {
                Ok(()) => overlay.clear(through),
                Err(failure) => {
                    self.on_failure(&failure);
                    if !matches!(failure, Failure::Damage(_)) {
                        return Err(failure);
                    }
                    self.divide(&failure)?;
                }
            }
        }
        self.renew_at = Instant::now();
        self.renew();
        Ok(())
    }

    /// The damage of one room must not keep the others in the journal: moves them in halves, and in
    /// the end one by one.
    fn divide(&mut self, failure: &Failure) -> Result<(), Failure> {
        let overlay = std::sync::Arc::clone(&self.reads.overlay);
        let layers = overlay.frozen();
        let rooms: BTreeSet<RoomName> = layers.iter().flat_map(|layer| layer.rooms()).cloned().collect();
        let mut parts: Vec<Vec<RoomName>> = vec![rooms.into_iter().collect()];
        let mut stuck = BTreeSet::new();
        while let Some(mut part) = parts.pop() {
            match move_layers(&self.reads.store, &layers, Some(&part)) {
                Ok(()) => {}
                Err(failure) => {
                    self.on_failure(&failure);
                    if !matches!(failure, Failure::Damage(_)) {
                        return Err(failure);
                    }
                    if part.len() > 1 {
                        parts.push(part.split_off(part.len() / 2));
                        parts.push(part);
                    } else {
                        stuck.extend(part);
                    }
                }
            }
        }
        overlay.keep_only(&stuck);
        if stuck.is_empty() {
            // Only the journal's end is left to be told.
            let end = move_layers(&self.reads.store, &layers, None);
            end.inspect(|()| overlay.clear(self.journal.through()))
                .inspect_err(|failure| self.on_failure(failure))
        } else {
            tracing::error!(
                rooms = stuck.len(),
                ?failure,
                "the database is damaged: records of some rooms stay in the journal; restore a backup"
            );
            self.stuck = true;
            Err(failure.clone())
        }
    }

    /// Goes on in the other file of the journal, and has the filled one moved; waits while that is
    /// still going on in the other.
    pub(super) fn turn(&mut self) -> Result<(), Failure> {
        self.wait_for_move()?;
        self.reads.overlay.freeze(self.journal.through());
        self.journal.turn();
        self.mover.begin(self.reads.overlay.frozen());
        Ok(())
    }

    /// Waits for the move under way.
    pub(super) fn wait_for_move(&mut self) -> Result<(), Failure> {
        self.mover.wait().inspect_err(|failure| self.on_failure(failure))
    }

    /// Takes note of a move that has ended.
    pub(super) fn poll_move(&mut self) {
        if let Err(failure) = self.mover.poll() {
            self.on_failure(&failure);
        }
    }

    /// Makes the journal ready again, once everything is moved. Appends go to the database until
    /// that succeeds.
    fn renew(&mut self) {
        if self.journal.is_ready() && self.reads.overlay.is_empty() {
            self.journal.rewind();
            return;
        }
        if Instant::now() < self.renew_at {
            return;
        }
        self.renew_at = Instant::now() + RENEW;
        if let Err(error) = self.journal.restart() {
            tracing::warn!(%error, "the journal could not be made anew");
        }
    }

    /// At the start: moves what was found in the journal. A disk that does not let us is met again
    /// by the first append; reading goes on.
    pub(in crate::log::embedded) fn take_up(&mut self) {
        let _ = self.settle();
    }

    /// At the end: the same. What cannot be moved is there at the next start.
    pub(super) fn finish(&mut self) {
        if !self.reads.overlay.is_empty() && !self.stuck && self.reads.store.opening().is_some() {
            let _ = self.settle();
        }
    }

    /// Whether to try: after a failure not before it is time, and with space in sight.
    pub(super) fn ready(&mut self) -> Result<(), LogError> {
        self.poll_move();
        if let Some(retry) = &self.retry {
            if Instant::now() < retry.at {
                return Err(self.reads.store.absent());
            }
            if retry.full
                && let Err(error) = self.directory.probe()
            {
                self.fail(&Failure::Full(error.to_string()));
                return Err(self.reads.store.absent());
            }
            if self.reads.store.opening().is_none() {
                self.try_reopen();
            }
        }
        if self.reads.store.opening().is_none() {
            return Err(self.reads.store.absent());
        }
        if self.is_unsettled() {
            match self.settle() {
                Ok(()) => self.recovered(),
                Err(_) if self.stuck => {}
                Err(_) => return Err(self.reads.store.absent()),
            }
        } else if !self.journal.is_ready() && !self.stuck {
            self.renew();
        }
        Ok(())
    }

    /// Whether there is something to be moved that nobody moves.
    fn is_unsettled(&self) -> bool {
        let overlay = &self.reads.overlay;
        let waiting = !overlay.frozen().is_empty() || (!self.journal.is_ready() && !overlay.is_empty());
        waiting && !self.mover.is_under_way() && !self.stuck
    }

    /// The next append decides whether a failure is over; until then, this is what is known.
    pub(super) fn check(&mut self) {
        if self.retry.is_some() && self.ready().is_ok() {
            self.reads.store.set_state(Ok(()));
        }
    }

    pub(super) fn on_beat(&mut self) {
        self.poll_move();
        if self.retry.is_some() || self.is_unsettled() {
            return self.check();
        }
        if self.is_idle()
            && self.journal.is_ready()
            && !self.reads.overlay.is_quiet()
            && !self.mover.is_under_way()
        {
            // A failure is told by the state of the store.
            let _ = self.turn();
        }
    }

    /// A read failed in that opening of the database.
    pub(super) fn on_failed_read(&mut self, opening: u64) {
        // Nothing may be opened under its feet. If it failed too, that is met again.
        let _ = self.mover.wait();
        if self.reads.store.opening() == Some(opening) {
            self.on_failure(&Failure::Disk("a read failed".to_owned()));
        }
    }

    /// Opens the database again: after a failure it does not work otherwise.
    pub(super) fn on_failure(&mut self, failure: &Failure) {
        tracing::warn!(?failure, "the database is opened again");
        self.reads.store.close();
        self.fail(failure);
        self.try_reopen();
        // Damage belongs to some room: the others need not wait.
        if matches!(failure, Failure::Damage(_)) && self.reads.store.opening().is_some() {
            self.recovered();
        }
    }

    /// The same after a transaction that failed. What callers are told if nothing was stored, and whether it was for
    /// damage.
    pub(in crate::log::embedded) fn open_again(&mut self, abort: Abort) -> (LogError, bool) {
        if abort.in_doubt {
            tracing::warn!("what was committed last may be stored or not");
        }
        self.on_failure(&abort.failure);
        let damage = matches!(abort.failure, Failure::Damage(_));
        (abort.failure.into_log_error(), damage)
    }

    /// Notes a failure and when to try again.
    fn fail(&mut self, failure: &Failure) {
        let delay = self.retry.as_ref().map_or(RETRY, |retry| retry.delay);
        self.retry = Some(Retry {
            at: Instant::now() + delay,
            delay: (delay * 2).min(RETRY_MAX),
            full: matches!(failure, Failure::Full(_)),
        });
        self.reads.store.set_state(Err(match failure.clone().into_log_error() {
            // The store goes on: only the room that met the damage is refused for ever.
            LogError::Fatal(why) => LogError::Unavailable(why),
            error => error,
        }));
    }

    pub(super) fn recovered(&mut self) {
        self.freeing.on_commit();
        if self.retry.take().is_some() {
            tracing::info!("the store takes appends again");
            self.reads.store.set_state(Ok(()));
        }
    }

    fn try_reopen(&mut self) {
        if let Err(error) = self.reads.store.open(&self.directory.database(), OpenMode::Existing) {
            tracing::warn!(%error, "the store could not be opened again");
        }
        // What failed while opening must not explain a later failure.
        let _ = self.reads.store.disk.take_failure();
    }
}
