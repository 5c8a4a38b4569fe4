//! The database as the writer and the readers share it: open, or gone for a moment.
//!
//! redb latches its first I/O error: from then on everything fails until the file is opened again.
//! So the database sits in a slot from which the writer can take it while readers come and go;
//! a read under way then fails, and is worth repeating.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::{
    Builder, CompactionError, Database, DatabaseError, Durability, Error as RedbError, ReadTransaction,
    ReadableDatabase, StorageError, TableHandle, WriteTransaction,
};

use super::Options;
use super::directory::OpenError;
use super::disk::{Disk, DiskState};
use super::{removals, tables};
use crate::log::LogError;

/// See the module.
pub(super) struct Store {
    /// `None` while it is being opened again, and after the end.
    database: RwLock<Option<Opened>>,
    /// How often it was opened.
    openings: AtomicU64,
    /// What callers are told while there is no database, and what `health` says.
    state: Mutex<Result<(), LogError>>,
    /// What the file's last failure was.
    pub(super) disk: Arc<DiskState>,
    options: Options,
}

struct Opened {
    database: Database,
    /// Counts the openings, so that of many who meet one failure the first has it mended.
    opening: u64,
}

/// Whether a database may be made: only while the store itself is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenMode {
    Create,
    Existing,
}

/// What went wrong below us.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// No space. Other things work.
    Full(String),
    /// The disk failed, or the database was being opened again.
    Disk(String),
    /// Pages are not what was written.
    Damage(String),
}

impl Failure {
    /// What callers are told if nothing was stored.
    pub(super) fn into_log_error(self) -> LogError {
        match self {
            Self::Full(why) => LogError::Full(why),
            Self::Disk(why) => LogError::Unavailable(why),
            Self::Damage(why) => LogError::Fatal(why),
        }
    }
}

impl Store {
    /// Without a database yet.
    pub(super) fn new(options: &Options) -> Self {
        Self {
            database: RwLock::new(None),
            openings: AtomicU64::new(0),
            state: Mutex::new(Ok(())),
            disk: Arc::default(),
            options: options.clone(),
        }
    }

