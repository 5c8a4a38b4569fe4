//! A room's entry in the database: all that is known of a room without reading its records.
//!
//! Pure: bytes in, values out. docs/STORAGE.md has the layout. Version 1, which had neither snapshots nor
//! deadlines, is read for ever and written no more.

use bytes::BufMut;

use super::frame::Entry;
use crate::ids::{InstanceId, Position, RoomName};
use crate::limits::BATCH_MEMORY_INSTANCES_MAX;
use crate::log::bus::{Epoch, Seen};
use crate::log::check::check_repeated;
use crate::log::record::StoredRecord;
use crate::log::{Appended, Batch, Head, LogError, SnapshotRef, UploadId};

const VERSION: u8 = 2;
const VERSION_WITHOUT_SNAPSHOTS: u8 = 1;
/// Version, room number and the newest position, in both versions.
const FIXED_V1: usize = 1 + 3 * 8;
/// And base, bytes, revision, deadline, flags and how many snapshots.
const FIXED_V2: usize = FIXED_V1 + 4 * 8 + 2;
const SNAPSHOT: usize = 5 * 8 + 4 + 8;
const BATCH: usize = 5 * 8 + 1;
const FLAG_FROZEN: u8 = 1;
const FLAG_DEADLINE: u8 = 2;
/// Whoever looks up an entry to change it counts them.
const COUNTED: &str = "bytes are counted before an entry is changed";

/// What is known of a room without reading its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoomMeta {
    /// Its key in `log` and `chunks`. Never given twice.
    pub(super) number: u64,
    /// Position of its newest record.
    pub(super) last: Position,
    /// See [`Head::base`].
    pub(super) base: u64,
    /// See [`Head::bytes`]. `None` in an entry of version 1: the records have to be counted.
    pub(super) bytes: Option<u64>,
    /// See [`Head::revision`].
    pub(super) revision: u64,
    /// See [`Head::snapshots`].
    pub(super) snapshots: Vec<SnapshotRef>,
    /// See [`Head::deadline_ms`].
    pub(super) deadline_ms: Option<u64>,
    /// See [`Head::frozen`].
    pub(super) frozen: bool,
    /// The last batch of each instance, the longest unused first, for retries.
    pub(super) batches: Vec<LastBatch>,
}

/// What a batch is answered with when it is sent again. All its records have the same milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastBatch {
    pub(super) instance: InstanceId,
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) ms: u64,
    pub(super) created: bool,
}

