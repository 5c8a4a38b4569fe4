//! The one thread that writes: it takes all appends that wait, commits them with one sync, and
//! answers. There is no timer: the longer a commit takes, the more the next one carries.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::Error as RedbError;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::changes::Change;
use super::directory::Directory;
use super::removals::Freeing;
use super::store::{Failure, OpenMode, Store, panic_text};
use super::tables::{self, Tables};
use crate::ids::RoomName;
use crate::limits::{
    EMBEDDED_COMMIT_BATCHES_MAX, EMBEDDED_COMMIT_BYTES_MAX, EMBEDDED_RETRY_MS_MAX, EMBEDDED_RETRY_MS_MIN,
};
use crate::log::clock::Clock;
use crate::log::{Appended, Batch, LogError};

/// What the thread is asked.
pub(super) enum Command {
    Append(Request),
    /// Anything else that changes the store.
    Change(Box<dyn Change>),
    /// A reader met a failing disk: redb works again only after it was opened again. Nothing to do
    /// if it has been, since the opening that the reader saw.
    Reopen {
        opening: u64,
    },
    /// Somebody asked a store that had failed: see whether it works again.
    Check,
    /// The end, once what came before is done.
    Close(oneshot::Sender<()>),
}

/// One append that waits for its answer.
pub(super) struct Request {
    pub(super) room: RoomName,
    pub(super) batch: Batch,
    pub(super) reply: oneshot::Sender<Answer>,
}

type Answer = Result<Appended, LogError>;

/// Why a group was not committed, and whether it may have been after all.
pub(super) struct Abort {
    pub(super) failure: Failure,
    pub(super) in_doubt: bool,
}

/// See the module.
pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    directory: Directory,
    queue: mpsc::Receiver<Command>,
    /// Came from the queue, and waits for what came before it.
    next: Option<Command>,
    pub(super) clock: Clock,
    /// See [`super::changes::Moment`].
    pub(super) process: u64,
    /// What is to be freed.
    pub(super) freeing: Freeing,
    /// After a failure: when to try again, and how long to wait after the next one.
    retry: Option<Retry>,
}

struct Retry {
    at: Instant,
    delay: Duration,
    /// The disk was full: ask it for space before the database does, which would have to be opened
    /// again after each refusal.
    full: bool,
}

impl Writer {
    pub(super) fn new(
        store: Arc<Store>,
        directory: Directory,
        queue: mpsc::Receiver<Command>,
        clock: Clock,
        process: u64,
        freeing: Freeing,
    ) -> Self {
        Self { store, directory, queue, next: None, clock, process, freeing, retry: None }
    }

    /// Runs until it is told to close, or until every handle is gone.
    pub(super) fn run(mut self) {
        let mut closing = Vec::new();
        while let Some(command) = self.next_command() {
            if let ControlFlow::Break(reply) = self.on_command(command) {
                closing.push(reply);
                break;
            }
        }
        self.queue.close();
        self.store.set_state(Err(super::closed()));
        while let Ok(command) = self.queue.try_recv() {
            match command {
                Command::Append(request) => answer(request, Err(super::closed())),
                Command::Change(change) => change.answer(Err(super::closed())),
                Command::Close(reply) => closing.push(reply),
                Command::Reopen { .. } | Command::Check => {}
            }
        }
        self.store.close();
        drop(self.directory);
        for reply in closing {
            // Whoever asked may have gone.
            let _ = reply.send(());
        }
    }

    /// The next command. While there is none, what is to go is freed.
    fn next_command(&mut self) -> Option<Command> {
        if let Some(command) = self.next.take() {
            return Some(command);
        }
        loop {
            let works = self.retry.is_none();
            if works && self.freeing.is_overdue() {
                self.free();
            }
            match self.queue.try_recv() {
                Ok(command) => return Some(command),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if works && self.freeing.queued => self.free(),
                Err(TryRecvError::Empty) if works && self.freeing.may_shrink() => self.shrink(),
                Err(TryRecvError::Empty) if works && self.freeing.may_compact(self.store.disk.len()) => {
                    self.compact();
                }
                Err(TryRecvError::Empty) => return self.queue.blocking_recv(),
            }
        }
    }

    fn on_command(&mut self, command: Command) -> ControlFlow<oneshot::Sender<()>> {
        match command {
            Command::Append(_) | Command::Change(_) => {
                let (group, changes) = self.gather(command);
                if !group.is_empty() {
                    self.on_group(group);
                }
                if !changes.is_empty() {
                    self.on_changes(changes);
                }
                ControlFlow::Continue(())
            }
            Command::Reopen { opening } => {
                if self.store.opening() == Some(opening) {
                    self.store.close();
                    self.fail(&Failure::Disk("a read failed".to_owned()));
                    self.try_reopen();
                }
                ControlFlow::Continue(())
            }
            Command::Check => {
                // The next append decides whether it is over; until then, this is what is known.
                if self.retry.is_some() && self.ready().is_ok() {
                    self.store.set_state(Ok(()));
                }
                ControlFlow::Continue(())
            }
            Command::Close(reply) => ControlFlow::Break(reply),
        }
    }