    /// Opens the database. Nobody else may open it meanwhile.
    pub(super) fn open(&self, path: &Path, mode: OpenMode) -> Result<(), OpenError> {
        let disk = Disk::open(path, mode == OpenMode::Create, &self.disk, self.options.disk.clone());
        let disk = disk.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => damaged(path, "the database file is missing"),
            _ => OpenError::io(path, error),
        })?;
        if mode == OpenMode::Existing && self.disk.len() == 0 {
            return Err(damaged(path, "the database file is empty"));
        }
        // redb trusts a file that was closed well, and may panic over one that was changed since.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut builder = Builder::new();
            builder.set_cache_size(self.options.cache_bytes);
            let database = builder.create_with_backend(disk).map_err(|error| open_error(path, error))?;
            make_tables(&database).map_err(|error| open_error(path, DatabaseError::Storage(error)))?;
            Ok(database)
        }));
        let database = opened.unwrap_or_else(|panic| Err(damaged(path, &panic_text(&*panic))))?;
        let opening = self.openings.fetch_add(1, Ordering::Relaxed) + 1;
        *self.database.write() = Some(Opened { database, opening });
        Ok(())
    }

    /// Closes the database; reads under way fail.
    pub(super) fn close(&self) {
        let database = self.database.write().take();
        // A close that fails leaves a file that the next opening repairs.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    /// Which opening of the database is in use, counted from 1, if it is open.
    pub(super) fn opening(&self) -> Option<u64> {
        self.database.read().as_ref().map(|opened| opened.opening)
    }

    /// What callers are told while there is no database, and what `health` says.
    pub(super) fn state(&self) -> Result<(), LogError> {
        self.state.lock().clone()
    }

    pub(super) fn set_state(&self, state: Result<(), LogError>) {
        *self.state.lock() = state;
    }

    /// A transaction that syncs. `None` while there is no database.
    pub(super) fn begin_write(&self) -> Result<Option<WriteTransaction>, RedbError> {
        let guard = self.database.read();
        let Some(opened) = guard.as_ref() else { return Ok(None) };
        let mut transaction = opened.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(self.disk.len() >= self.options.quick_repair_bytes);
        Ok(Some(transaction))
    }

    /// Moves what is in use to the front of the file and gives the rest back, if at most so many bytes are in use and
    /// that is less than half of the file. Everybody waits meanwhile. Nothing is done while somebody reads.
    /// Says whether it was done.
    pub(super) fn compact(&self, used_bytes_max: u64) -> Result<bool, Failure> {
        let mut guard = self.database.write();
        let Some(opened) = guard.as_mut() else { return Ok(false) };
        let compacted = catch_unwind(AssertUnwindSafe(|| -> Result<bool, RedbError> {
            let transaction = opened.database.begin_write()?;
            let stats = transaction.stats()?;
            let used = stats.allocated_pages() * stats.page_size() as u64;
            transaction.abort()?;
            if used > used_bytes_max || used > self.disk.len() / 2 {
                return Ok(false);
            }
            match opened.database.compact() {
                Ok(_) => Ok(true),
                Err(CompactionError::TransactionInProgress) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }));
        match compacted {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.failure(&error)),
            Err(panic) => Err(Failure::Damage(panic_text(&*panic))),
        }
    }

    /// Runs a look at the database; waits for the disk. A failure comes with the opening that it
    /// happened in.
    pub(super) fn reading<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<Result<T, LogError>, RedbError>,
    ) -> Result<Result<T, LogError>, (Failure, u64)> {
        let mut opening = 0;
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let begun = match self.database.read().as_ref() {
                Some(opened) => {
                    opening = opened.opening;
                    opened.database.begin_read()?
                }
                None => return Ok(Err(self.absent())),
            };
            look(&begun)
        }));
        match looked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err((self.failure(&error), opening)),
            Err(panic) => Err((Failure::Damage(panic_text(&*panic)), opening)),
        }
    }

    /// Sorts an error of redb. The disk's own reason goes first: redb reports it only once.
    pub(super) fn failure(&self, error: &RedbError) -> Failure {
        if let Some(failure) = self.disk.take_failure() {
            return if failure.full { Failure::Full(failure.why) } else { Failure::Disk(failure.why) };
        }
        match error {
            RedbError::Io(_) | RedbError::PreviousIo | RedbError::DatabaseClosed => {
                Failure::Disk(error.to_string())
            }
            _ => Failure::Damage(error.to_string()),
        }
    }

    /// What to say while there is no database.
    pub(super) fn absent(&self) -> LogError {
        self.state().err().unwrap_or_else(|| LogError::Unavailable("it is being opened again".to_owned()))
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the database gave up: {}", text.unwrap_or("no reason given"))
}

/// Readers expect the tables. Costs a sync only where they are absent.
fn make_tables(database: &Database) -> Result<(), StorageError> {
    let storage = |error: RedbError| match error {
        RedbError::Io(error) => StorageError::Io(error),
        RedbError::PreviousIo => StorageError::PreviousIo,
        error => StorageError::Corrupted(error.to_string()),
    };
    let make = || -> Result<(), RedbError> {
        // All are made at once, and this is the newest: older stores have others.
        if database.begin_read()?.list_tables()?.any(|table| table.name() == removals::REMOVALS.name()) {
            return Ok(());
        }
        let transaction = database.begin_write()?;
        tables::create(&transaction)?;
        Ok(transaction.commit()?)
    };
    make().map_err(storage)
}

fn damaged(path: &Path, why: &str) -> OpenError {
    OpenError::Damaged { path: path.to_path_buf(), why: why.to_owned() }
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            let dir = path.parent().map(Path::to_path_buf).unwrap_or_default();
            OpenError::Locked { dir, by: "a process that holds the database file".to_owned() }
        }
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            OpenError::io(path, error)
        }
        error => damaged(path, &error.to_string()),
    }
}
