//! What the log says of a room, as JSON: in exported files and on the admin socket. Fields are added,
//! never changed; readers pass over those that they do not know.

use serde::{Deserialize, Serialize};

use bytes::Bytes;

use super::part::{self, PartError, PartKind};
use super::place::parse_id;
use crate::ids::{InstanceId, Position, RoomName};
use crate::log::bus::{Epoch, Seen};
use crate::log::record::{Record, StoredRecord};
use crate::log::{Adopted, Adoption, Appended, Batch, Expects, Head, LogError, SnapshotRef, UploadId};

/// [`Head`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadForm {
    /// Id of the newest record.
    last: String,
    base: u64,
    bytes: u64,
    revision: u64,
    deadline_ms: Option<u64>,
    frozen: bool,
    /// Oldest first.
    snapshots: Vec<SnapshotForm>,
}

/// [`SnapshotRef`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotForm {
    revision: u64,
    /// Sixteen hex digits: it has all 64 bits, and JSON's numbers have 53 for many readers.
    upload: String,
    /// Id of the newest record in it.
    through: String,
    log_bytes: u64,
    chunks: u32,
    bytes: u64,
}

/// [`LogError`], as the admin socket says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorForm {
    /// `unknown`, `full`, `unavailable`, `moved` or `fatal`; `absent` where the room is not there.
    pub kind: String,
    /// One line.
    pub error: String,
}

impl From<&Head> for HeadForm {
    fn from(head: &Head) -> Self {
        Self {
            last: head.last.to_string(),
            base: head.base,
            bytes: head.bytes,
            revision: head.revision,
            deadline_ms: head.deadline_ms,
            frozen: head.frozen,
            snapshots: head.snapshots.iter().map(SnapshotForm::from).collect(),
        }
    }
}

impl HeadForm {
    /// Back again; `None` if an id in it is none.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        Some(Head {
            last: parse_id(&self.last)?,
            epoch: Epoch::NONE,
            base: self.base,
            bytes: self.bytes,
            snapshots: self.snapshots.iter().map(SnapshotForm::snapshot).collect::<Option<_>>()?,
            revision: self.revision,
            deadline_ms: self.deadline_ms,
            frozen: self.frozen,
        })
    }
}

impl From<&SnapshotRef> for SnapshotForm {
    fn from(snapshot: &SnapshotRef) -> Self {
        Self {
            revision: snapshot.revision,
            upload: upload_text(snapshot.upload),
            through: snapshot.through.to_string(),
            log_bytes: snapshot.log_bytes,
            chunks: snapshot.chunks,
            bytes: snapshot.bytes,
        }
    }
}

impl SnapshotForm {
    /// Back again; `None` if an id in it is none.
    #[must_use]
    pub fn snapshot(&self) -> Option<SnapshotRef> {
        Some(SnapshotRef {
            revision: self.revision,
            upload: parse_upload(&self.upload)?,
            through: parse_id(&self.through)?,
            log_bytes: self.log_bytes,
            chunks: self.chunks,
            bytes: self.bytes,
        })
    }
}

impl From<&LogError> for ErrorForm {
    fn from(error: &LogError) -> Self {
        let (kind, why) = match error {
            LogError::Unknown(why) => ("unknown", why),
            LogError::Full(why) => ("full", why),
            LogError::Unavailable(why) => ("unavailable", why),
            LogError::Moved(why) => ("moved", why),
            LogError::Fatal(why) => ("fatal", why),
        };
        Self { kind: kind.to_owned(), error: why.clone() }
    }
}

impl ErrorForm {
    /// Back again. A kind of a newer server is refused for ever.
    #[must_use]
    pub fn into_log_error(self) -> LogError {
        match self.kind.as_str() {
            "unknown" => LogError::Unknown(self.error),
            "full" => LogError::Full(self.error),
            "unavailable" => LogError::Unavailable(self.error),
            "moved" => LogError::Moved(self.error),
            _ => LogError::Fatal(self.error),
        }
    }
}

