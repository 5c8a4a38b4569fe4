//! A LevelDB store, read and never written: what y-leveldb keeps documents in.
//!
//! Own code, because the crates that read LevelDB repair and compact what they open, and stop without a word at what
//! they cannot read ([0018](../../../../docs/decisions/0018-moving-in.md)). Here every block and every record is
//! checked, and what is damaged is said.
//!
//! | file | what | pure |
//! |---|---|---|
//! | `bytes` | numbers and strings as LevelDB writes them | yes |
//! | `journal` | the format of logs and of the manifest | yes |
//! | `manifest` | which files are alive | yes |
//! | `table` | sorted tables | |
//! | here | the directory, and all entries between two keys | |
//!
//! Invariants:
//! - Nothing in the directory is changed; while we read, nobody else may write (a shared lock on `LOCK`).
//! - An entry is the newest one of its key, whatever file it stands in; deleted ones are not there.

mod bytes;
mod journal;
mod manifest;
mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::limits::{LEVELDB_FILE_BYTES_MAX, MOVED_BYTES_MAX};
use bytes::{Cut, Input};
use journal::End;
use manifest::Manifest;
use table::Table;

/// Why a store cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LevelDbError {
    /// There is no file `CURRENT`.
    #[error("{}: there is no LevelDB store", .0.display())]
    NoStore(PathBuf),
    /// Another process holds its lock.
    #[error("{}: another process has the store open; stop it first", .0.display())]
    InUse(PathBuf),
    /// The system does not let us.
    #[error("{}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is damaged ({why}); opening the store once with the package that wrote it may mend it", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// A file is written in a way that is not known here.
    #[error("{}: {why}", path.display())]
    Unknown {
        /// Which file.
        path: PathBuf,
        /// What is not known.
        why: &'static str,
    },
    /// More bytes than a document may have.
    #[error("there are more than {MOVED_BYTES_MAX} bytes of it")]
    TooLarge,
}

/// What is wrong with bytes; the caller knows whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Damaged(&'static str),
    Unknown(&'static str),
}

impl From<Cut> for Fault {
    fn from(_: Cut) -> Self {
        Self::Damaged("it ends before what it announces")
    }
}

impl Fault {
    fn of(self, path: &Path) -> LevelDbError {
        let path = path.to_owned();
        match self {
            Self::Damaged(why) => LevelDbError::Damaged { path, why },
            Self::Unknown(why) => LevelDbError::Unknown { path, why },
        }
    }
}

/// An entry as files have it: deleted ones have no value.
struct Entry {
    sequence: u64,
    value: Option<Vec<u8>>,
}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// An open store. The lock is held until it is dropped.
pub struct LevelDb {
    directory: PathBuf,
    manifest: Manifest,
    /// What is in logs and in no table yet: a few MiB.
    recent: Entries,
    _lock: Option<File>,
}

impl LevelDb {
    /// Opens a store that nobody writes to.
    ///
    /// # Errors
    /// [`LevelDbError`].
    pub fn open(directory: &Path) -> Result<Self, LevelDbError> {
        let current = directory.join("CURRENT");
        if !current.is_file() {
            return Err(LevelDbError::NoStore(directory.to_owned()));
        }
        let lock = lock(directory)?;
        let name = read(&current)?;
        let name = std::str::from_utf8(&name).ok().and_then(|name| name.strip_suffix('\n'));
        let name = name.filter(|name| name.starts_with("MANIFEST-") && !name.contains(['/', '\\']));
        let name = name.ok_or_else(|| Fault::Damaged("it does not name a manifest").of(&current))?;
        let path = directory.join(name);
        let manifest = Manifest::parse(&read(&path)?).map_err(|fault| fault.of(&path))?;
        let mut store =
            Self { directory: directory.to_owned(), manifest, recent: Entries::default(), _lock: lock };
        store.read_logs()?;
        Ok(store)
    }

    fn read_logs(&mut self) -> Result<(), LevelDbError> {
        for (number, path) in logs(&self.directory)? {
            if !self.manifest.has_log(number) {
                continue;
            }
            let bytes = read(&path)?;
            let records = journal::records(&bytes, End::MayBeCut).map_err(|fault| fault.of(&path))?;
            for record in records {
                self.read_batch(&record).map_err(|fault| fault.of(&path))?;
            }
        }
        Ok(())
    }

