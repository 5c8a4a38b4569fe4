//! Rooms of which Redis has lost one key: somebody deleted it, or it was evicted.
//!
//! What is left is made a room again under a new epoch: instances that have more of it in memory notice that, and
//! store what is missing. Nothing is deleted.

use redis::{Value, cmd};

use super::connect::{Lane, Route};
use super::keys::Keys;
use super::meta::{Meta, epoch_text};
use super::{RedisLog, script};
use crate::ids::RoomName;
use crate::log::bus::Epoch;
use crate::log::{Head, LogError};

impl RedisLog {
    /// The room's head. A room that has lost a key is mended first.
    pub(super) async fn head(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        let keys = Keys::of(room);
        let head = |meta: Option<Meta>| meta.map(|meta| meta.head);
        let (known, is_log_there) = tokio::join!(self.meta(room, &keys), self.is_log_there(&keys));
        let known = head(known?);
        let lost = match &known {
            Some(head) => !is_log_there && head.base < head.last.seq,
            None => is_log_there,
        };
        if !lost {
            return Ok(known);
        }
        // While a slot moves, keys of one room may be apart: nothing is lost then, and nothing can be mended.
        match (self.mend(room, &keys).await, known) {
            (Err(error), Some(known)) if error.is_temporary() => Ok(Some(known)),
            (mended, _) => {
                mended?;
                Ok(head(self.meta(room, &keys).await?))
            }
        }
    }

    /// Whether there is a stream, as far as that can be told now.
    async fn is_log_there(&self, keys: &Keys) -> bool {
        let log = keys.log();
        let mut exists = cmd("EXISTS");
        exists.arg(&log);
        let answer = self.connect.call(Lane::Write, Route::Key(&log), &exists).await;
        !matches!(answer, Ok(Value::Int(0)))
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
