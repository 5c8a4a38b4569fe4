//! Notes on Redis: one hash that all instances share, `retro:room:{}:notes`. No room has an empty name.
//!
//! | field | what |
//! |---|---|
//! | `v` | random, another one whenever there are new notes |
//! | id, 32 hex digits | when the note is of no use any more in ms, a space, what it says |
//!
//! Fields are never changed: a note that is over can be removed by whoever sees it.

use std::collections::HashSet;

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, Value, cmd};
use tokio::time::{Duration, Instant};

use super::RedisLog;
use super::connect::{Lane, Route};
use super::errors::{Called, log_error};
use super::reply::{bytes, text};
use crate::clock::system_clock;
use crate::limits::{NOTES_MAX, REDIS_NOTES_MS, REDIS_NOTES_PER_CALL};
use crate::log::LogError;
use crate::log::notes::{Note, check_count, check_note};

const KEY: &str = "retro:room:{}:notes";
const VERSION: &str = "v";

/// The notes as they were read last.
#[derive(Default)]
pub(super) struct Known {
    read: Mutex<Option<Read>>,
}

struct Read {
    version: Option<String>,
    at: Instant,
    notes: Vec<Note>,
}

impl RedisLog {
    /// What is known is read once, however many are new: all of it is read whenever somebody has stored something.
    pub(super) async fn store_notes(&self, notes: &[Note]) -> Result<(), LogError> {
        notes.iter().try_for_each(check_note)?;
        let known: HashSet<u128> = self.read_notes().await?.iter().map(|note| note.id).collect();
        let mut new: Vec<&Note> = notes.iter().filter(|note| !known.contains(&note.id)).collect();
        let places = NOTES_MAX.saturating_sub(known.len());
        let is_full = new.len() > places;
        new.truncate(places);
        for some in new.chunks(REDIS_NOTES_PER_CALL) {
            let mut set = cmd("HSET");
            set.arg(KEY).arg(VERSION).arg(format!("{:016x}", rand::random::<u64>()));
            for note in some {
                let mut value = format!("{} ", note.until_ms).into_bytes();
                value.extend_from_slice(&note.body);
                set.arg(format!("{:032x}", note.id)).arg(value);
            }
            self.ask(&set, "HSET", true).await?;
        }
        if is_full { check_count(NOTES_MAX) } else { Ok(()) }
    }

    /// All of them are read only if there is a new one, and every now and then, to see what Redis has lost.
    pub(super) async fn read_notes(&self) -> Result<Vec<Note>, LogError> {
        let now_ms = system_clock()();
        let mut question = cmd("HMGET");
        question.arg(KEY).arg(VERSION);
        let version = match self.ask(&question, "HMGET", false).await? {
            Value::Array(fields) => fields.first().and_then(text),
            _ => None,
        };
        let fresh = Duration::from_millis(REDIS_NOTES_MS);
        if let Some(read) = &*self.notes_known.read.lock()
            && version.is_some()
            && read.version == version
            && read.at.elapsed() < fresh
        {
            return Ok(read.notes.iter().filter(|note| now_ms < note.until_ms).cloned().collect());
        }
        let (notes, over) = sort(self.ask(&cmd_of("HGETALL"), "HGETALL", false).await?, now_ms);
        if !over.is_empty() {
            let mut forget = cmd_of("HDEL");
            forget.arg(&over);
            // The next reader tries again.
            let _ = self.ask(&forget, "HDEL", true).await;
        }
        *self.notes_known.read.lock() = Some(Read { version, at: Instant::now(), notes: notes.clone() });
        Ok(notes)
    }

    async fn ask(&self, command: &Cmd, what: &'static str, writes: bool) -> Result<Value, LogError> {
        let called = Called { what, key: KEY, writes };
        let answer = self.connect.call(Lane::Write, Route::Key(KEY), command).await;
        answer.map_err(|error| log_error(called, error))
    }
}

fn cmd_of(word: &str) -> Cmd {
    let mut command = cmd(word);
    command.arg(KEY);
    command
}

/// The notes, and the fields of those that are over. What is none of ours is left alone.
fn sort(answer: Value, now_ms: u64) -> (Vec<Note>, Vec<String>) {
    let (mut notes, mut over) = (Vec::new(), Vec::new());
    let Some(pairs) = pairs(answer) else { return (notes, over) };
    for (field, value) in pairs {
        let Some(note) = note(&field, value) else { continue };
        if now_ms < note.until_ms { notes.push(note) } else { over.push(field) }
    }
    (notes, over)
}

fn pairs(answer: Value) -> Option<Vec<(String, Bytes)>> {
    let flat = match answer {
        Value::Array(flat) => flat,
        Value::Map(pairs) => pairs.into_iter().flat_map(|(field, value)| [field, value]).collect(),
        _ => return None,
    };
    let mut values = flat.into_iter();
    let mut pairs = Vec::new();
    while let (Some(field), Some(value)) = (values.next(), values.next()) {
        if let (Some(field), Some(value)) = (text(&field), bytes(value)) {
            pairs.push((field, value));
        }
    }
    Some(pairs)
}

fn note(field: &str, value: Bytes) -> Option<Note> {
    let id = u128::from_str_radix(field, 16).ok().filter(|_| field.len() == 32)?;
    let space = value.iter().position(|byte| *byte == b' ')?;
    let until_ms = std::str::from_utf8(&value[..space]).ok()?.parse().ok()?;
    Some(Note { id, until_ms, body: value.slice(space + 1..) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [A20] What is under the key and no note of ours is left out, and left alone.
    #[test]
    fn notes_are_told_from_other_fields() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let id = "0123456789abcdef0123456789abcdef";
        let old = "ffffffffffffffffffffffffffffffff";
        let answer = Value::Array(vec![
            bulk("v"),
            bulk("1"),
            bulk(id),
            bulk("20 what it says"),
            bulk(old),
            bulk("10 over"),
            bulk("x"),
            bulk("20 a"),
            bulk("00000000000000000000000000000000"),
            bulk("soon a"),
        ]);
        let (notes, over) = sort(answer, 10);
        let id = u128::from_str_radix(id, 16).unwrap();
        assert_eq!(notes, [Note { id, until_ms: 20, body: Bytes::from_static(b"what it says") }]);
        assert_eq!(over, [old]);
        assert_eq!(sort(Value::Nil, 0), (vec![], vec![]));
    }
}