    /// A batch of writes, as one record of a log.
    fn read_batch(&mut self, record: &[u8]) -> Result<(), Fault> {
        let mut input = Input::new(record);
        let (first, count) = (input.u64()?, input.u32()?);
        for n in 0..count {
            let kind = input.byte()?;
            let key = input.blob()?.to_vec();
            let value = match kind {
                table::VALUE => Some(input.blob()?.to_vec()),
                table::DELETION => None,
                _ => return Err(Fault::Unknown("a record is of no known kind")),
            };
            self.recent.put(key, Entry { sequence: first.wrapping_add(u64::from(n)), value });
        }
        if input.is_empty() { Ok(()) } else { Err(Fault::Damaged("bytes follow after the end of a batch")) }
    }

    /// All keys with `from <= key < to`, in order.
    ///
    /// # Errors
    /// [`LevelDbError`]: a file that holds some of them cannot be read.
    pub fn keys(&self, from: &[u8], to: &[u8]) -> Result<Vec<Vec<u8>>, LevelDbError> {
        Ok(self.entries(from, to, false)?.alive().map(|(key, _)| key).collect())
    }

    /// All entries with `from <= key < to`, in order, of at most [`MOVED_BYTES_MAX`] bytes together.
    ///
    /// # Errors
    /// [`LevelDbError`].
    pub fn range(&self, from: &[u8], to: &[u8]) -> Result<Vec<Pair>, LevelDbError> {
        Ok(self.entries(from, to, true)?.alive().collect())
    }

    fn entries(&self, from: &[u8], to: &[u8], values: bool) -> Result<Entries, LevelDbError> {
        let kept = |value: &[u8]| if values { value.to_vec() } else { Vec::new() };
        let mut found = Entries::default();
        // The newest first, so that what they replace is not kept.
        for (key, entry) in self.recent.0.range(from.to_vec()..to.to_vec()) {
            found.put(
                key.clone(),
                Entry { sequence: entry.sequence, value: entry.value.as_deref().map(kept) },
            );
        }
        for file in self.manifest.tables_between(from, to) {
            let path = self.table_path(file.number);
            Table::open(&path, file.bytes)?.between(from, to, |key, sequence, value| {
                found.put(key.to_vec(), Entry { sequence, value: value.map(kept) });
                if found.1 > MOVED_BYTES_MAX { Err(LevelDbError::TooLarge) } else { Ok(()) }
            })?;
        }
        Ok(found)
    }

    /// Tables had another ending once.
    fn table_path(&self, number: u64) -> PathBuf {
        let path = self.directory.join(format!("{number:06}.ldb"));
        let old = self.directory.join(format!("{number:06}.sst"));
        if !path.exists() && old.exists() { old } else { path }
    }
}

/// The newest entry of each key, and the bytes of their values.
#[derive(Default)]
struct Entries(BTreeMap<Vec<u8>, Entry>, usize);

impl Entries {
    fn put(&mut self, key: Vec<u8>, entry: Entry) {
        let bytes = |entry: &Entry| entry.value.as_ref().map_or(0, Vec::len);
        if let Some(known) = self.0.get(&key) {
            if known.sequence >= entry.sequence {
                return;
            }
            self.1 -= bytes(known);
        }
        self.1 += bytes(&entry);
        self.0.insert(key, entry);
    }

    fn alive(self) -> impl Iterator<Item = Pair> {
        self.0.into_iter().filter_map(|(key, entry)| Some((key, entry.value?)))
    }
}

/// LevelDB locks `LOCK` as a whole for its process, with `fcntl`. A copy may have none.
fn lock(directory: &Path) -> Result<Option<File>, LevelDbError> {
    let path = directory.join("LOCK");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LevelDbError::Io { path, source }),
    };
    match fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::ACCESS | Errno::AGAIN) => Err(LevelDbError::InUse(directory.to_owned())),
        Err(error) => Err(LevelDbError::Io { path, source: error.into() }),
    }
}

/// All logs, oldest first.
fn logs(directory: &Path) -> Result<Vec<(u64, PathBuf)>, LevelDbError> {
    let failed = |source| LevelDbError::Io { path: directory.to_owned(), source };
    let mut logs = Vec::new();
    for entry in directory.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".log")).and_then(|number| number.parse().ok());
        if let Some(number) = number {
            logs.push((number, path));
        }
    }
    logs.sort_unstable();
    Ok(logs)
}

/// A manifest or a log, whole.
fn read(path: &Path) -> Result<Vec<u8>, LevelDbError> {
    let failed = |source| LevelDbError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LEVELDB_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LEVELDB_FILE_BYTES_MAX {
        return Err(Fault::Unknown("the file is larger than LevelDB makes such files").of(path));
    }
    Ok(bytes)
}
