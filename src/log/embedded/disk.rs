//! The database file as redb uses it, watched.
//!
//! redb remembers that an operation failed, not why, and asks to be opened again. So this keeps
//! the reason, and what was written since the last successful sync: when a sync fails, the system
//! may call those pages clean although the disk never got them, and what the cache then shows
//! would be gone after a power cut. They are written once more before the file is trusted again.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// An operation on the database file, or on a file of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskOperation<'a> {
    /// Bytes are about to be read.
    Read {
        /// From the start of the file.
        offset: u64,
        /// How many.
        len: usize,
    },
    /// Bytes are about to be written at an offset.
    Write {
        /// From the start of the file.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// The file is about to get another length.
    SetLen(u64),
    /// Everything written is about to be synced.
    Sync,
    /// A file of the journal is about to be read.
    JournalRead {
        /// Which one.
        file: usize,
    },
    /// Bytes are about to be written to a file of the journal, or to one that is to replace it.
    JournalWrite {
        /// Which one.
        file: usize,
        /// From the start of the file.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// Everything written to a file of the journal is about to be synced.
    JournalSync {
        /// Which one.
        file: usize,
    },
    /// A new file of the journal stands in the place of the old one, and the directory is about to be synced.
    JournalDirectorySync {
        /// Which one.
        file: usize,
    },
}

impl DiskOperation<'_> {
    /// Whether what was written is about to be synced.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        matches!(self, Self::Sync | Self::JournalSync { .. })
    }
}

/// Asked before each operation on the files: an error is what the operation fails with.
/// It may wait. For tests of full, failing and slow disks.
pub type DiskHook = Arc<dyn Fn(DiskOperation<'_>) -> io::Result<()> + Send + Sync>;

/// redb's header fills the first page.
const HEADER_BYTES: u64 = 4_096;

/// Why the last operation failed.
#[derive(Debug, Clone)]
pub(super) struct DiskFailure {
    pub(super) full: bool,
    pub(super) why: String,
}

/// What outlives one opening of the file.
#[derive(Default)]
pub(super) struct DiskState {
    /// The first failure since it was last taken.
    failure: Mutex<Option<DiskFailure>>,
    /// Offset and length of what was written since the last successful sync.
    unsynced: Mutex<Vec<(u64, usize)>>,
    /// Writes to the file's first page, failed ones too.
    header_writes: AtomicU64,
    /// Bytes of the file.
    len: AtomicU64,
}

/// The file, between redb and the system.
pub(super) struct Disk {
    file: FileBackend,
    state: Arc<DiskState>,
    hook: Option<DiskHook>,
}

/// Whether the system says that there is no space, or that we may not use more.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl DiskState {
    /// Why the disk failed, if it did since this was last asked.
    pub(super) fn take_failure(&self) -> Option<DiskFailure> {
        self.failure.lock().take()
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Counts the writes of the header. A transaction is committed by one: without one since it
    /// began, it is not.
    pub(super) fn header_writes(&self) -> u64 {
        self.header_writes.load(Ordering::Relaxed)
    }

    fn note(&self, error: &io::Error) {
        let failure = || DiskFailure { full: is_full(error), why: error.to_string() };
        self.failure.lock().get_or_insert_with(failure);
    }
}

impl Disk {
    /// Opens the file, or makes it if asked to; first repeats what a failed sync may have lost.
    pub(super) fn open(
        path: &Path,
        create: bool,
        state: &Arc<DiskState>,
        hook: Option<DiskHook>,
    ) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path)?;
        state.len.store(file.metadata()?.len(), Ordering::Relaxed);
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        let disk = Self { file, state: Arc::clone(state), hook };
        disk.repeat_unsynced()?;
        Ok(disk)
    }

    fn repeat_unsynced(&self) -> io::Result<()> {
        let unsynced = self.state.unsynced.lock().clone();
        if unsynced.is_empty() {
            return Ok(());
        }
        let file_len = self.file.len()?;
        for (offset, len) in unsynced {
            // A write that failed may have left the file shorter.
            if offset.saturating_add(len as u64) <= file_len {
                let mut data = vec![0; len];
                self.file.read(offset, &mut data)?;
                self.write(offset, &data)?;
            }
        }
        self.sync_data()
    }

    fn ask(&self, operation: DiskOperation<'_>) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(operation))
    }

    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.state.note(error))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.noted(self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let asked = self.ask(DiskOperation::Read { offset, len: out.len() });
        self.noted(asked.and_then(|()| self.file.read(offset, out)))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noted(self.ask(DiskOperation::SetLen(len)).and_then(|()| self.file.set_len(len)))?;
        self.state.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.noted(self.ask(DiskOperation::Sync).and_then(|()| self.file.sync_data()))?;
        self.state.unsynced.lock().clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset < HEADER_BYTES {
            self.state.header_writes.fetch_add(1, Ordering::Relaxed);
        }
        let asked = self.ask(DiskOperation::Write { offset, data });
        self.noted(asked.and_then(|()| self.file.write(offset, data)))?;
        self.state.unsynced.lock().push((offset, data.len()));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}
