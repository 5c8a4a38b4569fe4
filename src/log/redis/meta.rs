//! What Redis knows of a room beside its records: a hash.
//!
//! | field | what |
//! |---|---|
//! | `v` | version of all this: 1 |
//! | `e` | epoch: 16 random hex digits, drawn when the room is made |
//! | `s`, `t` | counter and milliseconds of the newest record |
//! | `n` | bytes of all records of this life |
//! | `f` | records up to this counter are trimmed; absent: none |
//! | `g` | the revision; absent: 0 |
//! | `k` | the adopted snapshots, oldest first: `revision:upload:seq:ms:log_bytes:chunks:bytes`, a space between them |
//! | `u` | uploads that are not adopted: `upload:ms of the last chunk`, a space between them |
//! | `d` | the deadline in ms since 1970; absent: none |
//! | `x` | when Redis removes the room by itself; absent: never |
//! | `z` | 1: frozen |
//! | `b:<instance>` | its last batch: `number first last ms created` |
//!
//! Pure.

use redis::Value;

use super::reply::{newer, text};
use crate::ids::Position;
use crate::log::bus::Epoch;
use crate::log::{Head, LogError, SnapshotRef, UploadId};

/// The fields that [`Meta`] is made of, in its order.
pub(super) const FIELDS: [&str; 11] = ["v", "e", "s", "t", "n", "f", "g", "k", "u", "d", "z"];

/// A room that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    /// Which log this is: another one has begun if it differs.
    pub(super) epoch: String,
    /// What everybody sees.
    pub(super) head: Head,
    /// Field `k` as it stands there, to compare with.
    pub(super) snapshots: String,
    /// Field `u` as it stands there.
    pub(super) uploads: String,
}

impl Meta {
    /// Reads the answer to `HMGET` of [`FIELDS`]. `None`: there is no such room.
    pub(super) fn of(key: &str, answer: Value) -> Result<Option<Self>, LogError> {
        let damaged = |what: &str| LogError::Fatal(format!("the room's entry {key} is damaged: {what}"));
        let Value::Array(values) = answer else { return Err(damaged("it is no list")) };
        let fields: [Option<String>; FIELDS.len()] = values
            .iter()
            .map(text)
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| damaged("fields are missing"))?;
        let [version, epoch, seq, ms, bytes, base, revision, snapshots, uploads, deadline, frozen] = fields;
        match version.as_deref() {
            None | Some("1") => {}
            Some(version) => return Err(newer(key, version)),
        }
        let Some(epoch) = epoch else { return Ok(None) };
        let number = |field: Option<String>, name: &str| {
            field.unwrap_or_else(|| "0".to_owned()).parse::<u64>().map_err(|_| damaged(name))
        };
        let snapshots = snapshots.unwrap_or_default();
        let last = Position { seq: number(seq, "s")?, ms: number(ms, "t")? };
        if last.seq == 0 {
            return Err(damaged("s"));
        }
        let head = Head {
            last,
            epoch: parse_epoch(&epoch).ok_or_else(|| damaged("e"))?,
            base: number(base, "f")?,
            bytes: number(bytes, "n")?,
            snapshots: parse_snapshots(&snapshots).ok_or_else(|| damaged("k"))?,
            revision: number(revision, "g")?,
            deadline_ms: deadline.map(|ms| number(Some(ms), "d")).transpose()?,
            frozen: frozen.is_some(),
        };
        Ok(Some(Self { epoch, head, snapshots, uploads: uploads.unwrap_or_default() }))
    }

    /// The uploads that are not adopted.
    pub(super) fn open_uploads(&self) -> Vec<UploadId> {
        let ids = self.uploads.split_ascii_whitespace().filter_map(|upload| upload.split_once(':'));
        ids.filter_map(|(id, _)| u64::from_str_radix(id, 16).ok().map(UploadId)).collect()
    }
}

/// An epoch as it stands in field `e`.
pub(super) fn epoch_text(epoch: Epoch) -> String {
    format!("{:016x}", epoch.0)
}

/// And back; none is zero.
pub(super) fn parse_epoch(text: &str) -> Option<Epoch> {
    u64::from_str_radix(text, 16).ok().filter(|epoch| *epoch != 0).map(Epoch)
}

