//! The embedded store: a directory with a journal and a database, one process, one writing thread.
//!
//! A commit is a frame at the end of the journal: one write, one sync. Now and then another thread
//! moves what the journal has into the database. Readers see both as one log.
//!
//! In reading order: `writer` takes appends, `stage` decides positions and answers, `frame` and
//! `journal` write, `overlay` shows, `mover` moves, `reads` reads; `tables` is the database's
//! content, `store` its opening and failing, `disk` its file, `directory` what is around all that.
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

mod directory;
mod disk;
mod frame;
mod journal;
mod mover;
mod overlay;
mod reads;
mod stage;
mod store;
mod tables;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::clock::{Clock, system_clock};
use super::record::StoredRecord;
use super::{Appended, Batch, Durability, Head, Log, LogError, check_batch};
use crate::ids::{InstanceId, RoomName};
use crate::limits::{
    EMBEDDED_CACHE_BYTES, EMBEDDED_JOURNAL_BYTES, EMBEDDED_JOURNAL_IDLE_MS, EMBEDDED_QUEUE_MAX,
    EMBEDDED_QUICK_REPAIR_BYTES, EMBEDDED_READS_MAX,
};
use directory::Directory;
pub use directory::OpenError;
pub use disk::{DiskHook, DiskOperation};
use journal::Journal;
use mover::Mover;
use overlay::{Layer, Overlay};
use reads::{Looked, Reads};
use store::{Failure, OpenMode, Store};
use tables::{Moved, RoomMeta};
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
        let reads = Reads { store, overlay: Arc::new(Overlay::default()) };
        let journal = open_journal(&directory, &reads, &options)?;
        directory.complete()?;
        let (queue, commands) = mpsc::channel(EMBEDDED_QUEUE_MAX);
        let thread_failed = |source| OpenError::Io { path: dir.to_path_buf(), source };
        let mover =
            Mover::start(reads.clone(), queue.downgrade(), options.journal_idle).map_err(thread_failed)?;
        let mut writer = Writer::new(reads.clone(), directory, journal, mover, commands, &options);
        writer.take_up();
        let thread = std::thread::Builder::new().name("ruang-log".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(thread_failed)?;
        Ok(Self {
            reads,
            queue: Some(queue),
            writer: Mutex::new(Some(writer)),
            readers: Arc::new(Semaphore::new(EMBEDDED_READS_MAX)),
        })
    }

    async fn command(&self, command: Command) -> Result<(), LogError> {
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(command).await.map_err(|_| closed())
    }

    /// Runs a look at the store on the blocking pool.
    async fn reading<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reads) -> Looked<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(|_| closed())?;
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

/// Makes the journal if there is none yet; else takes up what the database does not have.
fn open_journal(directory: &Directory, reads: &Reads, options: &Options) -> Result<Journal, OpenError> {
    let damaged = |why: String| OpenError::Damaged { path: directory.database(), why };
    let moved = match reads.moved().map_err(|failure| unusable(directory, failure))? {
        Moved::Through(moved) => moved,
        Moved::Never if !directory.has_journal() => 0,
        Moved::Never | Moved::Damaged => {
            return Err(damaged("what it has of the journal is not known".to_owned()));
        }
    };
    if !directory.has_journal() {
        // From now on the database says so: a journal without that would be damage.
        mover::mark_moved(&reads.store, moved).map_err(|failure| unusable(directory, failure))?;
        return Journal::create(directory.journals(), options.journal_bytes, options.disk.clone(), moved);
    }
    let (journal, found) = Journal::open(directory.journals(), options.disk.clone(), moved)?;
    if found.through > moved {
        let mut layer = Layer::empty(moved);
        for frame in found.frames {
            // A meta that cannot be read is met again when the room is moved, and told then.
            let meta = |room: &RoomName| match reads.meta(room) {
                Ok(Ok(Some(meta))) => meta,
                _ => RoomMeta::new(0),
            };
            layer.add(frame.sequence, frame.bytes, frame.entries.unwrap_or_default(), meta);
        }
        layer.through = found.through;
        reads.overlay.load(layer);
    }
    Ok(journal)
}

fn unusable(directory: &Directory, failure: Failure) -> OpenError {
    let path = directory.database();
    match failure {
        Failure::Damage(why) => OpenError::Damaged { path, why },
        Failure::Full(why) | Failure::Disk(why) => OpenError::Io { path, source: std::io::Error::other(why) },
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

    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    async fn health(&self) -> Result<(), LogError> {
        let state = self.reads.store.state();
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

fn closed() -> LogError {
    LogError::Fatal("the log is closed".to_owned())
}
