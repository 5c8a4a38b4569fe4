//! What Hocuspocus' extension for SQLite keeps: a table `documents` with `name` and `data`, one update V1 each.
//!
//! The file is opened for reading only. One that its process has not closed is copied first, with what lies beside
//! it, and recovered there: nothing is written where it is.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tempfile::TempDir;

use crate::limits::MOVED_BYTES_MAX;

/// What begins every database, and where it says that it has a write-ahead log.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const LOG_VERSION_AT: usize = 18;

/// What lies beside a database that was not closed.
const BESIDE: [&str; 2] = ["-wal", "-journal"];

/// Why the database cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The system does not let us.
    #[error("{}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another kind of file.
    #[error("{}: this is no SQLite database", .0.display())]
    NoDatabase(PathBuf),
    /// SQLite cannot read it, or not the table.
    #[error("{}: {source}; a table `documents` with the columns `name` and `data` is expected", path.display())]
    Read {
        /// Of what.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// It was written to while it was copied.
    #[error("{}: the copy of it is not whole ({why}); stop the server that writes to it first", path.display())]
    NotWhole {
        /// Of what.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// A value that is no document.
    #[error("its data is not bytes")]
    NotBytes,
    /// More bytes than a document may have.
    #[error("there are more than {MOVED_BYTES_MAX} bytes of it")]
    TooLarge,
}

/// An open database.
pub(super) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    /// Where a copy is, as long as it is needed.
    _copy: Option<TempDir>,
}

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self, SqliteError> {
        let failed = |source| SqliteError::Io { path: path.to_owned(), source };
        let mut head = Vec::new();
        File::open(path).and_then(|file| file.take(100).read_to_end(&mut head)).map_err(failed)?;
        if !head.starts_with(MAGIC) || head.len() < 100 {
            return Err(SqliteError::NoDatabase(path.to_owned()));
        }
        let logged = head[LOG_VERSION_AT..LOG_VERSION_AT + 2].contains(&2);
        let is_closed = !logged && BESIDE.iter().all(|end| !beside(path, end).exists());
        let copy = if is_closed { None } else { Some(copy(path).map_err(failed)?) };
        let at = copy.as_ref().map_or_else(|| path.to_owned(), |copy| copy.path().join("copy"));
        // A copy is ours to recover.
        let mode =
            if is_closed { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
        let read = |source| SqliteError::Read { path: path.to_owned(), source };
        let connection =
            Connection::open_with_flags(at, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(read)?;
        // Nothing that the file brings along is run; what does not fit together is an error.
        connection.execute_batch("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON").map_err(read)?;
        let sqlite = Self { path: path.to_owned(), connection, _copy: copy };
        if !is_closed {
            sqlite.check()?;
        }
        Ok(sqlite)
    }

    fn check(&self) -> Result<(), SqliteError> {
        let checked: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
            .map_err(|source| self.read(source))?;
        if checked == "ok" {
            return Ok(());
        }
        Err(SqliteError::NotWhole { path: self.path.clone(), why: checked })
    }

    fn read(&self, source: rusqlite::Error) -> SqliteError {
        SqliteError::Read { path: self.path.clone(), source }
    }

    /// The names of all documents.
    pub(super) fn names(&self) -> Result<Vec<String>, SqliteError> {
        let names = || -> Result<Vec<String>, rusqlite::Error> {
            let mut all = self.connection.prepare("SELECT DISTINCT name FROM documents ORDER BY name")?;
            let names = all.query_map((), |row| row.get(0))?;
            names.collect()
        };
        names().map_err(|source| self.read(source))
    }

    /// A document; none if there is none of this name.
    pub(super) fn document(&self, name: &str) -> Result<Option<Vec<u8>>, SqliteError> {
        // The newest row, as the extension reads it.
        const QUERY: &str = "SELECT data FROM documents WHERE name = ?1 ORDER BY rowid DESC LIMIT 1";
        let found = self.connection.query_row(QUERY, [name], |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Blob(bytes) if bytes.len() > MOVED_BYTES_MAX => Err(SqliteError::TooLarge),
                ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
                _ => Err(SqliteError::NotBytes),
            })
        });
        found.optional().map_err(|source| self.read(source))?.transpose()
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

fn copy(path: &Path) -> io::Result<TempDir> {
    let copy = tempfile::Builder::new().prefix("ruang-import-").tempdir()?;
    let to = copy.path().join("copy");
    std::fs::copy(path, &to)?;
    for end in BESIDE {
        let from = beside(path, end);
        if from.exists() {
            std::fs::copy(from, beside(&to, end))?;
        }
    }
    Ok(copy)
}