    /// Everything that waits, up to the bounds of one commit or to the next other command, appends and changes
    /// apart: nobody has been answered, so each order is as good.
    fn gather(&mut self, first: Command) -> (Vec<Request>, Vec<Box<dyn Change>>) {
        let (mut group, mut changes, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Append(request) => {
                    bytes += request.bytes();
                    group.push(request);
                }
                Command::Change(change) => {
                    bytes += change.bytes();
                    changes.push(change);
                }
                other => {
                    self.next = Some(other);
                    break;
                }
            }
            let full = group.len() + changes.len() >= EMBEDDED_COMMIT_BATCHES_MAX;
            next = if full || bytes >= EMBEDDED_COMMIT_BYTES_MAX { None } else { self.queue.try_recv().ok() };
        }
        (group, changes)
    }

    fn on_group(&mut self, group: Vec<Request>) {
        if let Err(error) = self.ready() {
            for request in group {
                answer(request, Err(error.clone()));
            }
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

    /// Whether to try: after a failure not before it is time, and with space in sight.
    pub(super) fn ready(&mut self) -> Result<(), LogError> {
        let Some(retry) = &self.retry else { return Ok(()) };
        if Instant::now() < retry.at {
            return Err(self.store.absent());
        }
        if retry.full
            && let Err(error) = self.directory.probe()
        {
            self.fail(&Failure::Full(error.to_string()));
            return Err(self.store.absent());
        }
        if self.store.opening().is_none() {
            self.try_reopen();
        }
        if self.store.opening().is_some() { Ok(()) } else { Err(self.store.absent()) }
    }

    /// One transaction, one sync.
    fn commit(&self, group: &[Request]) -> Result<Vec<Answer>, Abort> {
        let headers_before = self.store.disk.header_writes();
        let committed = catch_unwind(AssertUnwindSafe(|| self.transact(group)));
        let failure = match committed {
            Ok(Ok(Some(answers))) => return Ok(answers),
            Ok(Ok(None)) => Failure::Disk("it is being opened again".to_owned()),
            Ok(Err(error)) => self.store.failure(&error),
            Err(panic) => Failure::Damage(panic_text(&*panic)),
        };
        Err(Abort { failure, in_doubt: self.store.disk.header_writes() != headers_before })
    }

    fn transact(&self, group: &[Request]) -> Result<Option<Vec<Answer>>, RedbError> {
        let Some(transaction) = self.store.begin_write()? else { return Ok(None) };
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
                Some(None) if shared_damage => self.on_group(vec![request]),
                None if in_doubt => answer(request, Err(LogError::Unknown(not_stored.to_string()))),
                Some(None) | None => answer(request, Err(not_stored.clone())),
            }
        }
    }

    /// Opens the database again after a transaction that failed. What callers are told if nothing was
    /// stored, and whether it was for damage.
    pub(super) fn open_again(&mut self, abort: Abort) -> (LogError, bool) {
        tracing::warn!(failure = ?abort.failure, in_doubt = abort.in_doubt, "a commit failed");
        self.store.close();
        self.fail(&abort.failure);
        self.try_reopen();
        let damage = matches!(abort.failure, Failure::Damage(_));
        if damage && self.store.opening().is_some() {
            self.recovered();
        }
        (abort.failure.into_log_error(), damage)
    }

    /// What the database says of a batch: stored, not stored; `None` if it cannot be asked.
    fn look_for(&self, request: &Request) -> Option<Option<Appended>> {
        let found =
            self.store.reading(|transaction| tables::find_batch(transaction, &request.room, &request.batch));
        let found = found.ok()?.ok()?;
        Some(found.map(|appended| Appended { duplicate: false, ..appended }))
    }

    /// Notes a failure and when to try again.
    fn fail(&mut self, failure: &Failure) {
        let delay = self.retry.as_ref().map_or(EMBEDDED_RETRY, |retry| retry.delay);
        self.retry = Some(Retry {
            at: Instant::now() + delay,
            delay: (delay * 2).min(EMBEDDED_RETRY_MAX),
            full: matches!(failure, Failure::Full(_)),
        });
        self.store.set_state(Err(match failure.clone().into_log_error() {
            // The store goes on: only the room that met the damage is refused for ever.
            LogError::Fatal(why) => LogError::Unavailable(why),
            error => error,
        }));
    }

    pub(super) fn recovered(&mut self) {
        self.freeing.on_commit();
        if self.retry.take().is_some() {
            tracing::info!("the store takes appends again");
            self.store.set_state(Ok(()));
        }
    }

    fn try_reopen(&mut self) {
        if let Err(error) = self.store.open(&self.directory.database(), OpenMode::Existing) {
            tracing::warn!(%error, "the store could not be opened again");
        }
        // What failed while opening must not explain a later failure.
        let _ = self.store.disk.take_failure();
    }
}

const EMBEDDED_RETRY: Duration = Duration::from_millis(EMBEDDED_RETRY_MS_MIN);
const EMBEDDED_RETRY_MAX: Duration = Duration::from_millis(EMBEDDED_RETRY_MS_MAX);

impl Request {
    fn bytes(&self) -> usize {
        self.batch.records.iter().map(|record| record.encoded.len()).sum()
    }
}

/// Whoever asked may have gone: the batch is stored all the same.
fn answer(request: Request, answer: Answer) {
    let _ = request.reply.send(answer);
}