/// An upload as text: sixteen hex digits.
#[must_use]
pub fn upload_text(upload: UploadId) -> String {
    format!("{:016x}", upload.0)
}

/// And back.
#[must_use]
pub fn parse_upload(text: &str) -> Option<UploadId> {
    u64::from_str_radix(text, 16).ok().map(UploadId)
}

/// A room's name as one segment of a path: everything but letters, digits, `-`, `.`, `_` and `~` is
/// percent-encoded; so are the names that are only dots, which some clients take out of paths.
#[must_use]
pub fn path_segment(room: &RoomName) -> String {
    let name = room.as_str();
    let dots = name.bytes().all(|byte| byte == b'.');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || (!dots && byte == b'.') || b"-_~".contains(&byte);
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// [`Batch`] as imports send it, who have seen nothing and heal nothing: this as a part of kind header, then the genesis record and the records as parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchForm {
    /// Sixteen hex digits.
    instance: String,
    number: u64,
    expects: ExpectsForm,
    ttl_ms: Option<u64>,
}

/// [`Expects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExpectsForm {
    Anything,
    Present,
    At(u64),
    Last(u64),
}

impl BatchForm {
    /// A batch as parts.
    #[must_use]
    pub fn write(batch: &Batch) -> Bytes {
        let form = Self {
            instance: format!("{:016x}", batch.instance.0),
            number: batch.number,
            expects: match batch.expects {
                Expects::Anything => ExpectsForm::Anything,
                Expects::Present => ExpectsForm::Present,
                Expects::At(seq) => ExpectsForm::At(seq),
                Expects::Last(seq) => ExpectsForm::Last(seq),
            },
            ttl_ms: batch.ttl_ms,
        };
        let form = serde_json::to_vec(&form).expect("a form is strings and numbers");
        let mut body = part::encode(0, PartKind::Header, &[&form]).to_vec();
        for (record, number) in std::iter::once(&batch.genesis).chain(&batch.records).zip(1..) {
            let stored = StoredRecord::Intact { position: Position::START, record: record.clone() };
            body.extend_from_slice(&part::encode_record(number, &stored));
        }
        Bytes::from(body)
    }

    /// And back.
    ///
    /// # Errors
    /// What is wrong with the bytes, in one line.
    pub fn read(body: &Bytes) -> Result<Batch, String> {
        let mut parts = part::split(body).map_err(|error| error.to_string())?.into_iter();
        let form: Self = match parts.next() {
            Some((PartKind::Header, form)) => {
                serde_json::from_slice(&form).map_err(|error| error.to_string())?
            }
            _ => return Err("a batch begins with what it is".to_owned()),
        };
        let instance = u64::from_str_radix(&form.instance, 16).map_err(|error| error.to_string())?;
        let record = |(kind, body): (PartKind, Bytes)| -> Result<Record, PartError> {
            match part::decode_record(kind, &body)? {
                StoredRecord::Intact { record, .. } => Ok(record),
                StoredRecord::Damaged { why, .. } => Err(PartError::Damaged(why)),
            }
        };
        let mut records = parts.map(|part| record(part).map_err(|error| error.to_string()));
        let genesis = records.next().ok_or("a batch has a genesis record")??;
        Ok(Batch {
            instance: InstanceId(instance),
            number: form.number,
            genesis,
            records: records.collect::<Result<_, _>>()?,
            expects: match form.expects {
                ExpectsForm::Anything => Expects::Anything,
                ExpectsForm::Present => Expects::Present,
                ExpectsForm::At(seq) => Expects::At(seq),
                ExpectsForm::Last(seq) => Expects::Last(seq),
            },
            seen: Seen::default(),
            heals: false,
            ttl_ms: form.ttl_ms,
        })
    }
}

/// [`Appended`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendedForm {
    /// Id of the genesis record, if this append created the room.
    created: Option<String>,
    first: String,
    last: String,
    duplicate: bool,
}

impl From<&Appended> for AppendedForm {
    fn from(appended: &Appended) -> Self {
        Self {
            created: appended.created.as_ref().map(|record| record.position().to_string()),
            first: appended.first.to_string(),
            last: appended.last.to_string(),
            duplicate: appended.duplicate,
        }
    }
}

