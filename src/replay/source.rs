//! What a verb works on: a store that nobody serves, a store through its server, or an exported file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::file::{ExportedRoom, FileError};
use super::remote::RemoteLog;
use crate::config::Store;
use crate::ids::{InstanceId, RoomName};
use crate::limits::ADMIN_CONNECT_MS_MAX;
use crate::log::Log;
use crate::log::embedded::{EmbeddedLog, OpenError};
use crate::log::redis::{RedisAddress, RedisLog, RedisOpenError, RedisOptions};

/// An open log.
pub struct Source {
    /// What the verb reads.
    pub log: Arc<dyn Log>,
    /// What it is.
    pub kind: SourceKind,
}

/// What a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// An embedded store that is ours while the verb runs: nobody else can write.
    Store,
    /// A store that others write to meanwhile: through its server, or on Redis.
    Server,
    /// An exported file, with one room.
    File(RoomName),
}

/// Why there is nothing to work on. Each text is one line.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// `memory:`.
    #[error("--store memory: rooms in memory are seen by their server only; name a store, or --file EXPORT")]
    Memory,
    /// The directory is no store.
    #[error("--store file:{}: there is no ruang store", .0.display())]
    NoStore(PathBuf),
    /// It cannot be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// Redis cannot be used.
    #[error("--store {store}: {source}")]
    Redis {
        /// The store as set.
        store: Store,
        /// What is wrong with it.
        source: RedisOpenError,
    },
    /// Another process has it and cannot be asked.
    #[error("{} is in use by another ruang ({by}), and its admin.sock does not answer: {source}", dir.display())]
    NoSocket {
        /// The store's directory.
        dir: PathBuf,
        /// What the other process says of itself.
        by: String,
        /// What the system says of the socket.
        source: io::Error,
    },
    /// The file is not one that we can read.
    #[error("{0}")]
    File(#[from] FileError),
}

impl SourceError {
    /// Whether the command line has to change.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Memory | Self::NoStore(_))
    }
}

/// Opens a store. While a server holds it, its admin socket is used, and nothing is said of it.
/// Another process that has it without a socket is waited for, for two seconds.
///
/// # Errors
/// [`SourceError`].
pub async fn open_store(store: &Store) -> Result<Source, SourceError> {
    let dir = match store {
        Store::Memory => return Err(SourceError::Memory),
        Store::Redis(address) => return open_redis(store, address).await,
        Store::File(dir) => dir,
    };
    // Looking must not make a store.
    if !dir.join("FORMAT").exists() && !dir.join("log.redb").exists() {
        return Err(SourceError::NoStore(dir.clone()));
    }
    let deadline = Instant::now() + Duration::from_millis(ADMIN_CONNECT_MS_MAX);
    loop {
        let opening = dir.clone();
        let opened =
            tokio::task::spawn_blocking(move || EmbeddedLog::open(&opening, InstanceId(rand::random())));
        let (by, dir) = match opened.await {
            Ok(Ok(log)) => return Ok(Source { log: Arc::new(log), kind: SourceKind::Store }),
            Ok(Err(OpenError::Locked { dir, by })) => (by, dir),
            Ok(Err(error)) => return Err(error.into()),
            Err(stopped) => {
                return Err(OpenError::Damaged { path: dir.clone(), why: stopped.to_string() }.into());
            }
        };
        match RemoteLog::connect(&dir).await {
            Ok(log) => return Ok(Source { log: Arc::new(log), kind: SourceKind::Server }),
            Err(source) if Instant::now() >= deadline => {
                return Err(SourceError::NoSocket { dir, by, source });
            }
            // A server that starts or ends, or another verb: over in a moment.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Redis, however it is set: looking harms nothing.
async fn open_redis(store: &Store, address: &RedisAddress) -> Result<Source, SourceError> {
    let options = RedisOptions { accept_eviction: true, ..RedisOptions::default() };
    let log = RedisLog::open(address, options).await;
    let log = log.map_err(|source| SourceError::Redis { store: store.clone(), source })?;
    Ok(Source { log: Arc::new(log), kind: SourceKind::Server })
}

/// Opens an exported file.
///
/// # Errors
/// [`SourceError::File`].
pub fn open_file(path: &Path) -> Result<Source, SourceError> {
    let room = ExportedRoom::open(path)?;
    let kind = SourceKind::File(room.room().clone());
    Ok(Source { log: Arc::new(room), kind })
}
