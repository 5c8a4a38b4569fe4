//! Heads and records.

use redis::{Cmd, Pipeline, Value, cmd, pipe};

use super::connect::{Lane, Route};
use super::errors::{CallError, Called, log_error};
use super::keys::Keys;
use super::meta::{FIELDS, Meta};
use super::reply::{Entry, Reply, entries};
use super::sequence::{Extent, is_record, line_up};
use super::{RedisLog, permissions, script};
use crate::ids::{Position, RoomName};
use crate::limits::{READ_BYTES_MAX, REDIS_PAGE_RECORDS, REDIS_TRIES_MAX};
use crate::log::LogError;
use crate::log::record::StoredRecord;

/// Entries that a page has beyond the records that are wanted, to tell what stands in a record's place from what others
/// wrote.
const LOOK_AHEAD: u64 = 4;

/// A page of a stream, and the room as it was then.
struct Page {
    meta: Meta,
    entries: Vec<Entry>,
    extent: Extent,
}

/// The newest record has the time that the room's entry says, also if it is missing.
fn in_place(record: StoredRecord, newest: Position) -> StoredRecord {
    match record {
        StoredRecord::Damaged { position, why } if position.seq == newest.seq => {
            StoredRecord::Damaged { position: newest, why }
        }
        record => record,
    }
}

impl RedisLog {
    pub(super) async fn meta(&self, room: &RoomName, keys: &Keys) -> Result<Option<Meta>, LogError> {
        let key = keys.meta();
        let mut command = cmd("HMGET");
        command.arg(&key).arg(&FIELDS[..]);
        let called = Called { what: "HMGET", key: &key, writes: false };
        let answer = self.connect.call(Lane::Write, Route::Key(&key), &command).await;
        let meta = Meta::of(&key, answer.map_err(|error| log_error(called, error))?)?;
        if let Some(meta) = &meta {
            for place in meta.head.snapshots.iter().map(|snapshot| snapshot.through).chain([meta.head.last]) {
                self.places.note(room, &meta.epoch, place);
            }
        }
        Ok(meta)
    }

    pub(super) async fn read_records(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        let keys = Keys::of(room);
        for _ in 0..REDIS_TRIES_MAX {
            let Some(meta) = self.meta(room, &keys).await? else { return Ok(Vec::new()) };
            if count_max == 0 || after >= meta.head.last.seq {
                return Ok(Vec::new());
            }
            let Some(records) = self.read_life(room, &keys, &meta, after, count_max).await? else { continue };
            return Ok(records);
        }
        Err(LogError::Unavailable("the room changes too fast to be read".to_owned()))
    }

