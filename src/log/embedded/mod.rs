//! The embedded store: a directory with a journal and a database, one process, one writing thread.
//!
//! A commit is a frame at the end of the journal: one write, one sync. Now and then another thread
//! moves what the journal has into the database. Readers see both as one log.
//!
//! In reading order: `writer` takes appends, `stage` decides positions and answers, `frame` and
//! `journal` write, `overlay` shows, `mover` moves, `reads` reads, `opening` takes up what was left; `changes` is
//! everything that is no append: `snapshots`, `life`, and what goes with them, `removals`; `tables` and
//! `rooms` are the database's content, `notes` a file beside it, `store` its opening and failing, `disk` its file, `directory` what is around
//! all that.
//!
//! Invariants:
//! - An append is answered with `Ok` after the sync of the frame or transaction that holds it, never
//!   before.
//! - A frame of the journal is let go only when the transaction that moved it is synced, and the
//!   same transaction says so.
//! - What changes the database otherwise than by moving first settles the journal, so it sees the
//!   whole truth.
//! - The directory stays locked from open to close, also while the database is opened again.
//! - A room that nobody reads or writes costs no memory here, a moment later.

mod changes;
mod directory;
mod disk;
mod frame;
mod journal;
mod life;
mod mover;
mod notes;
mod opening;
mod overlay;
mod page;
mod reads;
mod removals;
mod rooms;
mod snapshots;
mod stage;
mod store;
mod tables;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::check::{check_batch, check_chunk};
use super::notes::Note;
use super::record::StoredRecord;
use super::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};
use crate::clock::{Clock, system_clock};
use crate::ids::{InstanceId, RoomName};
use crate::limits::{
    EMBEDDED_CACHE_BYTES, EMBEDDED_FREE_ENTRIES_MAX, EMBEDDED_JOURNAL_BYTES, EMBEDDED_JOURNAL_IDLE_MS,
    EMBEDDED_QUEUE_MAX, EMBEDDED_QUICK_REPAIR_BYTES, EMBEDDED_READS_MAX,
};
use changes::{ChangeTables, Moment, Scope, Stop};
use directory::Directory;
pub use directory::OpenError;
pub use disk::{DiskHook, DiskOperation};
use mover::Mover;
use notes::NoteFile;
use opening::open_journal;
use overlay::Overlay;
use reads::{Looked, Reads};
use store::{Failure, OpenMode, Store};
use writer::{Command, Request, Writer};

/// See the module.
pub struct EmbeddedLog {
    reads: Reads,
    /// `None` once this is being dropped: the writer ends with its queue.
    queue: Option<mpsc::Sender<Command>>,
    /// Waited for when this is dropped, so that the directory is free afterwards.
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Bounds the threads that read.
    readers: Arc<Semaphore>,
    notes: Arc<NoteFile>,
    clock: Clock,
    /// See [`Moment::process`].
    process: u64,
}

/// What tests and measurements replace.
#[derive(Clone)]
pub struct Options {
    /// Stamps positions.
    pub clock: Clock,
    /// Stands between the store and its file.
    pub disk: Option<DiskHook>,
    /// See [`EMBEDDED_QUICK_REPAIR_BYTES`].
    pub quick_repair_bytes: u64,
    /// See [`EMBEDDED_CACHE_BYTES`].
    pub cache_bytes: usize,
    /// See [`EMBEDDED_FREE_ENTRIES_MAX`].
    pub free_entries: usize,
    /// Of a new store; see [`EMBEDDED_JOURNAL_BYTES`].
    pub journal_bytes: usize,
    /// See [`EMBEDDED_JOURNAL_IDLE_MS`].
    pub journal_idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: system_clock(),
            disk: None,
            quick_repair_bytes: EMBEDDED_QUICK_REPAIR_BYTES,
            cache_bytes: EMBEDDED_CACHE_BYTES,
            free_entries: EMBEDDED_FREE_ENTRIES_MAX,
            journal_bytes: EMBEDDED_JOURNAL_BYTES,
            journal_idle: Duration::from_millis(EMBEDDED_JOURNAL_IDLE_MS),
        }
    }
}

impl EmbeddedLog {
    /// Opens the store in `dir`, or makes one if the directory is absent or empty. After a kill it
    /// may take seconds per gigabyte: call it before serving, not on a thread that serves.
    ///
    /// # Errors
    /// [`OpenError`] says in one line what is wrong. Nothing was changed in a directory that is not
    /// ours.
    pub fn open(dir: &Path, instance: InstanceId) -> Result<Self, OpenError> {
        Self::open_with(dir, instance, Options::default())
    }

