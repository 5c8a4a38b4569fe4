//! How rooms live and die: deadlines, freezing, removal, tombstones.

use redis::cmd;

use super::connect::{Lane, Route};
use super::errors::{Called, log_error};
use super::keys::Keys;
use super::meta::Meta;
use super::reply::text;
use super::{RedisLog, script};
use crate::ids::RoomName;
use crate::limits::REDIS_TRIES_MAX;
use crate::log::{LogError, Tombstone};

/// Why a room goes.
#[derive(Clone, Copy)]
enum Why {
    /// Its deadline, which is this, has passed.
    Expired(u64),
    Deleted,
}

impl RedisLog {
    pub(super) async fn touch_room(&self, room: &RoomName, ttl_ms: Option<u64>) -> Result<(), LogError> {
        let keys = Keys::of(room);
        let (clock, grace) = (self.clock_arg(), self.grace_arg());
        let ttl = ttl_ms.map(|ttl| ttl.to_string()).unwrap_or_default();
        let args = [clock.as_bytes(), ttl.as_bytes(), grace.as_bytes()];
        let reply = script::TOUCH.run(&self.connect, &[keys.log(), keys.meta()], &args).await?;
        match reply.word.as_str() {
            "touched" | "absent" => Ok(()),
            _ => Err(reply.refusal()),
        }
    }

    pub(super) async fn freeze_room(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        let mark: &[u8] = if frozen { b"1" } else { b"0" };
        let reply = script::FREEZE.run(&self.connect, &[Keys::of(room).meta()], &[mark]).await?;
        match reply.word.as_str() {
            "done" => Ok(true),
            "absent" => Ok(false),
            _ => Err(reply.refusal()),
        }
    }

    pub(super) async fn expire_room(&self, room: &RoomName, deadline_ms: u64) -> Result<bool, LogError> {
        let keys = Keys::of(room);
        self.remove(room, &keys, Why::Expired(deadline_ms)).await
    }

    pub(super) async fn delete_room(&self, room: &RoomName) -> Result<bool, LogError> {
        let keys = Keys::of(room);
        self.remove(room, &keys, Why::Deleted).await
    }

    /// True if there was a room, and it is gone.
    async fn remove(&self, room: &RoomName, keys: &Keys, why: Why) -> Result<bool, LogError> {
        for _ in 0..REDIS_TRIES_MAX {
            let meta = self.meta(room, keys).await?;
            if meta.is_none() && matches!(why, Why::Expired(_)) {
                return Ok(false);
            }
            match self.remove_as_seen(keys, meta.as_ref(), why).await? {
                Removed::Gone => {
                    self.places.forget(room);
                    return Ok(meta.is_some());
                }
                Removed::Kept => return Ok(false),
                Removed::Changed => {}
            }
        }
        Err(LogError::Unavailable("the room changes too fast to be removed".to_owned()))
    }

    /// Removes everything that a room has, if that is still what was seen.
    async fn remove_as_seen(&self, keys: &Keys, meta: Option<&Meta>, why: Why) -> Result<Removed, LogError> {
        let mut names = vec![keys.meta(), keys.log()];
        let (mut epoch, mut snapshots, mut uploads) = ("", "", "");
        if let Some(meta) = meta {
            let adopted = &meta.head.snapshots;
            names.extend(adopted.iter().map(|snapshot| keys.snapshot(snapshot.revision, snapshot.upload)));
            names.extend(meta.open_uploads().into_iter().map(|upload| keys.snapshot(0, upload)));
            (epoch, snapshots, uploads) = (&meta.epoch, &meta.snapshots, &meta.uploads);
        }
        let (why, deadline) = match why {
            Why::Expired(deadline_ms) => ("expire", deadline_ms.to_string()),
            Why::Deleted => {
                names.push(keys.tomb());
                ("delete", String::new())
            }
        };
        let clock = self.clock_arg();
        let args = [clock.as_str(), why, epoch, snapshots, uploads, &deadline].map(str::as_bytes);
        let reply = script::REMOVE.run(&self.connect, &names, &args).await?;
        match reply.word.as_str() {
            "removed" => Ok(Removed::Gone),
            "kept" => Ok(Removed::Kept),
            "changed" => Ok(Removed::Changed),
            _ => Err(reply.refusal()),
        }
    }

    pub(super) async fn tombstone_of(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        let key = Keys::of(room).tomb();
        let mut get = cmd("GET");
        get.arg(&key);
        let called = Called { what: "GET", key: &key, writes: false };
        let answer = self.connect.call(Lane::Write, Route::Key(&key), &get).await;
        let answer = answer.map_err(|error| log_error(called, error))?;
        if answer == redis::Value::Nil {
            return Ok(None);
        }
        let deleted_ms = text(&answer).and_then(|text| text.parse().ok());
        let deleted_ms = deleted_ms.ok_or_else(|| {
            LogError::Fatal(format!("the room's tombstone {key} cannot be used: it is no number"))
        })?;
        Ok(Some(Tombstone { deleted_ms }))
    }
}

enum Removed {
    Gone,
    /// It is not due.
    Kept,
    /// It is not what was seen.
    Changed,
}
