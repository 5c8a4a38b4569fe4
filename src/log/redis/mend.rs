//! Rooms of which Redis has lost one key: somebody deleted it, or it was evicted.
//!
//! What is left is made a room again under a new epoch: instances that have more of it in memory notice that, and
//! store what is missing. Nothing is deleted.

use redis::{Value, pipe};

use super::connect::{Lane, Route};
use super::errors::{Called, log_error};
use super::keys::Keys;
use super::meta::{FIELDS, Meta, epoch_text};
use super::{RedisLog, script};
use crate::ids::RoomName;
use crate::log::bus::Epoch;
use crate::log::{Head, LogError};

impl RedisLog {
    /// The room's head. A room that has lost a key is mended first.
    pub(super) async fn head(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        let keys = Keys::of(room);
        let (head, is_log_there) = self.look(&keys).await?;
        let lost = match &head {
            Some(head) => !is_log_there && head.base < head.last.seq,
            None => is_log_there,
        };
        if !lost {
            return Ok(head);
        }
        self.mend(room, &keys).await?;
        Ok(self.look(&keys).await?.0)
    }

    /// The head, and whether there is a stream.
    async fn look(&self, keys: &Keys) -> Result<(Option<Head>, bool), LogError> {
        let (meta, log) = (keys.meta(), keys.log());
        let mut both = pipe();
        // In this order: a room that is made in between looks whole.
        both.cmd("HMGET").arg(&meta).arg(&FIELDS[..]);
        both.cmd("EXISTS").arg(&log);
        let called = Called { what: "HMGET", key: &meta, writes: false };
        let answer = self.connect.call_all(Lane::Write, Route::Key(&meta), &both).await;
        let mut answer = answer.map_err(|error| log_error(called, error))?;
        let is_log_there = matches!(answer.pop(), Some(Value::Int(1)));
        let meta = Meta::of(&meta, answer.pop().unwrap_or_default())?;
        Ok((meta.map(|meta| meta.head), is_log_there))
    }

    /// Makes a room of what is left of it, and says so.
    pub(super) async fn mend(&self, room: &RoomName, keys: &Keys) -> Result<(), LogError> {
        let epoch = epoch_text(Epoch(rand::random_range(1..=u64::MAX)));
        let args = [keys.prefix().as_bytes(), epoch.as_bytes()];
        let reply = script::MEND.run(&self.connect, &[keys.log(), keys.meta()], &args).await?;
        self.places.forget(room);
        let lost = match reply.word.as_str() {
            "whole" => return Ok(()), // somebody was faster, or it is not ours
            "records lost" => keys.log(),
            "entry lost" | "put aside" => keys.meta(),
            _ => return Err(reply.refusal()),
        };
        tracing::error!(
            room = %room.log_id(), lost = %redacted(&lost), what = %reply.word,
            "Redis has lost a key of a room; instances and clients are asked for what was in it. See who deletes keys, \
             and maxmemory-policy"
        );
        Ok(())
    }
}

/// A key without the room's name.
fn redacted(key: &str) -> String {
    key.rsplit_once("}:").map_or_else(String::new, |(_, kind)| format!("retro:room:{{…}}:{kind}"))
}
