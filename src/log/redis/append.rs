//! Appends.

use super::keys::Keys;
use super::meta::{epoch_text, parse_epoch};
use super::reply::{Reply, record};
use super::{RedisLog, script};
use crate::ids::{Position, RoomName};
use crate::limits::{REDIS_BATCH_BYTES_MAX, REDIS_PUBLISH_BYTES_MAX};
use crate::log::bus::{Epoch, Seen};
use crate::log::check::{ONE_WRITES, check_expects, check_repeated, judge};
use crate::log::record::StoredRecord;
use crate::log::{Appended, Batch, Expects, LogError};

/// Redis has lost one of the room's keys: see `mend`.
pub(super) const KEY_LOST: &str = "Redis has lost a key of it";

impl RedisLog {
    pub(super) async fn append_batch(&self, room: &RoomName, batch: &Batch) -> Result<Appended, LogError> {
        check_bytes(batch)?;
        let keys = Keys::of(room);
        let seen_epoch =
            if batch.seen.epoch == Epoch::NONE { String::new() } else { epoch_text(batch.seen.epoch) };
        let (seen_seq, seen_ms) = (batch.seen.last.seq.to_string(), batch.seen.last.ms.to_string());
        let heals = if batch.heals { "1" } else { "" };
        let expects = match batch.expects {
            Expects::Anything => "any".to_owned(),
            Expects::Present => "present".to_owned(),
            Expects::At(seq) => seq.to_string(),
            Expects::Last(seq) => format!("={seq}"),
        };
        let (clock, grace) = (self.clock_arg(), self.grace_arg());
        let (instance, number) = (batch.instance.0.to_string(), batch.number.to_string());
        let ttl = batch.ttl_ms.map(|ttl| ttl.to_string()).unwrap_or_default();
        let (epoch, publish) =
            (epoch_text(Epoch(rand::random_range(1..=u64::MAX))), REDIS_PUBLISH_BYTES_MAX.to_string());
        let prefix = keys.prefix();
        let mut args: Vec<&[u8]> = Vec::with_capacity(14 + batch.records.len());
        for text in [
            clock.as_str(),
            prefix,
            &instance,
            &number,
            &expects,
            &ttl,
            &grace,
            &seen_epoch,
            &seen_seq,
            &seen_ms,
            heals,
            &epoch,
            &publish,
        ] {
            args.push(text.as_bytes());
        }
        args.push(&batch.genesis.encoded);
        args.extend(batch.records.iter().map(|record| record.encoded.as_ref()));
        let reply = script::APPEND.run(&self.connect, &[keys.log(), keys.meta()], &args).await;
        self.appended(room, &keys, batch, reply?)
    }

    fn appended(
        &self,
        room: &RoomName,
        keys: &Keys,
        batch: &Batch,
        mut reply: Reply,
    ) -> Result<Appended, LogError> {
        match reply.word.as_str() {
            "stored" | "again" => {}
            "older" => {
                check_repeated(reply.number(1)?, batch.number)?;
                return Err(reply.refusal());
            }
            "expects" => {
                let last = Position { seq: reply.number(1)?, ms: 0 };
                let unseen = Batch { seen: Seen::default(), ..batch.clone() };
                check_expects(&unseen, Seen { last, epoch: Epoch::NONE }, reply.number(2)? != 0, ONE_WRITES)?;
                return Err(reply.refusal());
            }
            "epoch" => {
                let why = "the store had lost a part of it, and that was healed";
                return Err(LogError::Moved(why.to_owned()));
            }
            "behind" => {
                let (has, had) = (reply.text(1)?, batch.seen.last);
                let why = format!("the store has lost a part of it: it ends at {has}, and {had} was seen");
                return Err(LogError::Moved(why));
            }
            "metalost" | "loglost" => return Err(LogError::Moved(KEY_LOST.to_owned())),
            "fenced" => {
                let (log, top) = (keys.log(), reply.text(1)?);
                return Err(LogError::Fatal(format!(
                    "nothing can be appended to {log}: it has an entry {top}"
                )));
            }
            _ => return Err(reply.refusal()),
        }
        let (first, last, ms) = (reply.number(1)?, reply.number(2)?, reply.number(3)?);
        let (created, epoch) = (reply.text(4)? == "1", reply.text(5)?);
        let duplicate = reply.word == "again";
        let (first, last) = (Position { seq: first, ms }, Position { seq: last, ms });
        self.places.note(room, &epoch, last);
        let genesis_at = Position { seq: first.seq - 1, ms };
        let as_sent = || StoredRecord::Intact { position: genesis_at, record: batch.genesis.clone() };
        let created = match created {
            false => None,
            true if !duplicate || genesis_at.seq <= reply.number(6)? => Some(as_sent()),
            true => Some(stored_genesis(genesis_at, &mut reply)?),
        };
        let epoch = parse_epoch(&epoch).ok_or_else(|| reply.refusal())?;
        let before = if duplicate {
            None
        } else {
            Some(Position::from_id(&reply.text(6)?).ok_or_else(|| reply.refusal())?)
        };
        Ok(Appended { created, before, first, last, epoch, duplicate })
    }
}

/// The genesis record as it stands there.
fn stored_genesis(position: Position, reply: &mut Reply) -> Result<StoredRecord, LogError> {
    match reply.take(7) {
        redis::Value::Nil => Ok(StoredRecord::Damaged { position, why: "it is missing".to_owned() }),
        fields => match record(fields) {
            Some(bytes) => judge(position, bytes),
            None => {
                Ok(StoredRecord::Damaged { position, why: "its fields are not those of a record".to_owned() })
            }
        },
    }
}

fn check_bytes(batch: &Batch) -> Result<(), LogError> {
    let bytes: usize = batch.records.iter().chain([&batch.genesis]).map(|record| record.encoded.len()).sum();
    if bytes > REDIS_BATCH_BYTES_MAX {
        return Err(LogError::Fatal(format!(
            "a batch has at most {REDIS_BATCH_BYTES_MAX} bytes, not {bytes}"
        )));
    }
    Ok(())
}