impl RoomMeta {
    /// Of a room that is about to get its first record.
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            last: Position::START,
            base: 0,
            bytes: Some(0),
            revision: 0,
            snapshots: Vec::new(),
            deadline_ms: None,
            frozen: false,
            batches: Vec::new(),
        }
    }

    /// `bytes`: [`RoomMeta::bytes`], counted if it was not known.
    pub(super) fn head(&self, bytes: u64) -> Head {
        Head {
            last: self.last,
            epoch: Epoch::NONE,
            base: self.base,
            bytes,
            snapshots: self.snapshots.clone(),
            revision: self.revision,
            deadline_ms: self.deadline_ms,
            frozen: self.frozen,
        }
    }

    /// How far its log goes.
    pub(super) fn seen(&self) -> Seen {
        Seen { last: self.last, epoch: Epoch::NONE }
    }

    pub(super) fn touch(&mut self, ttl_ms: Option<u64>, now_ms: u64) {
        self.deadline_ms = ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms));
    }

    /// Whether the upload is a snapshot of this room.
    pub(super) fn is_adopted(&self, upload: UploadId) -> bool {
        self.snapshots.iter().any(|snapshot| snapshot.upload == upload)
    }

    /// The answer to a batch that is stored; an error for one that came too late; `None` for a new
    /// one. `record` finds the genesis record by its counter: trims leave it where it is.
    pub(super) fn answer_again<E>(
        &self,
        batch: &Batch,
        record: impl FnOnce(u64) -> Result<Option<Result<StoredRecord, LogError>>, E>,
    ) -> Result<Option<Result<Appended, LogError>>, E> {
        let known = self.batches.iter().find(|known| known.instance == batch.instance);
        let Some(known) = known.filter(|known| batch.number <= known.number) else { return Ok(None) };
        if let Err(error) = check_repeated(known.number, batch.number) {
            return Ok(Some(Err(error)));
        }
        let created = if known.created { record(known.first - 1)?.transpose() } else { Ok(None) };
        let at = |seq| Position { seq, ms: known.ms };
        let answer = |created| Appended {
            before: None,
            created,
            first: at(known.first),
            last: at(known.last),
            epoch: Epoch::NONE,
            duplicate: true,
        };
        Ok(Some(created.map(answer)))
    }

    /// Gives a new batch its positions, behind the genesis record if it creates the room.
    ///
    /// # Panics
    /// If the bytes of an older entry were not counted.
    pub(super) fn place(&mut self, batch: &Batch, creates: bool, now_ms: u64) -> Appended {
        let ms = now_ms.max(self.last.ms);
        let at = |seq| Position { seq, ms };
        let before = self.last.seq;
        let genesis = creates.then_some(&batch.genesis);
        let bytes = genesis.into_iter().chain(&batch.records).map(|record| record.encoded.len() as u64);
        self.bytes = Some(self.bytes.expect(COUNTED) + bytes.sum::<u64>());
        self.touch(batch.ttl_ms, now_ms);
        let first = before + 1 + u64::from(creates);
        self.last = at(before + u64::from(creates) + batch.records.len() as u64);
        self.remember(LastBatch {
            instance: batch.instance,
            number: batch.number,
            first,
            last: self.last.seq,
            ms,
            created: creates,
        });
        let created =
            genesis.map(|record| StoredRecord::Intact { position: at(before + 1), record: record.clone() });
        Appended {
            created,
            before: None,
            first: at(first),
            last: self.last,
            epoch: Epoch::NONE,
            duplicate: false,
        }
    }

    /// Takes note of a batch that the journal has.
    pub(super) fn note(&mut self, entry: &Entry) {
        self.last = entry.last();
        self.bytes = Some(self.bytes.expect(COUNTED) + entry.bytes());
        self.deadline_ms = entry.deadline_ms;
        self.remember(LastBatch {
            instance: entry.instance,
            number: entry.number,
            first: entry.first + u64::from(entry.created),
            last: self.last.seq,
            ms: entry.ms,
            created: entry.created,
        });
    }

    /// Takes over what appends change of the entry of the same room as the journal has it.
    pub(super) fn take_over(&mut self, newest: &Self) {
        self.last = newest.last;
        self.bytes = newest.bytes;
        self.deadline_ms = newest.deadline_ms;
        self.batches.clone_from(&newest.batches);
    }

    fn remember(&mut self, batch: LastBatch) {
        self.batches.retain(|known| known.instance != batch.instance);
        if self.batches.len() == BATCH_MEMORY_INSTANCES_MAX {
            self.batches.remove(0);
        }
        self.batches.push(batch);
    }

    /// Always the newest version.
    ///
    /// # Panics
    /// If the bytes of an older entry were not counted: they must be before anything is written.
    pub(super) fn encode(&self, room: &RoomName) -> Vec<u8> {
        let variable = self.snapshots.len() * SNAPSHOT + self.batches.len() * BATCH;
        let mut out = Vec::with_capacity(FIXED_V2 + variable + 4);
        out.put_u8(VERSION);
        let bytes = self.bytes.expect(COUNTED);
        let deadline_ms = self.deadline_ms.unwrap_or_default();
        let fixed = [self.number, self.last.seq, self.last.ms, self.base, bytes, self.revision, deadline_ms];
        fixed.into_iter().for_each(|value| out.put_u64_le(value));
        let deadline = if self.deadline_ms.is_some() { FLAG_DEADLINE } else { 0 };
        out.put_u8(deadline | if self.frozen { FLAG_FROZEN } else { 0 });
        out.put_u8(u8::try_from(self.snapshots.len()).expect("a room keeps few snapshots"));
        for snapshot in &self.snapshots {
            let SnapshotRef { revision, upload, through, log_bytes, chunks, bytes } = snapshot;
            for value in [*revision, upload.0, through.seq, through.ms, *log_bytes] {
                out.put_u64_le(value);
            }
            out.put_u32_le(*chunks);
            out.put_u64_le(*bytes);
        }
        for batch in &self.batches {
            for value in [batch.instance.0, batch.number, batch.first, batch.last, batch.ms] {
                out.put_u64_le(value);
            }
            out.put_u8(u8::from(batch.created));
        }
        out.put_u32_le(check(room, &out));
        out
    }

    /// The entry under that name. An entry that is damaged or of a newer ruang closes that room only.
    pub(super) fn decode(room: &RoomName, bytes: &[u8]) -> Result<Self, LogError> {
        Self::parse(room, bytes)
            .map_err(|why| LogError::Fatal(format!("the room's entry in the store cannot be used: {why}")))
    }

    fn parse(room: &RoomName, bytes: &[u8]) -> Result<Self, String> {
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or("it is too short")?;
        if check(room, body) != u32::from_le_bytes(*sum) {
            return Err("its checksum does not hold".to_owned());
        }
        let fixed_len = match body.first() {
            Some(&VERSION_WITHOUT_SNAPSHOTS) => FIXED_V1,
            Some(&VERSION) => FIXED_V2,
            Some(version) => {
                return Err(format!("its version is {version}, this ruang knows up to {VERSION}"));
            }
            None => return Err("it is too short".to_owned()),
        };
        let (fixed, rest) = body.split_at_checked(fixed_len).ok_or("it is too short")?;
        let numbers = &fixed[1..];
        let mut meta = Self {
            last: Position { seq: le_u64(numbers, 1), ms: le_u64(numbers, 2) },
            bytes: None,
            ..Self::new(le_u64(numbers, 0))
        };
        let mut batches = rest;
        if fixed_len == FIXED_V2 {
            let (flags, snapshots) = (fixed[FIXED_V2 - 2], usize::from(fixed[FIXED_V2 - 1]));
            meta.base = le_u64(numbers, 3);
            meta.bytes = Some(le_u64(numbers, 4));
            meta.revision = le_u64(numbers, 5);
            meta.deadline_ms = (flags & FLAG_DEADLINE != 0).then(|| le_u64(numbers, 6));
            meta.frozen = flags & FLAG_FROZEN != 0;
            let split = rest.split_at_checked(snapshots * SNAPSHOT).ok_or("it is cut off")?;
            meta.snapshots = split.0.chunks_exact(SNAPSHOT).map(snapshot).collect();
            batches = split.1;
        }
        let batches = batches.chunks_exact(BATCH);
        if !batches.remainder().is_empty() {
            return Err("it is cut off".to_owned());
        }
        meta.batches = batches.map(batch).collect();
        Ok(meta)
    }
}