    /// Reads of the life that `meta` is of. `None`: before anything was read, it ended or more was trimmed.
    async fn read_life(
        &self,
        room: &RoomName,
        keys: &Keys,
        meta: &Meta,
        after: u64,
        count_max: usize,
    ) -> Result<Option<Vec<StoredRecord>>, LogError> {
        let last = meta.head.last.seq;
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut place = Position { seq: after.max(meta.head.base), ms: 0 };
        let mut from = "-".to_owned();
        // Where the reader's place is not found, what stands before it is read too, and passed over.
        if place.seq > meta.head.base
            && let Some(found) = self.locate(room, keys, meta, place.seq).await?
        {
            (place, from) = (found, format!("({found}"));
        }
        // Redis cannot bound a range by bytes; a script can, and takes ten times as long.
        let is_long = from == "-" && place.seq > meta.head.base
            || bytes_behind(meta, place.seq) > READ_BYTES_MAX as u64;
        let (first, mut look_far) = (place.seq, false);
        while records.len() < count_max && bytes <= READ_BYTES_MAX && place.seq < last {
            let wanted = count_max - records.len();
            let few = REDIS_PAGE_RECORDS.min((wanted as u64).saturating_add(LOOK_AHEAD));
            let (count, bytes_max) =
                if look_far { (REDIS_PAGE_RECORDS, READ_BYTES_MAX) } else { (few, READ_BYTES_MAX - bytes) };
            let page = self.page(keys, &from, count, is_long.then_some(bytes_max)).await?;
            let same = |page: &Page| page.meta.epoch == meta.epoch && page.meta.head.base <= place.seq;
            let Some(mut page) = page.filter(same) else {
                return Ok((!records.is_empty()).then_some(records));
            };
            if look_far && page.extent == Extent::Part {
                page.extent = Extent::Full; // more is never looked at together, in entries or in bytes
            }
            let before = if place.seq == first { known_before(&page.entries, first) } else { 0 };
            let passed = before.checked_sub(1).map(|index| page.entries[index].id());
            let lined = line_up(place, last, &page.entries[before..], page.extent, wanted);
            if let Some((position, error)) = lined.newer {
                return Err(LogError::Fatal(format!("the room cannot be read from {position} on: {error}")));
            }
            note_foreign(keys, lined.foreign);
            bytes += lined.records.iter().map(stored_bytes).sum::<usize>();
            records.extend(lined.records.into_iter().map(|record| in_place(record, meta.head.last)));
            place = records.last().map_or(place, StoredRecord::position);
            look_far = lined.unsure;
            match lined.seen.or(passed) {
                Some(seen) if page.extent != Extent::Complete => from = format!("({seen}"),
                None if look_far => {}
                _ => break,
            }
        }
        // Who goes on reads the last one again, to see that it is the same.
        for stored in records.iter().rev().take(2).rev() {
            if let StoredRecord::Intact { position, .. } = stored {
                self.places.note(room, &meta.epoch, *position);
            }
        }
        Ok(Some(records))
    }

    /// One page, with what the room was before and after: `None` if it was trimmed or ended meanwhile. `bytes_max`: it ends
    /// with the entry that passes so many bytes.
    async fn page(
        &self,
        keys: &Keys,
        from: &str,
        count: u64,
        bytes_max: Option<usize>,
    ) -> Result<Option<Page>, LogError> {
        let (log, meta_key) = (keys.log(), keys.meta());
        let route = Route::Key(&meta_key);
        let mut command = cmd("XRANGE");
        command.arg(&log).arg(from).arg("+").arg("COUNT").arg(count);
        let (count_arg, bytes_arg) = (count.to_string(), bytes_max.unwrap_or_default().to_string());
        let args = [from.as_bytes(), count_arg.as_bytes(), bytes_arg.as_bytes()];
        let script_keys = [log.clone()];
        if bytes_max.is_some() {
            command = script::PAGE.known(&script_keys, &args);
        }
        let mut answer = self.connect.call_all(Lane::Bulk, route, &between_metas(&meta_key, command)).await;
        if answer.as_ref().is_err_and(CallError::is_no_script) {
            let command = script::PAGE.in_full(&script_keys, &args);
            answer = self.connect.call_all(Lane::Bulk, route, &between_metas(&meta_key, command)).await;
        }
        if let Err(error) = &mut answer {
            permissions::explain(&self.connect, route, error).await;
        }
        let what = if bytes_max.is_some() { script::PAGE.name } else { "XRANGE" };
        let called = Called { what, key: &log, writes: false };
        let answer: [Value; 3] = answer
            .map_err(|error| log_error(called, error))?
            .try_into()
            .map_err(|_| LogError::Fatal(format!("{what} on {log}: the answer is not as expected")))?;
        let [before, page, after] = answer;
        let (before, after) = (Meta::of(&meta_key, before)?, Meta::of(&meta_key, after)?);
        let same = |(before, after): (&Meta, &Meta)| {
            before.epoch == after.epoch && before.head.base == after.head.base
        };
        if !before.as_ref().zip(after.as_ref()).is_some_and(same) {
            return Ok(None);
        }
        let (entries, is_end) = match bytes_max {
            None => {
                let entries = read_entries(called, page)?;
                let is_end = (entries.len() as u64) < count;
                (entries, is_end)
            }
            Some(_) => {
                let mut reply = Reply::of(page, called)?;
                (read_entries(called, reply.take(1))?, reply.word == "end")
            }
        };
        let extent = match entries.len() as u64 {
            _ if is_end => Extent::Complete,
            REDIS_PAGE_RECORDS.. => Extent::Full,
            _ => Extent::Part,
        };
        Ok(before.map(|meta| Page { meta, entries, extent }))
    }

