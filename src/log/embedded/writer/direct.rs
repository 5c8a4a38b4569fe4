//! Commits in the database itself: large ones, and those for which there is no journal.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::Error as RedbError;

use super::{Abort, Answer, Request, STUCK, Writer, answer, refuse};
use crate::log::embedded::store::{Failure, panic_text};
use crate::log::embedded::tables::{self, Tables};
use crate::log::{Appended, LogError};

impl Writer {
    /// Commits a group in the database, behind everything that the journal has.
    pub(super) fn direct(&mut self, group: Vec<Request>) {
        if !self.stuck
            && !self.reads.overlay.is_empty()
            && let Err(failure) = self.settle()
            && !self.stuck
        {
            return refuse(group, &failure.into_log_error());
        }
        let (stuck, group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|request| self.reads.overlay.has_room(&request.room));
        refuse(stuck, &LogError::Fatal(STUCK.to_owned()));
        if group.is_empty() {
            return;
        }
        match self.commit(&group) {
            Ok(answers) => {
                self.recovered();
                for (request, result) in group.into_iter().zip(answers) {
                    answer(request, result);
                }
            }
            Err(abort) => self.on_abort(group, abort),
        }
    }

    /// One transaction, one sync.
    fn commit(&self, group: &[Request]) -> Result<Vec<Answer>, Abort> {
        let headers_before = self.reads.store.disk.header_writes();
        let committed = catch_unwind(AssertUnwindSafe(|| self.transact(group)));
        let failure = match committed {
            Ok(Ok(Some(answers))) => return Ok(answers),
            Ok(Ok(None)) => Failure::Disk("it is being opened again".to_owned()),
            Ok(Err(error)) => self.reads.store.failure(&error),
            Err(panic) => Failure::Damage(panic_text(&*panic)),
        };
        Err(Abort { failure, in_doubt: self.reads.store.disk.header_writes() != headers_before })
    }

    fn transact(&self, group: &[Request]) -> Result<Option<Vec<Answer>>, RedbError> {
        let Some(transaction) = self.reads.store.begin_write()? else { return Ok(None) };
        let now_ms = (self.clock)();
        let mut tables = Tables::open(&transaction)?;
        let mut answers = Vec::with_capacity(group.len());
        for request in group {
            answers.push(tables.append(&request.room, &request.batch, now_ms)?);
        }
        drop(tables);
        let stored = answers.iter().any(|answer| matches!(answer, Ok(appended) if !appended.duplicate));
        if stored {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok(Some(answers))
    }

    /// The transaction failed. Opens the database again, and looks there for what was stored.
    fn on_abort(&mut self, group: Vec<Request>, abort: Abort) {
        let in_doubt = abort.in_doubt;
        let (not_stored, damage) = self.open_again(abort);
        // Damage belongs to one room of the group: the others must be stored without it, and need
        // not wait.
        let shared_damage = damage && group.len() > 1;
        let not_stored = match not_stored {
            LogError::Fatal(why) if shared_damage => LogError::Unavailable(why),
            error => error,
        };
        for request in group {
            match self.look_for(&request) {
                Some(Some(appended)) => answer(request, Ok(appended)),
                Some(None) if shared_damage => self.direct(vec![request]),
                None if in_doubt => answer(request, Err(LogError::Unknown(not_stored.to_string()))),
                Some(None) | None => answer(request, Err(not_stored.clone())),
            }
        }
    }

    /// What the database says of a batch: stored, not stored; `None` if it cannot be asked.
    fn look_for(&self, request: &Request) -> Option<Option<Appended>> {
        let found = self
            .reads
            .store
            .reading(|transaction| tables::find_batch(transaction, &request.room, &request.batch));
        let found = found.ok()?.ok()?;
        Some(found.map(|appended| Appended { duplicate: false, ..appended }))
    }
}
