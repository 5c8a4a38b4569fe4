//! What the log says of a room, as JSON: in exported files and on the admin socket. Fields are added,
//! never changed; readers pass over those that they do not know.

use serde::{Deserialize, Serialize};

use super::place::parse_id;
use crate::ids::{Position, RoomName};
use crate::log::{Head, LogError, SnapshotRef, UploadId};

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

/// The answer to an append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendedForm {
    /// Id of the genesis record, if this append created the room.
    pub created: Option<String>,
    /// Id of the first record of the batch.
    pub first: String,
    /// Id of the last record of the batch.
    pub last: String,
    /// The batch had been stored before.
    pub duplicate: bool,
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

/// Where a record stands, for [`AppendedForm`].
#[must_use]
pub fn id_text(position: Position) -> String {
    position.to_string()
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
            base: 4,
            bytes: (1 << 60) + 5,
            snapshots: vec![snapshot],
            revision: 3,
            deadline_ms: Some(5),
            frozen: true,
        };
        let text = serde_json::to_string(&HeadForm::from(&head)).unwrap();
        assert!(text.contains(r#""last":"1795000000001-12""#) && text.contains(r#""fffffffffffffffe""#), "{text}");
        assert_eq!(serde_json::from_str::<HeadForm>(&text).unwrap().head(), Some(head));
    }

    #[test]
    fn names_become_segments() {
        let segment = |name: &str| path_segment(&RoomName::parse(name).unwrap());
        assert_eq!(segment("team/retro 1"), "team%2Fretro%201");
        assert_eq!((segment(".."), segment("a.b"), segment("é%")), ("%2E%2E".into(), "a.b".into(), "%C3%A9%25".into()));
    }
}
