//! The log on Redis: a stream for each room, changed by scripts, so that many instances can share it.
//!
//! In reading order: `keys` names what is stored and `meta` says what a room's entry holds; `script` and the files in
//! `lua/` change it; `append`, `reads`, `snapshots`, `life` and `names` are the calls; `sequence` tells the records of
//! a stream from what others put there; `connect` carries calls, `errors` and `reply` say what answers mean; `watch` and
//! `state` look at how Redis is set, `permissions` at what it allows.
//!
//! Invariants:
//! - Every change of a room is one script: whole or not at all, and in no need of a lock.
//! - The first thing that a script writes is what Redis would refuse: an error has changed nothing.
//! - Nothing is sent twice: who gets no answer is told so, and repeats under the same number.
//! - Nothing outside of this module knows the client library.

mod address;
mod append;
mod bus;
mod connect;
mod errors;
mod keys;
mod life;
mod mend;
mod meta;
mod names;
mod notes;
mod permissions;
mod places;
mod reads;
mod reply;
mod script;
mod sequence;
mod snapshots;
mod state;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use redis::cmd;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::bus::{Follower, Whisper};
use super::check::check_batch;
use super::notes::Note;
use super::record::StoredRecord;
use super::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};
use crate::clock::Clock;
use crate::ids::{InstanceId, RoomName};
use crate::limits::{REDIS_EXPIRY_GRACE_MS, REDIS_WATCH_MS};
pub use address::RedisAddress;
use bus::Bus;
use connect::way::TLS;
use connect::{Connect, Lane, Route};
use errors::{CallError, Called, log_error};
use keys::Keys;
use names::Listing;
use places::Places;
use watch::Watch;

/// See the module.
pub struct RedisLog {
    connect: Arc<Connect>,
    options: RedisOptions,
    /// Tells this opening of the store from others: uploads are seen by the one that writes them.
    process: String,
    watch: Arc<Watch>,
    bus: Arc<Bus>,
    places: Places,
    /// What the last scan for rooms has left.
    listing: Mutex<Option<Listing>>,
    notes_known: notes::Known,
    /// When it was last said that batches cannot be published.
    mute_told: Mutex<Option<Instant>>,
    /// Calls under way, which `close` waits for.
    calls: TaskTracker,
    closed: CancellationToken,
}

/// What operators and tests choose.
#[derive(Clone)]
pub struct RedisOptions {
    /// Stamps positions; `None`: the clock of Redis, which all instances share.
    pub clock: Option<Clock>,
    /// How long after its deadline Redis itself removes a room; `None`: never, instances do.
    pub expiry_grace_ms: Option<u64>,
    /// Use a Redis that may throw rooms away when its memory is full.
    pub accept_eviction: bool,
    /// How often the settings of Redis are looked at.
    pub watch: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            clock: None,
            expiry_grace_ms: Some(REDIS_EXPIRY_GRACE_MS),
            accept_eviction: false,
            watch: Duration::from_millis(REDIS_WATCH_MS),
        }
    }
}

/// Why a store on Redis cannot be opened, in one line without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisOpenError {
    /// Nothing answers there.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    /// It answers, but does not let us in.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// A file for TLS cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// It lacks what we need: sharded channels, and streams that trim by id.
    #[error("{server} is Redis {version}; 7.0 or newer is needed")]
    TooOld {
        /// Which server.
        server: String,
        /// What it says it is.
        version: String,
    },
    /// It does not let us do what the log needs.
    #[error("{server} does not allow this user: {missing}; docs/OPERATIONS.md has the ACL that is needed")]
    Forbidden {
        /// Which server.
        server: String,
        /// Commands, and on what.
        missing: String,
    },
    /// It may throw rooms away.
    #[error(
        "{server} has maxmemory-policy {policy}, which throws rooms away when memory is full; \
         set noeviction, or say --accept-eviction"
    )]
    Evicts {
        /// Which server.
        server: String,
        /// How it is set.
        policy: String,
    },
}

impl From<CallError> for RedisOpenError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { code, text } if code == TLS => Self::Certificate(text),
            CallError::Refused { .. } => Self::Refused(error.text()),
            CallError::Away(why) | CallError::Silent(why) => Self::Unreachable(why),
        }
    }
}

impl RedisLog {
    /// Connects to Redis and looks at how it is set.
    ///
    /// # Errors
    /// [`RedisOpenError`]. Nothing was written.
    pub async fn open(address: &RedisAddress, options: RedisOptions) -> Result<Self, RedisOpenError> {
        let (bus, queues) = Bus::new();
        let ears = bus.ears();
        let connect = Arc::new(Connect::open(address, &ears).await?);
        let watch = Arc::new(Watch::begin(&connect, options.accept_eviction).await?);
        check_permissions(&connect).await?;
        let closed = CancellationToken::new();
        tokio::spawn(Arc::clone(&watch).go_on(Arc::clone(&connect), options.watch, closed.clone()));
        bus.begin(&connect, ears, watch.speaks_on, queues, &closed);
        Ok(Self {
            connect,
            options,
            process: format!("{:016x}", rand::random::<u64>()),
            watch,
            bus,
            places: Places::default(),
            listing: Mutex::new(None),
            notes_known: notes::Known::default(),
            mute_told: Mutex::new(None),
            calls: TaskTracker::new(),
            closed,
        })
    }

