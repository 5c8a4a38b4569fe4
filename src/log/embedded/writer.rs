//! The one thread that writes: it takes all appends that wait, commits them with one sync, and
//! answers. There is no timer: the longer a commit takes, the more the next one carries.
//!
//! A commit is a frame of the journal. What does not fit there, or comes while the journal has
//! failed, goes to the database itself (`direct`), after everything that the journal has (`settle`); so does
//! everything that is no append (`altering`).

mod altering;
mod direct;
mod settle;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::Options;
use super::changes::Change;
use super::directory::Directory;
use super::journal::{Journal, Unwritten};
use super::mover::Mover;
use super::reads::Reads;
use super::removals::Freeing;
use super::stage::Stage;
use super::store::Failure;
use crate::clock::Clock;
use crate::ids::RoomName;
use crate::limits::{EMBEDDED_COMMIT_BATCHES_MAX, EMBEDDED_COMMIT_BYTES_MAX};
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
    /// A move has ended, or some time has passed while the journal has something.
    Beat,
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

/// Why a transaction was not committed, and whether it may have been after all.
pub(super) struct Abort {
    pub(super) failure: Failure,
    pub(super) in_doubt: bool,
}

/// See the module.
pub(super) struct Writer {
    pub(super) reads: Reads,
    directory: Directory,
    journal: Journal,
    mover: Mover,
    queue: mpsc::Receiver<Command>,
    /// Came from the queue, and waits for what came before it.
    next: Option<Command>,
    /// Changes that wait until nothing is moved.
    waiting: Vec<Box<dyn Change>>,
    /// The journal was moved for those.
    moved_ahead: bool,
    clock: Clock,
    /// See [`super::changes::Moment`].
    process: u64,
    /// What is to be freed.
    pub(super) freeing: Freeing,
    /// The journal is moved after so long without an append.
    idle: Duration,
    appended_at: Instant,
    /// After a failure: when to try again, and how long to wait after the next one.
    retry: Option<Retry>,
    /// When to try again to make a failed file of the journal anew.
    renew_at: Instant,
    /// Records of some rooms cannot be moved, as the database is damaged there. They stay where
    /// they are, and so does the journal: all appends go to the database.
    stuck: bool,
}

/// What is said to those whose room is in the journal for ever.
const STUCK: &str = "records of some rooms cannot be moved into the damaged database";

struct Retry {
    at: Instant,
    delay: Duration,
    /// The disk was full: ask it for space before the database does, which would have to be opened
    /// again after each refusal.
    full: bool,
}

impl Writer {
    pub(super) fn new(
        reads: Reads,
        directory: Directory,
        journal: Journal,
        mover: Mover,
        queue: mpsc::Receiver<Command>,
        process: u64,
        options: &Options,
    ) -> Self {
        let now = Instant::now();
        Self {
            reads,
            directory,
            journal,
            mover,
            queue,
            next: None,
            waiting: Vec::new(),
            moved_ahead: false,
            clock: options.clock.clone(),
            process,
            freeing: Freeing::new(options.free_entries),
            idle: options.journal_idle,
            appended_at: now,
            retry: None,
            renew_at: now,
            stuck: false,
        }
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
        self.make_changes_now();
        self.finish();
        self.reads.store.set_state(Err(super::closed()));
        while let Ok(command) = self.queue.try_recv() {
            match command {
                Command::Append(request) => answer(request, Err(super::closed())),
                Command::Change(change) => change.answer(Err(super::closed())),
                Command::Close(reply) => closing.push(reply),
                Command::Reopen { .. } | Command::Check | Command::Beat => {}
            }
        }
        drop(self.mover);
        self.reads.store.close();
        drop(self.directory);
        for reply in closing {
            // Whoever asked may have gone.
            let _ = reply.send(());
        }
    }

