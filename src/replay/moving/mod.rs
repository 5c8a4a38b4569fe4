//! Moving in: what other servers keep becomes rooms.
//!
//! | file | what | pure |
//! |---|---|---|
//! | `document` | foreign updates through the gate into one document | yes |
//! | `seed` | a board as JSON, as a document | yes |
//! | `y_sweet` | the file of a y-sweet document | yes |
//! | `y_leveldb`, `leveldb` | what y-leveldb keeps, and the store that it is in | |
//! | `sqlite` | what Hocuspocus' extension for SQLite keeps | |
//! | `files` | files with one update each | |
//! | `verb` | `ruang replay import --from` | |
//! | here | what they have in common: names, and the updates of one document | |
//!
//! Invariants:
//! - Nothing is written where the documents come from.
//! - Foreign bytes meet the gate first, under the bounds that clients have.
//! - Blocks keep their ids: a client that returns with a copy from before finds what it has, once.
//! - One document is in memory at a time.

mod document;
mod files;
pub mod leveldb;
pub mod seed;
mod sqlite;
mod verb;
mod y_leveldb;
mod y_sweet;

use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

pub use document::{Moved, MovedError};
pub use sqlite::SqliteError;
pub use verb::{MoveOptions, move_in};

use crate::limits::MOVED_BYTES_MAX;
use files::Files;
use leveldb::{LevelDb, LevelDbError};
use sqlite::Sqlite;

/// What documents are moved from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// A file that `ruang replay export` or the archive has written.
    Export,
    /// The directory of y-leveldb, where y-websocket's server keeps documents.
    YLeveldb,
    /// The database of Hocuspocus' extension for SQLite.
    HocuspocusSqlite,
    /// The directory of a y-sweet server, or one file data.ysweet.
    YSweet,
    /// A file with one update V1, or a directory of them (NAME.bin).
    UpdateFile,
    /// A retrospective board as JSON.
    SeedJson,
}

/// Why documents cannot be had, one of them or all.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The LevelDB store.
    #[error(transparent)]
    LevelDb(#[from] LevelDbError),
    /// The SQLite database.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// The system does not let us.
    #[error("{}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is nothing of this kind.
    #[error("{}: there is no {what}", path.display())]
    Nothing {
        /// Where.
        path: PathBuf,
        /// What is expected.
        what: &'static str,
    },
    /// A file is larger than a document may be.
    #[error("the file has {bytes} bytes, at most {MOVED_BYTES_MAX} are taken")]
    TooLarge {
        /// Bytes of the file.
        bytes: u64,
    },
    /// Not what y-sweet writes.
    #[error("this is no file of y-sweet")]
    NotYSweet,
    /// Not what boards are written as.
    #[error("{0}")]
    Seed(#[from] seed::SeedError),
    /// There is no document of this name.
    #[error("there is no document of this name")]
    Absent,
}

/// Documents of another server.
enum Foreign {
    YLevelDb(LevelDb),
    Sqlite(Sqlite),
    Files(Files),
}

/// One document as it is kept.
#[derive(Default)]
struct Kept {
    /// Updates V1, oldest first.
    updates: Vec<Vec<u8>>,
    /// What else there is of it and does not come over, each a phrase.
    not_kept: Vec<String>,
}

impl Foreign {
    /// Opens what is there, for reading only.
    fn open(from: From, path: &Path) -> Result<Self, SourceError> {
        match from {
            From::YLeveldb => Ok(Self::YLevelDb(LevelDb::open(path)?)),
            From::HocuspocusSqlite => Ok(Self::Sqlite(Sqlite::open(path)?)),
            From::Export | From::YSweet | From::UpdateFile | From::SeedJson => {
                Ok(Self::Files(Files::open(from, path)?))
            }
        }
    }

    /// The names of all documents, as they are kept.
    fn names(&self) -> Result<Vec<String>, SourceError> {
        match self {
            Self::YLevelDb(store) => Ok(y_leveldb::names(store)?),
            Self::Sqlite(database) => Ok(database.names()?),
            Self::Files(files) => Ok(files.names()),
        }
    }

    /// One of them.
    fn document(&self, name: &str) -> Result<Kept, SourceError> {
        match self {
            Self::YLevelDb(store) => {
                let mut kept = Kept { updates: y_leveldb::updates(store, name)?, not_kept: Vec::new() };
                let metadata = y_leveldb::metadata(store, name)?;
                if metadata > 0 {
                    kept.not_kept.push(format!("metadata of the application (setMeta): {metadata}"));
                }
                Ok(kept)
            }
            Self::Sqlite(database) => {
                let data = database.document(name)?.ok_or(SourceError::Absent)?;
                // A row can be empty before the first edit.
                Ok(Kept { updates: Vec::from_iter((!data.is_empty()).then_some(data)), not_kept: Vec::new() })
            }
            Self::Files(files) => files.document(name),
        }
    }

    /// The room that people find a document in when only their server's address changes.
    fn room_of(&self, name: &str) -> String {
        match self {
            // y-websocket's server takes the path of a request as it comes, percent-encoded.
            Self::YLevelDb(_) => decoded(name),
            Self::Sqlite(_) => name.to_owned(),
            // File names cannot hold everything that names can.
            Self::Files(files) => {
                if files.is_encoded() {
                    decoded(name)
                } else {
                    name.to_owned()
                }
            }
        }
    }
}

/// A percent-encoded name, decoded; as it is if that is no text.
fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8().map_or_else(|_| name.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [O71] Names are decoded as the path of a request is; what is no encoding stays.
    #[test]
    fn names_are_decoded() {
        for (name, room) in [
            ("retro", "retro"),
            ("team%2Fretro%2041", "team/retro 41"),
            ("caf%C3%a9", "café"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%+1", "%+1"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(decoded(name), room);
        }
    }
}
