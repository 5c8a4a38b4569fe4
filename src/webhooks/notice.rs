//! What is told of a room.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ids::{Position, RoomName};
use crate::kind::RoomKind;
use crate::replay::place::utc;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The room has its first record.
    Created,
    /// Something was stored in it.
    Changed,
    /// It goes soon, unless somebody comes.
    Expiring,
    /// Its time has passed: it is gone.
    Expired,
    /// It was deleted on request.
    Deleted,
}

impl Kind {
    /// As receivers see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "room.created",
            Self::Changed => "room.changed",
            Self::Expiring => "room.expiring",
            Self::Expired => "room.expired",
            Self::Deleted => "room.deleted",
        }
    }
}

/// One thing that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub kind: Kind,
    /// To which room.
    pub room: RoomName,
    /// The record that it is about: the first, or the newest.
    pub position: Position,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Of [`Kind::Created`]: what kind the room is of.
    pub room_kind: Option<RoomKind>,
    /// Of [`Kind::Expiring`]: when the room goes.
    pub expires_ms: Option<u64>,
}

impl Notice {
    /// Something about a room that is as of one of its records: it has happened when that was stored.
    #[must_use]
    pub fn at(kind: Kind, room: &RoomName, position: Position) -> Self {
        Self { kind, room: room.clone(), position, at_ms: position.ms, room_kind: None, expires_ms: None }
    }

    /// What makes it this one: the same on all instances, and for all time.
    #[must_use]
    pub fn id(&self) -> String {
        let what = (self.kind.as_str(), self.room.as_str(), self.position.to_string(), self.expires_ms);
        let digest = Sha256::digest(format!("{what:?}"));
        format!("msg_{}", URL_SAFE_NO_PAD.encode(&digest[..21]))
    }

    /// The body of the request.
    #[must_use]
    pub fn body(&self) -> String {
        let mut data = json!({ "room": self.room.as_str(), "position": self.position.to_string() });
        if let Some(kind) = self.room_kind {
            data["kind"] = json!(kind.as_str());
        }
        if let Some(expires_ms) = self.expires_ms {
            data["expires"] = json!(utc(expires_ms));
        }
        json!({ "type": self.kind.as_str(), "timestamp": utc(self.at_ms), "data": data }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [P20] An id follows from what is told and from nothing else, and has no dot in it: that would let one signed text
    /// be read as another.
    #[test]
    fn ids_follow_from_what_is_told() {
        let room = |name| RoomName::parse(name).unwrap();
        let at = |seq| Position { seq, ms: 1_795_428_000_000 };
        let notice = Notice::at(Kind::Changed, &room("a"), at(2));
        let later = Notice { at_ms: 7, ..notice.clone() };
        assert_eq!(notice.id(), later.id());
        let others = [
            Notice::at(Kind::Created, &room("a"), at(2)),
            Notice::at(Kind::Changed, &room("a\"b"), at(2)),
            Notice::at(Kind::Changed, &room("a"), at(3)),
            Notice { expires_ms: Some(1), ..notice.clone() },
        ];
        for other in others {
            println!("{}", other.id());
            assert_ne!(notice.id(), other.id());
        }
        assert!(notice.id().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
        let expected = "{\"data\":{\"position\":\"1795428000000-2\",\"room\":\"a\"},\
                        \"timestamp\":\"2026-11-23T10:00:00.000Z\",\"type\":\"room.changed\"}";
        assert_eq!(notice.body(), expected);
    }
}