    /// The next command. Changes that waited are made before it; while there is none, what is to go is freed.
    fn next_command(&mut self) -> Option<Command> {
        if let Some(command) = self.next.take() {
            return Some(command);
        }
        loop {
            self.poll_move();
            self.make_changes();
            // The database takes one transaction at a time.
            let works = self.retry.is_none() && !self.mover.is_under_way();
            if works && self.freeing.is_overdue() {
                self.free();
            }
            match self.queue.try_recv() {
                Ok(command) => return Some(command),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if works && self.freeing.queued => self.free(),
                Err(TryRecvError::Empty) if works && self.freeing.may_shrink() => self.shrink(),
                Err(TryRecvError::Empty) => {
                    let compacts = works && self.freeing.may_compact(self.reads.store.disk.len());
                    if compacts && self.is_idle() {
                        self.compact(); // everybody waits for that
                    } else {
                        self.mover.want_beats(compacts);
                        return self.queue.blocking_recv();
                    }
                }
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
            }
            Command::Reopen { opening } => self.on_failed_read(opening),
            Command::Check => self.check(),
            Command::Beat => self.on_beat(),
            Command::Close(reply) => return ControlFlow::Break(reply),
        }
        ControlFlow::Continue(())
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

    /// Nothing was appended for a while.
    fn is_idle(&self) -> bool {
        self.appended_at.elapsed() >= self.idle
    }

    fn on_group(&mut self, group: Vec<Request>) {
        if let Err(error) = self.ready() {
            return refuse(group, &error);
        }
        self.appended_at = Instant::now();
        let bytes: usize = group.iter().map(Request::bytes).sum();
        if self.stuck || !self.journal.is_ready() || bytes > self.journal.capacity() {
            return self.direct(group);
        }
        self.journalled(group);
    }

    /// One frame, one write, one sync.
    fn journalled(&mut self, group: Vec<Request>) {
        let mut stage = Stage::new(&self.reads, (self.clock)());
        let mut answers = Vec::with_capacity(group.len());
        for request in &group {
            match stage.take(&request.room, &request.batch) {
                Ok(answer) => answers.push(answer),
                Err(failure) => {
                    drop(stage);
                    self.on_failure(&failure);
                    return refuse(group, &failure.into_log_error());
                }
            }
        }
        let staged = stage.finish();
        if !staged.frame.is_empty() {
            let len = staged.frame.len();
            if len > self.journal.capacity() {
                return self.direct(group);
            }
            if !self.journal.fits(len) && !self.waiting.is_empty() {
                // All wait for the other file anyway; the changes must not be put off by one move after the other.
                self.make_changes_now();
                return self.on_group(group);
            }
            if !self.journal.fits(len)
                && let Err(failure) = self.turn()
            {
                return match failure {
                    // Not this group's, and told when the move is tried again.
                    Failure::Damage(_) => self.direct(group),
                    failure => refuse(group, &failure.into_log_error()),
                };
            }
            match self.journal.append(staged.frame) {
                Ok((frame, sequence)) => {
                    self.reads.overlay.publish(sequence, frame, staged.entries, &staged.metas);
                }
                Err(unwritten) => return self.on_unwritten(group, unwritten),
            }
        }
        self.recovered();
        for (request, result) in group.into_iter().zip(answers) {
            answer(request, result);
        }
    }

    /// The journal failed under a group: what it has goes to the database, and the group behind it.
    fn on_unwritten(&mut self, group: Vec<Request>, unwritten: Unwritten) {
        let Unwritten { failure, in_doubt } = unwritten;
        tracing::warn!(?failure, in_doubt, "a commit failed in the journal");
        // Once that is done, the frame that failed is no news to anybody.
        if self.settle().is_ok() || (self.stuck && !in_doubt) {
            return self.direct(group);
        }
        let error = failure.into_log_error();
        refuse(group, &if in_doubt { LogError::Unknown(error.to_string()) } else { error });
    }
}

impl Request {
    fn bytes(&self) -> usize {
        self.batch.records.iter().map(|record| record.encoded.len()).sum()
    }
}

/// Whoever asked may have gone: the batch is stored all the same.
fn answer(request: Request, answer: Answer) {
    let _ = request.reply.send(answer);
}

fn refuse(group: Vec<Request>, error: &LogError) {
    for request in group {
        answer(request, Err(error.clone()));
    }
}
