//! The store as one instance sees it: every call waits for the simulation.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ruang::ids::{InstanceId, RoomName};
use ruang::log::bus::{Follower, Heard, Whisper};
use ruang::log::record::StoredRecord;
use ruang::log::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};

use crate::store::{Store, now};
use crate::ticket::{Mistake, Verdict};

/// See the module.
pub struct Door {
    pub store: Arc<Store>,
    pub instance: InstanceId,
}

impl Door {
    async fn reading(&self, room: &RoomName, call: String) -> Result<(), LogError> {
        match self.store.pass(self.instance, room, call).await {
            Verdict::Refuse(error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn changing<T>(
        &self,
        room: &RoomName,
        call: String,
        change: impl Fn() -> Result<T, LogError> + Sync,
    ) -> Result<T, LogError> {
        let verdict = self.store.pass(self.instance, room, call).await;
        if let Verdict::Refuse(error) = verdict {
            return Err(error);
        }
        let mut done = change();
        if verdict == Verdict::Twice {
            done = change();
        }
        if verdict == Verdict::LoseReply {
            Err(LogError::Unknown("the reply was lost".to_owned()))
        } else {
            done
        }
    }
}

#[async_trait]
impl Log for Door {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        let call = format!("append {}{}", batch.records.len(), if batch.heals { " to heal" } else { "" });
        let verdict = self.store.pass(self.instance, room, call).await;
        if let Verdict::Refuse(error) = verdict {
            return Err(error);
        }
        if self.store.mistake == Some(Mistake::AnswersFirst) {
            return Ok(self.store.answer_first(room, batch));
        }
        let mut answer = self.store.append(room, &batch);
        if verdict == Verdict::Twice {
            answer = self.store.append(room, &batch);
        }
        if verdict == Verdict::HoldReply {
            self.store.pass(self.instance, room, "answer".to_owned()).await;
        }
        if verdict == Verdict::LoseReply {
            Err(LogError::Unknown("the reply was lost".to_owned()))
        } else {
            answer
        }
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        self.reading(room, "open".to_owned()).await?;
        self.store.log.open(room).await
    }

    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        self.reading(room, format!("read behind {after}")).await?;
        self.store.log.read(room, after, count_max).await
    }

    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError> {
        self.store.log.rooms(after, count_max).await
    }

    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        let put = || now(self.store.log.put_chunk(room, upload, index, bytes.clone()));
        self.changing(room, format!("put_chunk {index}"), put).await
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        self.reading(room, format!("chunk {index}")).await?;
        self.store.log.chunk(room, upload, index).await
    }

    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        let adopt = || now(self.store.log.adopt(room, adoption.clone()));
        self.changing(room, format!("adopt through {}", adoption.through.seq), adopt).await
    }

    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        self.changing(room, format!("trim {through}"), || now(self.store.log.trim(room, through))).await
    }

    async fn touch(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        self.changing(room, "touch".to_owned(), || now(self.store.log.touch(room, ttl_ms))).await
    }

    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        self.store.log.freeze(room, frozen).await
    }

    async fn expire(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        self.store.log.expire(room, deadline_ms).await
    }

    async fn delete(&self, room: &RoomName) -> Result<bool, LogError> {
        self.store.log.delete(room).await
    }

    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        self.reading(room, "tombstone".to_owned()).await?;
        self.store.log.tombstone(room).await
    }

    async fn follow(&self, room: &RoomName) -> Result<Follower, LogError> {
        self.reading(room, "follow".to_owned()).await?;
        Ok(self.store.follow(self.instance, room))
    }

    fn whisper(&self, room: &RoomName, from: InstanceId, whisper: Whisper) {
        self.store.whisper(room, &Heard::Whispered { from, whisper });
    }

    fn durability(&self) -> Durability {
        self.store.log.durability()
    }

    async fn health(&self) -> Result<(), LogError> {
        self.store.log.health().await
    }

    async fn close(&self) {}
}