    /// Finds the entry of a counter: known, or by halving the time. `None` if it is not there.
    pub(super) async fn locate(
        &self,
        room: &RoomName,
        keys: &Keys,
        meta: &Meta,
        seq: u64,
    ) -> Result<Option<Position>, LogError> {
        if let Some(place) = self.places.find(room, &meta.epoch, seq) {
            return Ok(Some(place));
        }
        let log = keys.log();
        let (mut low, mut high) = (0, meta.head.last.ms);
        if let Some(first) = self.entry_from(&log, "-").await? {
            low = first.ms;
        }
        while low <= high {
            let ms = low + (high - low) / 2;
            let Some(found) = self.entry_from(&log, &format!("{ms}-{seq}")).await? else {
                let Some(below) = ms.checked_sub(1) else { break };
                high = below;
                continue;
            };
            if found.seq == seq && is_record(&found) {
                return Ok(Some(Position { seq, ms: found.ms }));
            }
            if found.seq < seq && found.ms > ms {
                low = found.ms;
                if found.ms > high {
                    break;
                }
            } else {
                let Some(below) = ms.checked_sub(1) else { break };
                high = below;
            }
        }
        Ok(None)
    }

    /// The first entry from an id on.
    async fn entry_from(&self, log: &str, from: &str) -> Result<Option<Entry>, LogError> {
        let mut range = cmd("XRANGE");
        range.arg(log).arg(from).arg("+").arg("COUNT").arg(1);
        let called = Called { what: "XRANGE", key: log, writes: false };
        let answer = self.connect.call(Lane::Bulk, Route::Key(log), &range).await;
        let found = read_entries(called, answer.map_err(|error| log_error(called, error))?)?;
        Ok(found.into_iter().next())
    }
}

/// How many entries at the beginning of a page stand before a reader's place.
fn known_before(entries: &[Entry], place: u64) -> usize {
    entries.iter().take_while(|entry| entry.seq <= place).count()
}

fn note_foreign(keys: &Keys, foreign: usize) {
    if foreign > 0 {
        let log = keys.log();
        tracing::warn!(log, foreign, "the stream has entries that are not the room's: they are passed over");
    }
}

fn read_entries(called: Called<'_>, value: Value) -> Result<Vec<Entry>, LogError> {
    entries(value).ok_or_else(|| {
        LogError::Fatal(format!("{} on {}: the answer is not as expected", called.what, called.key))
    })
}

/// What is asked of a stream, with what the room is before and after.
fn between_metas(meta_key: &str, command: Cmd) -> Pipeline {
    let mut asked = pipe();
    asked.cmd("HMGET").arg(meta_key).arg(&FIELDS[..]);
    asked.add_command(command);
    asked.cmd("HMGET").arg(meta_key).arg(&FIELDS[..]);
    asked
}

/// So many bytes the records behind a place have at most: all that was ever stored, without what the newest snapshot up to
/// there stands for.
fn bytes_behind(meta: &Meta, place: u64) -> u64 {
    let covered = meta.head.snapshots.iter().filter(|snapshot| snapshot.through.seq <= place);
    let covered = covered.map(|snapshot| snapshot.log_bytes).max().unwrap_or_default();
    meta.head.bytes.saturating_sub(covered)
}

fn stored_bytes(record: &StoredRecord) -> usize {
    match record {
        StoredRecord::Intact { record, .. } => record.encoded.len(),
        StoredRecord::Damaged { .. } => 0,
    }
}
