//! Moving what stands in the journal into the database, sorted by room, on a thread of its own, so
//! that appends go on meanwhile in the other file.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::Error as RedbError;
use tokio::sync::mpsc::WeakSender;

use super::overlay::Layer;
use super::reads::Reads;
use super::store::{Failure, Store, panic_text};
use super::tables::{Moved, Tables};
use super::writer::Command;
use crate::ids::RoomName;

type End = Result<(), Failure>;

/// The writer's side of the thread.
pub(super) struct Mover {
    /// `None` at the end.
    jobs: Option<Sender<Vec<Arc<Layer>>>>,
    ends: Receiver<End>,
    under_way: bool,
    /// See [`Mover::want_beats`].
    wanted: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// Starts the thread. It tells the writer through `queue` when a move has ended, and every
    /// `beat` while there is something in the active layer, or the writer wants it.
    pub(super) fn start(reads: Reads, queue: WeakSender<Command>, beat: Duration) -> io::Result<Self> {
        let (jobs, todo) = channel::<Vec<Arc<Layer>>>();
        let (done, ends) = channel();
        let wanted = Arc::new(AtomicBool::new(false));
        let beats = Arc::clone(&wanted);
        let run = move || {
            loop {
                match todo.recv_timeout(beat) {
                    Ok(layers) => {
                        let through = layers.last().map_or(0, |layer| layer.through);
                        let end = move_layers(&reads.store, &layers, None);
                        if end.is_ok() {
                            reads.overlay.clear(through);
                        }
                        drop(layers);
                        if done.send(end).is_err() {
                            return;
                        }
                    }
                    Err(RecvTimeoutError::Timeout)
                        if reads.overlay.is_quiet() && !beats.load(Ordering::Relaxed) =>
                    {
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                // A full queue keeps the writer awake anyway.
                if let Some(queue) = queue.upgrade() {
                    let _ = queue.try_send(Command::Beat);
                }
            }
        };
        let thread = std::thread::Builder::new().name("ruang-log-move".to_owned()).spawn(run)?;
        Ok(Self { jobs: Some(jobs), ends, under_way: false, wanted, thread: Some(thread) })
    }

    /// Gives it layers to move. Only one move is under way at a time.
    pub(super) fn begin(&mut self, layers: Vec<Arc<Layer>>) {
        assert!(!self.under_way, "a move is under way");
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(layers).is_ok());
        self.under_way = sent;
    }

    /// Whether the writer is to be told the time also while there is nothing to be moved.
    pub(super) fn want_beats(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// How the move ended, if one has since this was last asked.
    pub(super) fn poll(&mut self) -> End {
        if !self.under_way {
            return Ok(());
        }
        match self.ends.try_recv() {
            Ok(end) => {
                self.under_way = false;
                end
            }
            Err(_) => Ok(()),
        }
    }

    /// Waits for the move under way.
    pub(super) fn wait(&mut self) -> End {
        if !std::mem::take(&mut self.under_way) {
            return Ok(());
        }
        self.ends.recv().unwrap_or_else(|_| Err(Failure::Disk("the moving thread ended".to_owned())))
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

/// Says what the database has of the journal: before there is one.
pub(super) fn mark_moved(store: &Store, through: u64) -> End {
    move_layers(store, &[Arc::new(Layer::empty(through))], None)
}

/// Moves layers, oldest first, in one transaction; only these rooms, if they are given, and then
/// the journal stays as it is. What has been moved is left alone, so it may be repeated.
pub(super) fn move_layers(store: &Store, layers: &[Arc<Layer>], only: Option<&[RoomName]>) -> End {
    let moved = catch_unwind(AssertUnwindSafe(|| transact(store, layers, only)));
    match moved {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => Err(store.failure(&error)),
        Err(panic) => Err(Failure::Damage(panic_text(&*panic))),
    }
}

fn transact(store: &Store, layers: &[Arc<Layer>], only: Option<&[RoomName]>) -> Result<End, RedbError> {
    let Some(transaction) = store.begin_write()? else {
        return Ok(Err(Failure::Disk("it is being opened again".to_owned())));
    };
    let through = layers.last().map_or(0, |layer| layer.through);
    let mut tables = Tables::open(&transaction)?;
    match tables.moved()? {
        Moved::Through(moved) if moved >= through => {
            drop(tables);
            transaction.abort()?;
            return Ok(Ok(()));
        }
        Moved::Through(_) | Moved::Never => {}
        Moved::Damaged => {
            return Ok(Err(Failure::Damage("what it has of the journal is not known".to_owned())));
        }
    }
    let all: BTreeSet<&RoomName> = match only {
        Some(rooms) => rooms.iter().collect(),
        None => layers.iter().flat_map(|layer| layer.rooms()).collect(),
    };
    for room in all {
        let Some(newest) = layers.iter().rev().find_map(|layer| layer.meta(room)) else { continue };
        let records = layers.iter().flat_map(|layer| layer.records(room, 0));
        if let Err(why) = tables.put(room, newest, records)? {
            return Ok(Err(Failure::Damage(why.to_string())));
        }
    }
    if only.is_none() {
        tables.set_moved(through)?;
    }
    drop(tables);
    transaction.commit()?;
    Ok(Ok(()))
}
