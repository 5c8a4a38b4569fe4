//! The directory of an embedded store: whose it is, whether we may use it, what is in it.
//!
//! | name | what |
//! |---|---|
//! | `FORMAT` | one line, `ruang store, format 2`; written last, so a directory with it is complete |
//! | `LOCK` | locked while a process uses the store; says which one |
//! | `log.redb` | the database |
//! | `journal-0`, `journal-1` | the journal: what is not in the database yet; format 1 had none |
//! | `PROBE` | exists for a moment, to learn whether a full disk has space again |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::journal::FILES;
use crate::ids::InstanceId;
use crate::limits::EMBEDDED_PROBE_BYTES;

const FORMAT: &str = "FORMAT";
const FORMAT_NEW: &str = "FORMAT.new";
const FORMAT_KNOWN: u32 = 2;
/// The first format with a journal.
const FORMAT_JOURNAL: u32 = 2;
const FORMAT_PREFIX: &str = "ruang store, format ";
const LOCK: &str = "LOCK";
const DATABASE: &str = "log.redb";
const JOURNALS: [&str; FILES] = ["journal-0", "journal-1"];
const PROBE: &str = "PROBE";
/// What may lie in a directory that is to become a store: what an interrupted first start leaves,
/// and what a file system puts into its root.
const HARMLESS: [&str; 9] = [
    FORMAT_NEW,
    LOCK,
    DATABASE,
    PROBE,
    JOURNALS[0],
    JOURNALS[1],
    "journal-0.new",
    "journal-1.new",
    "lost+found",
];

/// Why a store could not be opened. Each text is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves from it.
    #[error("{} is in use by another ruang ({by}); stop it, or choose another directory", dir.display())]
    Locked {
        /// The store's directory.
        dir: PathBuf,
        /// What the other process says of itself.
        by: String,
    },
    /// There is something in it that is not ours.
    #[error("{} is not empty and not a ruang store (it has no file FORMAT); choose an empty or new directory", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer version of ruang made it.
    #[error("{} has store format {found}, this ruang knows up to {known}; use a newer ruang", dir.display())]
    Newer {
        /// The store's directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that we know.
        known: u32,
    },
    /// We may not write there.
    #[error("{} cannot be written: {source}", path.display())]
    NotWritable {
        /// What we tried to write.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its bytes are not what was written. Restore a backup.
    #[error("the store at {} is damaged: {why}", path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system failed in another way.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// What we tried to use.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl OpenError {
    /// Sorts an error of the system.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, source }
            }
            _ => Self::Io { path, source },
        }
    }
}

/// A directory that is ours until this is dropped.
pub(super) struct Directory {
    path: PathBuf,
    /// The format of the store, if it was complete before; [`Directory::complete`] makes it so, and
    /// of our format.
    format: Option<u32>,
    /// Holds the lock, through re-opens of the database too.
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is absent, checks that it is a store or may become one, and locks
    /// it.
    pub(super) fn claim(path: &Path, instance: InstanceId) -> Result<Self, OpenError> {
        create_private(path).map_err(|error| OpenError::io(path, error))?;
        let format = check_format(path)?;
        if format.is_none() && !only_harmless(path).map_err(|error| OpenError::io(path, error))? {
            return Err(OpenError::Foreign { dir: path.to_path_buf() });
        }
        let lock = lock(path, instance)?;
        // What a probe left that was cut off; there is none otherwise.
        let _ = fs::remove_file(path.join(PROBE));
        Ok(Self { path: path.to_path_buf(), format, _lock: lock })
    }

    /// Whether the store was complete before, so that there must be a database.
    pub(super) fn existed(&self) -> bool {
        self.format.is_some()
    }

    /// Whether there must be a journal: what an older format has of one is from an upgrade that was
    /// cut off, and empty.
    pub(super) fn has_journal(&self) -> bool {
        self.format.is_some_and(|format| format >= FORMAT_JOURNAL)
    }

    /// The files of the journal.
    pub(super) fn journals(&self) -> [PathBuf; FILES] {
        JOURNALS.map(|name| self.path.join(name))
    }

    /// The database file.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Marks the store as complete and of our format, once database and journal exist. Survives a
    /// power cut.
    pub(super) fn complete(&self) -> Result<(), OpenError> {
        if self.format == Some(FORMAT_KNOWN) {
            return Ok(());
        }
        let (new, format) = (self.path.join(FORMAT_NEW), self.path.join(FORMAT));
        let write = || {
            let mut file = File::create(&new)?;
            writeln!(file, "{FORMAT_PREFIX}{FORMAT_KNOWN}")?;
            file.sync_all()?;
            fs::rename(&new, &format)?;
            sync_directory(&self.path)?;
            // The directory's own name too, where we may: its parent need not be ours.
            let _ = self.path.parent().map_or(Ok(()), sync_directory);
            Ok(())
        };
        write().map_err(|error| OpenError::io(&format, error))
    }

    /// Whether some space can be had: writes it and gives it back.
    pub(super) fn probe(&self) -> io::Result<()> {
        let path = self.path.join(PROBE);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&vec![0x5a; EMBEDDED_PROBE_BYTES])?;
            file.sync_all()
        };
        let written = write();
        let removed = fs::remove_file(&path);
        written.and(removed)
    }
}

/// Rooms are for their members only.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The format of a complete store, one that we know; none if it is not complete.
fn check_format(dir: &Path) -> Result<Option<u32>, OpenError> {
    let path = dir.join(FORMAT);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io(&path, error)),
    };
    let number = text.strip_prefix(FORMAT_PREFIX).map(str::trim_end).and_then(|text| text.parse().ok());
    match number {
        Some(known @ 1..=FORMAT_KNOWN) => Ok(Some(known)),
        Some(found) if found > FORMAT_KNOWN => {
            Err(OpenError::Newer { dir: dir.to_path_buf(), found, known: FORMAT_KNOWN })
        }
        _ => {
            Err(OpenError::Damaged { path, why: format!("it should say \"{FORMAT_PREFIX}{FORMAT_KNOWN}\"") })
        }
    }
}

fn only_harmless(dir: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lock(dir: &Path, instance: InstanceId) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let failed = |error| OpenError::io(&path, error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut by = String::new();
            // What it says is a courtesy: an unreadable file is as locked.
            let _ = (&mut file).take(256).read_to_string(&mut by);
            let by = if by.trim().is_empty() { "unnamed".to_owned() } else { by.trim().to_owned() };
            return Err(OpenError::Locked { dir: dir.to_path_buf(), by });
        }
        // A file system without locks; redb's own lock fails there too, and says so.
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    let name = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {}, instance {:016x}", std::process::id(), instance.0)
    };
    match { name }() {
        // A full disk must not keep a store from being read.
        Err(error) if !super::disk::is_full(&error) => Err(failed(error)),
        _ => Ok(file),
    }
}

/// Makes names in the directory survive a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