fn snapshot(bytes: &[u8]) -> SnapshotRef {
    let mut chunks = [0; 4];
    chunks.copy_from_slice(&bytes[40..44]);
    SnapshotRef {
        revision: le_u64(bytes, 0),
        upload: UploadId(le_u64(bytes, 1)),
        through: Position { seq: le_u64(bytes, 2), ms: le_u64(bytes, 3) },
        log_bytes: le_u64(bytes, 4),
        chunks: u32::from_le_bytes(chunks),
        bytes: le_u64(&bytes[44..], 0),
    }
}

fn batch(bytes: &[u8]) -> LastBatch {
    LastBatch {
        instance: InstanceId(le_u64(bytes, 0)),
        number: le_u64(bytes, 1),
        first: le_u64(bytes, 2),
        last: le_u64(bytes, 3),
        ms: le_u64(bytes, 4),
        created: bytes[BATCH - 1] != 0,
    }
}

fn check(room: &RoomName, entry: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(room.as_str().as_bytes()), entry)
}

/// The integer of that index in a row of them. The caller has checked the length.
pub(super) fn le_u64(bytes: &[u8], index: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
    u64::from_le_bytes(eight)
}

/// The crc32c of a row of integers: keys are a part of what their values are checked with.
pub(super) fn check_of(key: &[u64]) -> u32 {
    key.iter().fold(0, |crc, value| crc32c::crc32c_append(crc, &value.to_le_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn furnished() -> RoomMeta {
        let snapshot = |revision| SnapshotRef {
            revision,
            upload: UploadId(u64::MAX - revision),
            through: Position { seq: 3 * revision, ms: 5 },
            log_bytes: 7,
            chunks: 9,
            bytes: 11,
        };
        let batch = |instance| LastBatch {
            instance: InstanceId(instance),
            number: 4,
            first: 2,
            last: 6,
            ms: 8,
            created: instance == 1,
        };
        RoomMeta {
            number: 12,
            last: Position { seq: 13, ms: 14 },
            base: 2,
            bytes: Some(15),
            revision: 2,
            snapshots: vec![snapshot(1), snapshot(2)],
            deadline_ms: Some(0),
            frozen: true,
            batches: vec![batch(1), batch(2)],
        }
    }

    /// An entry comes back as it was written, under its own name only.
    #[test]
    fn an_entry_comes_back() {
        let name = RoomName::parse("a").unwrap();
        for meta in [furnished(), RoomMeta { bytes: Some(0), ..RoomMeta::new(1) }] {
            let entry = meta.encode(&name);
            assert_eq!(RoomMeta::decode(&name, &entry), Ok(meta));
            assert!(RoomMeta::decode(&RoomName::parse("b").unwrap(), &entry).is_err());
        }
    }

    /// [L40] Each flipped bit and each truncation of an entry is detected.
    #[test]
    fn each_flipped_bit_is_detected() {
        let name = RoomName::parse("a").unwrap();
        let entry = furnished().encode(&name);
        for bit in 0..entry.len() * 8 {
            let mut turned = entry.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            assert!(RoomMeta::decode(&name, &turned).is_err(), "bit {bit}");
        }
        for len in 0..entry.len() {
            assert!(RoomMeta::decode(&name, &entry[..len]).is_err(), "cut to {len}");
        }
    }

    /// [L64] An entry of a newer ruang is told apart from damage, in one line.
    #[test]
    fn a_newer_entry_says_so() {
        let name = RoomName::parse("a").unwrap();
        let mut entry = furnished().encode(&name);
        entry.truncate(entry.len() - 4);
        entry[0] = VERSION + 1;
        entry.put_u32_le(check(&name, &entry));
        let text = RoomMeta::decode(&name, &entry).unwrap_err().to_string();
        assert!(text.contains("its version is 3, this ruang knows up to 2"), "{text}");
    }
}
