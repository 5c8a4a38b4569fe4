//! The embedded store: a directory with one database file, one process, one writing thread.
//!
//! Invariants:
//! - An append is answered with `Ok` after the sync of the transaction that holds it, never before.
//! - The directory stays locked from open to close, also while the database is opened again.
//! - A room that nobody reads or writes costs no memory here.

mod changes;
mod directory;
mod disk;
mod life;
mod removals;
mod rooms;
mod snapshots;
mod store;
mod tables;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use redb::{Error as RedbError, ReadTransaction};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::check::{check_batch, check_chunk};
use super::clock::{Clock, system_clock};
use super::record::StoredRecord;
use super::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};
use crate::ids::{InstanceId, RoomName};
use crate::limits::{
    EMBEDDED_CACHE_BYTES, EMBEDDED_FREE_ENTRIES_MAX, EMBEDDED_QUEUE_MAX, EMBEDDED_QUICK_REPAIR_BYTES,
    EMBEDDED_READS_MAX,
};
use changes::{ChangeTables, Moment, Stop};
use directory::Directory;
pub use directory::OpenError;
pub use disk::{DiskHook, DiskOperation};
use removals::Freeing;
use store::{Failure, OpenMode, Store};
use writer::{Command, Request, Writer};

/// See the module.
pub struct EmbeddedLog {
    store: Arc<Store>,
    /// `None` once this is being dropped: the writer ends with its queue.
    queue: Option<mpsc::Sender<Command>>,
    /// Waited for when this is dropped, so that the directory is free afterwards.
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Bounds the threads that read.
    reads: Arc<Semaphore>,
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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: system_clock(),
            disk: None,
            quick_repair_bytes: EMBEDDED_QUICK_REPAIR_BYTES,
            cache_bytes: EMBEDDED_CACHE_BYTES,
            free_entries: EMBEDDED_FREE_ENTRIES_MAX,
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
        directory.complete()?;
        let (queue, commands) = mpsc::channel(EMBEDDED_QUEUE_MAX);
        let (clock, process) = (options.clock, rand::random());
        let freeing = Freeing::new(options.free_entries);
        let writer =
            Writer::new(Arc::clone(&store), directory, commands, Arc::clone(&clock), process, freeing);
        let thread = std::thread::Builder::new().name("ruang-log".to_owned());
        let writer = thread
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: dir.to_path_buf(), source })?;
        Ok(Self {
            store,
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
            reads: Arc::new(Semaphore::new(EMBEDDED_READS_MAX)),
            clock,
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
        bytes: usize,
        change: impl FnMut(&mut ChangeTables<'_>) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, LogError> {
        let (change, answer) = changes::asked(bytes, change);
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

    /// Runs a look at the database on the blocking pool.
    async fn reading<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<Result<T, LogError>, RedbError> + Send + 'static,
    ) -> Result<T, LogError> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| closed())?;
        if self.store.state().is_err() {
            self.ask_for_opening();
        }
        let store = Arc::clone(&self.store);
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            store.reading(look)
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
        self.reading(move |transaction| tables::head(transaction, &room)).await
    }

    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        let room = room.clone();
        self.reading(move |transaction| tables::read(transaction, &room, after, count_max)).await
    }

    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError> {
        let after = after.cloned();
        self.reading(move |transaction| tables::room_names(transaction, after.as_ref(), count_max)).await
    }

    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        check_chunk(index, &bytes)?;
        let (room, len) = (room.clone(), bytes.len());
        self.change(len, move |tables| snapshots::put_chunk(tables, &room, upload, index, &bytes)).await
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        let room = room.clone();
        let moment = Moment { now_ms: (self.clock)(), process: self.process };
        self.reading(move |transaction| snapshots::chunk(transaction, moment, &room, upload, index)).await
    }

    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        let room = room.clone();
        self.change(0, move |tables| snapshots::adopt(tables, &room, &adoption)).await
    }

    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        let room = room.clone();
        self.change(0, move |tables| snapshots::trim(tables, &room, through)).await
    }

    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        let room = room.clone();
        self.change(0, move |tables| life::touch(tables, &room, ttl_ms)).await
    }

    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        let room = room.clone();
        self.change(0, move |tables| life::freeze(tables, &room, frozen)).await
    }

    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        let room = room.clone();
        self.change(0, move |tables| life::expire(tables, &room, deadline_ms)).await
    }

    async fn delete(&self, room: &RoomName) -> Result<bool, LogError> {
        let room = room.clone();
        self.change(0, move |tables| life::delete(tables, &room)).await
    }

    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        let room = room.clone();
        self.reading(move |transaction| life::tombstone(transaction, &room)).await
    }

    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    async fn health(&self) -> Result<(), LogError> {
        let state = self.store.state();
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
