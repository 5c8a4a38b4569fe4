//! Appends.

use std::time::{Duration, Instant};

use super::keys::Keys;
use super::meta::{epoch_text, parse_epoch};
use super::reply::{Reply, record};
use super::{RedisLog, script};
use crate::ids::{Position, RoomName};
use crate::limits::{REDIS_BATCH_BYTES_MAX, REDIS_PUBLISH_BYTES_MAX, REDIS_WATCH_MS};
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
        // A room of which a record was seen is not made: it is there, or the batch is behind.
        let may_begin = batch.seen.last.seq == 0;
        let epoch = match may_begin || batch.heals {
            true => epoch_text(Epoch(rand::random_range(1..=u64::MAX))),
            false => String::new(),
        };
        let genesis: &[u8] = if may_begin { &batch.genesis.encoded } else { &[] };
        let records = || std::iter::once(genesis).chain(batch.records.iter().map(|record| &*record.encoded));
        let lengths: Vec<[u8; 4]> = records().map(length).collect();
        let publish = if is_published_whole(batch) { "1" } else { "0" };
        let bus = keys.bus();
        let mut args: Vec<&[u8]> = Vec::with_capacity(15 + 2 * batch.records.len());
        for text in [
            clock.as_str(),
            &bus,
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
            publish,
        ] {
            args.push(text.as_bytes());
        }
        for (length, record) in lengths.iter().zip(records()) {
            args.extend([length.as_slice(), record]);
        }
        let reply = script::APPEND
            .run_on(self.watch.speaks_on, &self.connect, &[keys.log(), keys.meta()], &args)
            .await;
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
        match reply.rest(7) {
            _ if duplicate => {}
            Some(why) => self.note_mute(&keys.bus(), &why),
            None if is_published_whole(batch) => self.bus.expect_echo(room, epoch, last),
            None => {} // without its records it is told from nobody else's
        }
        Ok(Appended { created, before, first, last, epoch, duplicate })
    }

    /// A batch is stored, and the other instances could not be told. They find it when they look at the head.
    fn note_mute(&self, channel: &str, why: &str) {
        let mut told = self.mute_told.lock();
        if told.is_none_or(|told| told.elapsed() >= Duration::from_millis(REDIS_WATCH_MS)) {
            *told = Some(Instant::now());
            tracing::error!(
                channel,
                why,
                "SPUBLISH is refused: edits are stored, but reach other instances only when they look at the log"
            );
        }
    }
}

/// Whether the batch goes over the bus with its records.
fn is_published_whole(batch: &Batch) -> bool {
    batch.records.iter().map(|record| record.encoded.len()).sum::<usize>() <= REDIS_PUBLISH_BYTES_MAX
}

/// A record's length as it stands before it on the bus.
fn length(record: &[u8]) -> [u8; 4] {
    u32::try_from(record.len()).expect("a batch is below 4 GiB: it was checked").to_le_bytes()
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
