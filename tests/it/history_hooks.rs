//! A log between a test and the one that stores: it decides what becomes of each call.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ruang::ids::RoomName;
use ruang::log::record::StoredRecord;
use ruang::log::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};
use tokio::sync::Notify;

/// What becomes of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It fails and changes nothing.
    Fail(LogError),
    /// It is done, and answered with "unknown".
    LoseReply,
    /// Its caller ends before it is done.
    CutBefore,
    /// Its caller ends after it is done.
    CutAfter,
}

/// A log whose calls are counted, and of which one may go wrong.
pub struct Hooked {
    inner: Arc<dyn Log>,
    calls: AtomicUsize,
    /// The call that goes wrong, counted from 0, and how.
    fate: Mutex<Option<(usize, Fate)>>,
    /// Told when a caller is to end.
    pub cut: Notify,
    pub names: Mutex<Vec<&'static str>>,
}

impl Hooked {
    pub fn new(inner: &Arc<dyn Log>, at: usize, fate: Fate) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            calls: AtomicUsize::new(0),
            fate: Mutex::new(Some((at, fate))),
            cut: Notify::new(),
            names: Mutex::default(),
        })
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn call<T>(
        &self,
        name: &'static str,
        run: impl Future<Output = Result<T, LogError>> + Send,
    ) -> Result<T, LogError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.names.lock().push(name);
        let fate = self.fate.lock().clone().filter(|(at, _)| *at == number).map(|(_, fate)| fate);
        match fate {
            None => run.await,
            Some(Fate::Fail(error)) => Err(error),
            Some(Fate::LoseReply) => {
                run.await?;
                Err(LogError::Unknown("the reply was lost".to_owned()))
            }
            Some(Fate::CutBefore) => {
                self.cut.notify_one();
                pending().await
            }
            Some(Fate::CutAfter) => {
                let _ = run.await;
                self.cut.notify_one();
                pending().await
            }
        }
    }
}

#[async_trait]
impl Log for Hooked {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        self.call("append", self.inner.append(room, batch)).await
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        self.call("open", self.inner.open(room)).await
    }

    async fn read(&self, room: &RoomName, after: u64, max: usize) -> Result<Vec<StoredRecord>, LogError> {
        self.call("read", self.inner.read(room, after, max)).await
    }

    async fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomName>, LogError> {
        self.call("rooms", self.inner.rooms(after, max)).await
    }

    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        self.call("put_chunk", self.inner.put_chunk(room, upload, index, bytes)).await
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        self.call("chunk", self.inner.chunk(room, upload, index)).await
    }

    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        self.call("adopt", self.inner.adopt(room, adoption)).await
    }

    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        self.call("trim", self.inner.trim(room, through)).await
    }

    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        self.inner.touch(room, ttl_ms).await
    }

    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        self.inner.freeze(room, frozen).await
    }

    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        self.inner.expire(room, deadline_ms).await
    }

    async fn delete(&self, room: &RoomName) -> Result<bool, LogError> {
        self.inner.delete(room).await
    }

    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        self.inner.tombstone(room).await
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn health(&self) -> Result<(), LogError> {
        self.inner.health().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