    /// Why an append that was answered is not safe from a power cut; `None`: it is.
    #[must_use]
    pub fn weakness(&self) -> Option<String> {
        self.watch.verdict().why
    }

    /// Counts a call, or refuses it after the end.
    fn begin(&self) -> Result<TaskTrackerToken, LogError> {
        let token = self.calls.token();
        if self.closed.is_cancelled() { Err(closed()) } else { Ok(token) }
    }

    /// The clock for scripts: empty, and they take Redis' own.
    fn clock_arg(&self) -> String {
        self.options.clock.as_ref().map(|clock| clock().to_string()).unwrap_or_default()
    }

    /// See [`RedisOptions::expiry_grace_ms`]; empty: never.
    fn grace_arg(&self) -> String {
        self.options.expiry_grace_ms.map(|grace| grace.to_string()).unwrap_or_default()
    }
}

#[async_trait]
impl Log for RedisLog {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        check_batch(&batch)?;
        let _call = self.begin()?;
        let appended = self.append_batch(room, &batch).await;
        if matches!(&appended, Err(LogError::Moved(why)) if why == append::KEY_LOST) {
            self.mend(room, &Keys::of(room)).await?;
        }
        appended
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        let _call = self.begin()?;
        self.head(room).await
    }

    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        let _call = self.begin()?;
        self.read_records(room, after, count_max).await
    }

    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError> {
        let _call = self.begin()?;
        self.room_names(after, count_max).await
    }

    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        let _call = self.begin()?;
        self.store_chunk(room, upload, index, &bytes).await
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        let _call = self.begin()?;
        self.stored_chunk(room, upload, index).await
    }

    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        let _call = self.begin()?;
        self.adopt_upload(room, &adoption).await
    }

    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        let _call = self.begin()?;
        self.trim_records(room, through).await
    }

    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        let _call = self.begin()?;
        self.touch_room(room, ttl_ms).await
    }

    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        let _call = self.begin()?;
        self.freeze_room(room, frozen).await
    }

    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        let _call = self.begin()?;
        self.expire_room(room, deadline_ms).await
    }

    async fn delete(&self, room: &RoomName) -> Result<bool, LogError> {
        let _call = self.begin()?;
        self.delete_room(room).await
    }

    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        let _call = self.begin()?;
        self.tombstone_of(room).await
    }

    async fn follow(&self, room: &RoomName) -> Result<Follower, LogError> {
        let _call = self.begin()?;
        self.bus.follow(&self.connect, room).await
    }

    fn whisper(&self, room: &RoomName, from: InstanceId, whisper: Whisper) {
        self.bus.whisper(room, from, &whisper);
    }

    async fn put_notes(&self, notes: Vec<Note>) -> Result<(), LogError> {
        let _call = self.begin()?;
        self.store_notes(&notes).await
    }

    async fn notes(&self) -> Result<Vec<Note>, LogError> {
        let _call = self.begin()?;
        self.read_notes().await
    }

    fn durability(&self) -> Durability {
        self.watch.verdict().durability
    }

    async fn health(&self) -> Result<(), LogError> {
        let _call = self.begin()?;
        let called = Called { what: "PING", key: "no key", writes: false };
        let refused = |error| log_error(called, error);
        for primary in self.connect.primaries().await.map_err(refused)? {
            let ping = cmd("PING");
            self.connect.call(Lane::Write, Route::Primary(&primary), &ping).await.map_err(refused)?;
        }
        self.watch.verdict().trouble.map_or(Ok(()), Err)
    }

    async fn close(&self) {
        self.closed.cancel();
        self.calls.close();
        self.calls.wait().await;
        self.connect.close();
    }
}

impl Drop for RedisLog {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

async fn check_permissions(connect: &Connect) -> Result<(), RedisOpenError> {
    for primary in connect.primaries().await? {
        match permissions::missing(connect, Route::Primary(&primary)).await {
            Ok(None) => {}
            Ok(Some(missing)) => return Err(RedisOpenError::Forbidden { server: primary.name, missing }),
            Err(CallError::Refused { code, text }) if code == "NOPERM" => {
                return Err(RedisOpenError::Forbidden {
                    server: primary.name,
                    missing: format!("EVAL: {text}"),
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn closed() -> LogError {
    LogError::Fatal("the log is closed".to_owned())
}