    /// The same with a clock and a disk of one's own.
    ///
    /// # Errors
    /// As [`EmbeddedLog::open`].
    pub fn open_with(dir: &Path, instance: InstanceId, options: Options) -> Result<Self, OpenError> {
        let directory = Directory::claim(dir, instance)?;
        let store = Arc::new(Store::new(&options));
        let mode = if directory.existed() { OpenMode::Existing } else { OpenMode::Create };
        store.open(&directory.database(), mode)?;
        let notes = Arc::new(NoteFile::open(dir, system_clock()())?);
        let reads = Reads { store, overlay: Arc::new(Overlay::default()) };
        let journal = open_journal(&directory, &reads, &options)?;
        directory.complete()?;
        let (queue, commands) = mpsc::channel(EMBEDDED_QUEUE_MAX);
        let thread_failed = |source| OpenError::Io { path: dir.to_path_buf(), source };
        let mover =
            Mover::start(reads.clone(), queue.downgrade(), options.journal_idle).map_err(thread_failed)?;
        let process = rand::random();
        let mut writer = Writer::new(reads.clone(), directory, journal, mover, commands, process, &options);
        writer.take_up();
        let thread = std::thread::Builder::new().name("ruang-log".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(thread_failed)?;
        Ok(Self {
            reads,
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
            readers: Arc::new(Semaphore::new(EMBEDDED_READS_MAX)),
            notes,
            clock: options.clock,
            process,
        })
    }

    async fn command(&self, command: Command) -> Result<(), LogError> {
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(command).await.map_err(|_| closed())
    }

    /// Has the writing thread make a change that brings so many bytes.
    async fn change<T: Send + 'static>(
        &self,
        room: &RoomName,
        scope: Scope,
        bytes: usize,
        change: impl FnMut(&mut ChangeTables<'_>, &RoomName) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, LogError> {
        let (change, answer) = changes::asked(room.clone(), scope, bytes, change);
        self.command(Command::Change(change)).await?;
        answer.await.unwrap_or_else(|_| Err(LogError::Unknown("the writing thread ended".to_owned())))
    }

    /// Has the writing thread see whether a store that had failed works again. The next question gets the answer; a
    /// queue that is full of appends finds out itself.
    fn ask_for_opening(&self) {
        if let Some(queue) = &self.queue {
            let _ = queue.try_send(Command::Check);
        }
    }

    /// Runs a look at the store on the blocking pool.
    async fn reading<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reads) -> Looked<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| closed())?;
        if self.reads.store.state().is_err() {
            self.ask_for_opening();
        }
        let reads = self.reads.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            look(&reads)
        });
        match looked.await {
            Ok(Ok(answer)) => answer,
            Ok(Err((failure, opening))) => {
                if !matches!(failure, Failure::Damage(_)) {
                    self.command(Command::Reopen { opening }).await?;
                }
                Err(failure.into_log_error())
            }
            Err(error) => Err(LogError::Unavailable(error.to_string())),
        }
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        check_batch(&batch)?;
        let (reply, answer) = oneshot::channel();
        self.command(Command::Append(Request { room: room.clone(), batch, reply })).await?;
        answer.await.unwrap_or_else(|_| Err(LogError::Unknown("the writing thread ended".to_owned())))
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        let room = room.clone();
        self.reading(move |reads| reads.open(&room)).await
    }

    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        let room = room.clone();
        self.reading(move |reads| reads.read(&room, after, count_max)).await
    }

    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError> {
        let after = after.cloned();
        self.reading(move |reads| reads.rooms(after.as_ref(), count_max)).await
    }

    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        check_chunk(index, &bytes)?;
        let len = bytes.len();
        let put = move |tables: &mut ChangeTables<'_>, room: &RoomName| {
            snapshots::put_chunk(tables, room, upload, index, &bytes)
        };
        self.change(room, Scope::Upload, len, put).await
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        let room = room.clone();
        let moment = Moment { now_ms: (self.clock)(), process: self.process };
        let look = move |reads: &Reads| {
            reads.store.reading(|transaction| snapshots::chunk(transaction, moment, &room, upload, index))
        };
        self.reading(look).await
    }

    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        self.change(room, Scope::Room, 0, move |tables, room| snapshots::adopt(tables, room, &adoption)).await
    }

    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        self.change(room, Scope::Room, 0, move |tables, room| snapshots::trim(tables, room, through)).await
    }

    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        self.change(room, Scope::Room, 0, move |tables, room| life::touch(tables, room, ttl_ms)).await
    }

    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        self.change(room, Scope::Room, 0, move |tables, room| life::freeze(tables, room, frozen)).await
    }

    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        self.change(room, Scope::Removal, 0, move |tables, room| life::expire(tables, room, deadline_ms))
            .await
    }

    async fn delete(&self, room: &RoomName) -> Result<bool, LogError> {
        self.change(room, Scope::Removal, 0, life::delete).await
    }

    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        let room = room.clone();
        self.reading(move |reads| reads.store.reading(|transaction| life::tombstone(transaction, &room)))
            .await
    }

    async fn put_notes(&self, more: Vec<Note>) -> Result<(), LogError> {
        let notes = Arc::clone(&self.notes);
        let put = tokio::task::spawn_blocking(move || notes.put(more, system_clock()()));
        put.await.unwrap_or_else(|error| Err(LogError::Unknown(error.to_string())))
    }

    async fn notes(&self) -> Result<Vec<Note>, LogError> {
        Ok(self.notes.all(system_clock()()))
    }

    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    async fn health(&self) -> Result<(), LogError> {
        let state = self.reads.store.state();
        if state.is_err() {
            self.ask_for_opening();
        }
        state
    }

    async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.command(Command::Close(reply)).await.is_ok() {
            // An error means that the thread has ended, which is what we wait for.
            let _ = done.await;
        }
    }
}

impl Drop for EmbeddedLog {
    /// Waits for the commit under way.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.lock().take() {
            // A panic there was reported there; here it must not become an abort.
            let _ = writer.join();
        }
    }
}

fn closed() -> LogError {
    LogError::Fatal("the log is closed".to_owned())
}