impl AppendedForm {
    /// Back again; `genesis` is the record that was sent. `None` if an id in it is none.
    #[must_use]
    pub fn appended(&self, genesis: &Record) -> Option<Appended> {
        let created = match &self.created {
            Some(id) => Some(StoredRecord::Intact { position: parse_id(id)?, record: genesis.clone() }),
            None => None,
        };
        let (first, last) = (parse_id(&self.first)?, parse_id(&self.last)?);
        Some(Appended { created, before: None, first, last, epoch: Epoch::NONE, duplicate: self.duplicate })
    }
}

/// [`Adoption`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptionForm {
    /// See [`SnapshotForm`]; its revision is that at which the snapshot was begun.
    snapshot: SnapshotForm,
    drop: Vec<u64>,
}

impl From<&Adoption> for AdoptionForm {
    fn from(adoption: &Adoption) -> Self {
        let &Adoption { upload, revision, through, log_bytes, chunks, bytes, .. } = adoption;
        let snapshot = SnapshotRef { revision, upload, through, log_bytes, chunks, bytes };
        Self { snapshot: SnapshotForm::from(&snapshot), drop: adoption.drop.clone() }
    }
}

impl AdoptionForm {
    /// Back again; `None` if an id in it is none.
    #[must_use]
    pub fn adoption(self) -> Option<Adoption> {
        let SnapshotRef { revision, upload, through, log_bytes, chunks, bytes } = self.snapshot.snapshot()?;
        Some(Adoption { upload, revision, through, log_bytes, chunks, bytes, drop: self.drop })
    }
}

/// [`Adopted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedForm {
    /// It is the newest now.
    adopted: bool,
    /// The room's revision.
    revision: u64,
}

impl From<Adopted> for AdoptedForm {
    fn from(adopted: Adopted) -> Self {
        match adopted {
            Adopted::Done(revision) => Self { adopted: true, revision },
            Adopted::Lost(revision) => Self { adopted: false, revision },
        }
    }
}

impl From<AdoptedForm> for Adopted {
    fn from(form: AdoptedForm) -> Self {
        if form.adopted { Self::Done(form.revision) } else { Self::Lost(form.revision) }
    }
}

/// How far a room is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrimForm {
    /// Records up to this counter are to go; in an answer: are gone.
    pub through: u64,
}

/// What a room's name is left with after a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TombstoneForm {
    /// When, in ms since 1970.
    pub deleted_ms: u64,
}

/// Names of rooms, in byte order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomsForm {
    /// A page of them.
    pub rooms: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [O19] What the log says of a room goes there and back whole.
    #[test]
    fn heads_go_there_and_back() {
        let snapshot = SnapshotRef {
            revision: 3,
            upload: UploadId(u64::MAX - 1),
            through: Position { seq: 9, ms: 1_795_000_000_000 },
            log_bytes: 1 << 60,
            chunks: 2,
            bytes: 300_000,
        };
        let head = Head {
            last: Position { seq: 12, ms: 1_795_000_000_001 },
            epoch: Epoch::NONE,
            base: 4,
            bytes: (1 << 60) + 5,
            snapshots: vec![snapshot],
            revision: 3,
            deadline_ms: Some(5),
            frozen: true,
        };
        let text = serde_json::to_string(&HeadForm::from(&head)).unwrap();
        assert!(
            text.contains(r#""last":"1795000000001-12""#) && text.contains(r#""fffffffffffffffe""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<HeadForm>(&text).unwrap().head(), Some(head));
    }

    #[test]
    fn names_become_segments() {
        let segment = |name: &str| path_segment(&RoomName::parse(name).unwrap());
        assert_eq!(segment("team/retro 1"), "team%2Fretro%201");
        assert_eq!(
            (segment(".."), segment("a.b"), segment("é%")),
            ("%2E%2E".into(), "a.b".into(), "%C3%A9%25".into())
        );
    }
}