/// An upload's number as it stands in keys and fields.
pub(super) fn upload_text(upload: UploadId) -> String {
    format!("{:016x}", upload.0)
}

/// Field `k`.
pub(super) fn snapshots_text(snapshots: &[SnapshotRef]) -> String {
    let all: Vec<String> = snapshots
        .iter()
        .map(|snapshot| {
            let SnapshotRef { revision, upload, through, log_bytes, chunks, bytes } = snapshot;
            let (seq, ms) = (through.seq, through.ms);
            format!("{revision}:{}:{seq}:{ms}:{log_bytes}:{chunks}:{bytes}", upload_text(*upload))
        })
        .collect();
    all.join(" ")
}

fn parse_snapshots(text: &str) -> Option<Vec<SnapshotRef>> {
    text.split_ascii_whitespace().map(parse_snapshot).collect()
}

fn parse_snapshot(text: &str) -> Option<SnapshotRef> {
    let parts: [&str; 7] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
    let [revision, upload, seq, ms, log_bytes, chunks, bytes] = parts;
    Some(SnapshotRef {
        revision: revision.parse().ok()?,
        upload: UploadId(u64::from_str_radix(upload, 16).ok().filter(|_| upload.len() == 16)?),
        through: Position { seq: seq.parse().ok()?, ms: ms.parse().ok()? },
        log_bytes: log_bytes.parse().ok()?,
        chunks: chunks.parse().ok()?,
        bytes: bytes.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(fields: [Option<&str>; FIELDS.len()]) -> Value {
        let value = |field: Option<&str>| field.map_or(Value::Nil, |text| Value::BulkString(text.into()));
        Value::Array(fields.into_iter().map(value).collect())
    }

    /// [L83] A room's entry comes back as it was written.
    #[test]
    fn an_entry_comes_back() {
        let snapshot = |revision| SnapshotRef {
            revision,
            upload: UploadId(u64::MAX - revision),
            through: Position { seq: 3 * revision, ms: u64::MAX },
            log_bytes: 7,
            chunks: 9,
            bytes: 11,
        };
        let snapshots = vec![snapshot(1), snapshot(2)];
        let k = snapshots_text(&snapshots);
        let mut fields = [None; FIELDS.len()];
        for (index, field) in
            ["1", "0a", "13", "14", "15", "2", "2", &k, "00ff:5 1:9", "0", "1"].iter().enumerate()
        {
            fields[index] = Some(*field);
        }
        let meta = Meta::of("m", values(fields)).expect("good").expect("there");
        let head = Head {
            last: Position { seq: 13, ms: 14 },
            epoch: Epoch(10),
            base: 2,
            bytes: 15,
            snapshots,
            revision: 2,
            deadline_ms: Some(0),
            frozen: true,
        };
        assert_eq!((meta.epoch.as_str(), &meta.head, meta.snapshots.as_str()), ("0a", &head, k.as_str()));
        assert_eq!(meta.open_uploads(), [UploadId(255), UploadId(1)]);
        assert_eq!(Meta::of("m", values([None; FIELDS.len()])), Ok(None));
    }

    /// [L83] An entry that others have spoilt, or a newer ruang has written, is refused in one line that names the key.
    #[test]
    fn spoilt_entries_are_refused() {
        let good = ["1", "e", "2", "3", "4", "0", "0", "", "", "5", "1"].map(Some);
        assert!(Meta::of("m", values(good)).expect("good").is_some());
        for (index, bad) in
            [(0, "2"), (2, "x"), (2, "0"), (3, "-1"), (4, "1e9"), (5, ""), (6, "x"), (7, "1:2"), (9, "soon")]
        {
            let mut fields = good;
            fields[index] = Some(bad);
            let error = Meta::of("retro:room:{a}:meta", values(fields)).expect_err(bad).to_string();
            println!("{error}");
            assert!(error.contains("retro:room:{a}:meta") && !error.contains('\n'));
            assert_eq!(error.contains("newer ruang"), index == 0);
        }
        assert!(Meta::of("m", Value::Nil).is_err() && Meta::of("m", Value::Array(vec![])).is_err());
    }
}
