//! The embedded store: a directory with one database file, one process, one writing thread.
//!
//! Invariants:
//! - An append is answered with `Ok` after the sync of the transaction that holds it, never before.
//! - The directory stays locked from open to close, also while the database is opened again.
//! - A room that nobody reads or writes costs no memory here.

mod directory;
mod disk;
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

use super::clock::{Clock, system_clock};
use super::record::StoredRecord;
use super::{
    Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId, check_batch,
};
use crate::ids::{InstanceId, RoomName};
use crate::limits::{
    EMBEDDED_CACHE_BYTES, EMBEDDED_QUEUE_MAX, EMBEDDED_QUICK_REPAIR_BYTES, EMBEDDED_READS_MAX,
};
use directory::Directory;
pub use directory::OpenError;
pub use disk::{DiskHook, DiskOperation};
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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: system_clock(),
            disk: None,
            quick_repair_bytes: EMBEDDED_QUICK_REPAIR_BYTES,
            cache_bytes: EMBEDDED_CACHE_BYTES,
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
        let writer = Writer::new(Arc::clone(&store), directory, commands, options.clock);
        let thread = std::thread::Builder::new().name("ruang-log".to_owned());
        let writer = thread
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: dir.to_path_buf(), source })?;
        Ok(Self {
            store,
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
            reads: Arc::new(Semaphore::new(EMBEDDED_READS_MAX)),
        })
    }

    async fn command(&self, command: Command) -> Result<(), LogError> {
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(command).await.map_err(|_| closed())
    }

    /// Runs a look at the database on the blocking pool.
    async fn reading<T: Send + 'static>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<Result<T, LogError>, RedbError> + Send + 'static,
    ) -> Result<T, LogError> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| closed())?;
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
        let meta = self.reading(move |transaction| tables::room_meta(transaction, &room)).await?;
        Ok(meta.map(|meta| meta.head()))
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

    async fn put_chunk(&self, _: &RoomName, _: UploadId, _: u32, _: Bytes) -> Result<(), LogError> {
        Err(no_snapshots())
    }

    async fn chunk(&self, _: &RoomName, _: UploadId, _: u32) -> Result<Option<Bytes>, LogError> {
        Err(no_snapshots())
    }

    async fn adopt(&self, _: &RoomName, _: Adoption) -> Result<Adopted, LogError> {
        Err(no_snapshots())
    }

    async fn trim(&self, _: &RoomName, _: u64) -> Result<u64, LogError> {
        Err(no_snapshots())
    }

    async fn touch(&self, _: &RoomName, _: Option<u64>) -> Result<(), LogError> {
        Err(no_snapshots())
    }

    async fn freeze(&self, _: &RoomName, _: bool) -> Result<bool, LogError> {
        Err(no_snapshots())
    }

    async fn expire(&self, _: &RoomName, _: u64) -> Result<bool, LogError> {
        Err(no_snapshots())
    }

    async fn delete(&self, _: &RoomName) -> Result<bool, LogError> {
        Err(no_snapshots())
    }

    async fn tombstone(&self, _: &RoomName) -> Result<Option<Tombstone>, LogError> {
        Ok(None)
    }

    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    async fn health(&self) -> Result<(), LogError> {
        let state = self.store.state();
        if state.is_err()
            && let Some(queue) = &self.queue
        {
            // The next question gets the answer. A queue that is full of appends finds out itself.
            let _ = queue.try_send(Command::Check);
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

fn no_snapshots() -> LogError {
    LogError::Fatal("the embedded store keeps no snapshots yet".to_owned())
}

fn closed() -> LogError {
    LogError::Fatal("the log is closed".to_owned())
}
