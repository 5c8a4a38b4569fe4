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
    Builder, Database, DatabaseError, Durability, Error as RedbError, ReadTransaction, ReadableDatabase,
    StorageError, WriteTransaction,
};

use super::directory::OpenError;
use super::disk::{Disk, DiskHook, DiskState};
use super::tables;
use crate::limits::EMBEDDED_CACHE_BYTES;
use crate::log::LogError;

/// See the module.
pub(super) struct Store {
    /// `None` while it is being opened again, and after the end.
    database: RwLock<Option<Database>>,
    /// Counts the openings, so that of many who meet one failure the first has it mended.
    opening: AtomicU64,
    /// What callers are told while there is no database, and what `health` says.
    state: Mutex<Result<(), LogError>>,
    /// What the file's last failure was.
    pub(super) disk: Arc<DiskState>,
    hook: Option<DiskHook>,
    /// The file's size from which commits save what a restart needs.
    quick_repair_bytes: u64,
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
    pub(super) fn new(hook: Option<DiskHook>, quick_repair_bytes: u64) -> Self {
        let (database, state) = (RwLock::new(None), Mutex::new(Ok(())));
        let opening = AtomicU64::new(0);
        Self { database, opening, state, disk: Arc::default(), hook, quick_repair_bytes }
    }

    /// Opens the database. Nobody else may open it meanwhile.
    pub(super) fn open(&self, path: &Path, mode: OpenMode) -> Result<(), OpenError> {
        let disk = Disk::open(path, mode == OpenMode::Create, &self.disk, self.hook.clone());
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
            builder.set_cache_size(EMBEDDED_CACHE_BYTES);
            let database = builder.create_with_backend(disk).map_err(|error| open_error(path, error))?;
            make_tables(&database).map_err(|error| open_error(path, DatabaseError::Storage(error)))?;
            Ok(database)
        }));
        let database = opened.unwrap_or_else(|panic| Err(damaged(path, &panic_text(&*panic))))?;
        let mut slot = self.database.write();
        self.opening.fetch_add(1, Ordering::Relaxed);
        *slot = Some(database);
        Ok(())
    }

    /// Closes the database; reads under way fail.
    pub(super) fn close(&self) {
        let database = self.database.write().take();
        // A close that fails leaves a file that the next opening repairs.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    pub(super) fn is_open(&self) -> bool {
        self.database.read().is_some()
    }

    /// Which opening of the database this is.
    pub(super) fn opening(&self) -> u64 {
        self.opening.load(Ordering::Relaxed)
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
        let Some(database) = guard.as_ref() else { return Ok(None) };
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(self.disk.len() >= self.quick_repair_bytes);
        Ok(Some(transaction))
    }

    /// Runs a look at the database; waits for the disk.
    pub(super) fn reading<T>(
        &self,
        look: impl FnOnce(&ReadTransaction) -> Result<Result<T, LogError>, RedbError>,
    ) -> Result<Result<T, LogError>, Failure> {
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let begun = match self.database.read().as_ref() {
                Some(database) => database.begin_read()?,
                None => return Ok(Err(self.absent())),
            };
            look(&begun)
        }));
        match looked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failure(&error)),
            Err(panic) => Err(Failure::Damage(panic_text(&*panic))),
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
        if database.begin_read()?.list_tables()?.next().is_some() {
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
