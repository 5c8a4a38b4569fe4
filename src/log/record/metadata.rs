//! What a record says about its update, and the only place that knows bincode.
//!
//! bincode never sees bytes of clients: it writes and reads our own metadata, under a limit, and
//! must consume exactly the declared length. [`MetadataV1`] is frozen. A new field is a new version
//! beside it; enums only ever append variants.

mod plain;

use std::fmt;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::caller;
use crate::ids::{ClientId, InstanceId, SessionId};
pub use crate::kind::RoomKind;
use crate::limits::{CLIENTS_PER_DOCUMENT_MAX, RECORD_METADATA_BYTES_MAX};

/// What is known of an update: who, when, by which way. Stamped by the server, never taken from
/// the update itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Who made the update, from the token; `None` without identity and for the server itself.
    pub user: Option<String>,
    /// The session that brought it; `None` for what the server itself wrote.
    pub session: Option<SessionId>,
    /// The instance that admitted it.
    pub instance: InstanceId,
    /// What the session was allowed to do when it was admitted.
    pub role: Role,
    /// The batch in which it was first sent to the log.
    pub batch: u64,
    /// Client ids that belong to `user` from here on, unless an earlier record says otherwise: the update
    /// is the first that its user wrote under them.
    pub claims: Vec<ClientId>,
    /// The user whose session brought it, where that is not the one who made it. The same as `user`, it says
    /// that blocks of other owners are in it too; the claims tell whose. In a compensation, which has no `user`: whose edit
    /// it takes back.
    pub relayed_by: Option<String>,
    /// The kind of the room: in the genesis record it is chosen, in others it is repeated, as far as their writer knew it.
    pub room_kind: RoomKind,
    /// When it was admitted, by the instance's clock: milliseconds since 1970. The log's own time
    /// is in the position.
    pub admitted_ms: u64,
}

/// What a session may do. The order of the variants is stored: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and writes.
    Editor,
    /// Reads, writes and leads.
    Facilitator,
    /// No session: the server's own record.
    Server,
    /// Reads, writes and leads in every room.
    Admin,
}

impl From<caller::Role> for Role {
    fn from(role: caller::Role) -> Self {
        match role {
            caller::Role::Viewer => Self::Viewer,
            caller::Role::Editor => Self::Editor,
            caller::Role::Facilitator => Self::Facilitator,
            caller::Role::Admin => Self::Admin,
        }
    }
}

/// The stored form, frozen. Plain integers, so that a change of `ids` cannot change it.
#[derive(Serialize, Deserialize)]
struct MetadataV1<'a> {
    #[serde(borrow)]
    user: Option<&'a str>,
    session: Option<u64>,
    instance: u64,
    role: Role,
    batch: u64,
    #[serde(deserialize_with = "read_claims")]
    claims: Vec<u64>,
    #[serde(borrow)]
    relayed_by: Option<&'a str>,
    room_kind: RoomKind,
    admitted_ms: u64,
}

/// The decoder counts an integer at its full width, however short it is written: all claims that
/// are allowed, and all other bytes.
const DECODE_BYTES_MAX: usize = 2 * RECORD_METADATA_BYTES_MAX;
const _: () = assert!(CLIENTS_PER_DOCUMENT_MAX * 8 <= RECORD_METADATA_BYTES_MAX);

type Config = Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>>;

/// Pinned: little endian, variable-length integers, limited.
const CONFIG: Config = config::standard().with_limit::<DECODE_BYTES_MAX>();

impl Metadata {
    /// Of a record that the server itself writes: by nobody, in no session, claiming nothing.
    #[must_use]
    pub fn by_server(instance: InstanceId, batch: u64, room_kind: RoomKind, admitted_ms: u64) -> Self {
        Self {
            user: None,
            session: None,
            instance,
            role: Role::Server,
            batch,
            claims: Vec::new(),
            relayed_by: None,
            room_kind,
            admitted_ms,
        }
    }

    /// The bytes of version 1, or how many there would be if that is above the limit.
    pub(super) fn encode_v1(&self) -> Result<Vec<u8>, usize> {
        if self.claims.len() > CLIENTS_PER_DOCUMENT_MAX {
            return Err(self.claims.len().saturating_mul(10));
        }
        let stored = MetadataV1 {
            user: self.user.as_deref(),
            session: self.session.map(|session| session.0),
            instance: self.instance.0,
            role: self.role,
            batch: self.batch,
            claims: self.claims.clone(),
            relayed_by: self.relayed_by.as_deref(),
            room_kind: self.room_kind,
            admitted_ms: self.admitted_ms,
        };
        // Writing knows no limit; no metadata that we write can fail otherwise.
        let bytes = bincode::serde::encode_to_vec(&stored, CONFIG).map_err(|_| usize::MAX)?;
        if bytes.len() > RECORD_METADATA_BYTES_MAX { Err(bytes.len()) } else { Ok(bytes) }
    }

    /// Reads bytes of version 1; says what is wrong with them.
    pub(super) fn decode_v1(bytes: &[u8]) -> Result<Self, String> {
        // Every record is read when a room is loaded, and nearly all are of the plain kind.
        match plain::read(bytes) {
            Some(metadata) => Ok(metadata),
            None => Self::decode_any_v1(bytes),
        }
    }

    /// The same for whatever bincode reads, which has the last word on what is wrong.
    fn decode_any_v1(bytes: &[u8]) -> Result<Self, String> {
        let (stored, used): (MetadataV1<'_>, usize) =
            bincode::serde::borrow_decode_from_slice(bytes, CONFIG).map_err(|error| error.to_string())?;
        if used != bytes.len() {
            return Err(format!("{used} of {} bytes are used", bytes.len()));
        }
        Ok(Self {
            user: stored.user.map(str::to_owned),
            session: stored.session.map(SessionId),
            instance: InstanceId(stored.instance),
            role: stored.role,
            batch: stored.batch,
            claims: stored.claims,
            relayed_by: stored.relayed_by.map(str::to_owned),
            room_kind: stored.room_kind,
            admitted_ms: stored.admitted_ms,
        })
    }
}

/// Reads the claims one by one: memory grows with what is there, not with what is declared.
fn read_claims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    struct Claims;

    impl<'de> Visitor<'de> for Claims {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("client ids")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u64>, A::Error> {
            let mut claims = Vec::new();
            while let Some(claim) = seq.next_element()? {
                claims.push(claim);
            }
            Ok(claims)
        }
    }

    deserializer.deserialize_seq(Claims)
}
