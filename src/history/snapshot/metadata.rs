//! What a snapshot says of itself, as bytes, and the only place of `history` that knows bincode.
//!
//! The rules are those of a record's metadata (`src/log/record/metadata.rs`): bincode never sees
//! bytes of clients, reads under a limit, and must consume exactly the declared length.
//! [`MetadataV1`] and [`MetadataV2`] are frozen. A new field is a new version beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use serde::{Deserialize, Serialize};

use super::{About, Digested, VERSION_FREE};
use crate::ids::{ClientId, Generation, Position};
use crate::kind::RoomKind;
use crate::limits::SNAPSHOT_METADATA_BYTES_MAX;

/// The stored form, frozen. Plain integers, so that a change of `ids` cannot change it.
#[derive(Serialize, Deserialize)]
struct MetadataV1<'a> {
    /// Counter and milliseconds.
    through: (u64, u64),
    records: u64,
    log_bytes: u64,
    /// Nonces, ascending.
    generations: Vec<u32>,
    /// In byte order, each once.
    #[serde(borrow)]
    users: Vec<&'a str>,
    /// Client ids, ascending, each with an index into `users`.
    claims: Vec<(u64, u32)>,
    state_vector: &'a [u8],
    engine: &'a str,
    document_bytes: u64,
    document_sha256: [u8; 32],
    /// Counter and milliseconds of each.
    set_aside: Vec<(u64, u64)>,
}

/// The stored form of a room whose kind is said, frozen. The kind comes first, where it is found without the rest.
#[derive(Serialize, Deserialize)]
struct MetadataV2<'a> {
    kind: RoomKind,
    #[serde(borrow)]
    rest: MetadataV1<'a>,
}

/// The decoder counts an integer at its full width, however short it is written: a claim of two
/// bytes as twelve.
const DECODE_BYTES_MAX: usize = 8 * SNAPSHOT_METADATA_BYTES_MAX;

type Config = Configuration<LittleEndian, Varint, Limit<DECODE_BYTES_MAX>>;

/// Pinned: little endian, variable-length integers, limited.
const CONFIG: Config = config::standard().with_limit::<DECODE_BYTES_MAX>();

/// The bytes of a version, or how many there would be if that is above the limit.
pub(super) fn encode(version: u8, about: &About, document: &Digested) -> Result<Vec<u8>, usize> {
    let users: BTreeSet<&str> = about.claims.values().map(AsRef::as_ref).collect();
    let users: Vec<&str> = users.into_iter().collect();
    let number = |user: &str| users.binary_search(&user).map_or(0, |index| index as u32);
    let pair = |position: &Position| (position.seq, position.ms);
    let stored = MetadataV1 {
        through: pair(&about.through),
        records: about.records,
        log_bytes: about.log_bytes,
        generations: about.generations.iter().map(|generation| generation.nonce).collect(),
        claims: about.claims.iter().map(|(client, user)| (*client, number(user))).collect(),
        users: users.clone(),
        state_vector: &about.state_vector,
        engine: &about.engine,
        document_bytes: document.bytes,
        document_sha256: document.sha256,
        set_aside: about.set_aside.iter().map(pair).collect(),
    };
    let written = match version {
        VERSION_FREE => bincode::serde::encode_to_vec(&stored, CONFIG),
        _ => bincode::serde::encode_to_vec(MetadataV2 { kind: about.kind, rest: stored }, CONFIG),
    };
    // Writing knows no limit; no metadata that we write can fail otherwise.
    let bytes = written.map_err(|_| usize::MAX)?;
    if bytes.len() > SNAPSHOT_METADATA_BYTES_MAX { Err(bytes.len()) } else { Ok(bytes) }
}

/// Reads bytes of a version that is known; says what is wrong with them.
pub(super) fn decode(version: u8, bytes: &[u8]) -> Result<(About, Digested), String> {
    match version {
        VERSION_FREE => about(RoomKind::Free, whole(bytes)?),
        _ => {
            let MetadataV2 { kind, rest } = whole(bytes)?;
            about(kind, rest)
        }
    }
}

/// The kind at the beginning of version 2.
pub(super) fn peek_kind(bytes: &[u8]) -> Option<RoomKind> {
    let read: Result<(RoomKind, usize), _> = bincode::serde::decode_from_slice(bytes, CONFIG);
    read.ok().map(|(kind, _)| kind)
}

fn whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let (stored, used) =
        bincode::serde::borrow_decode_from_slice(bytes, CONFIG).map_err(|error| error.to_string())?;
    if used != bytes.len() {
        return Err(format!("{used} of {} bytes are used", bytes.len()));
    }
    Ok(stored)
}

fn about(kind: RoomKind, stored: MetadataV1<'_>) -> Result<(About, Digested), String> {
    let users: Vec<Arc<str>> = stored.users.iter().map(|user| Arc::from(*user)).collect();
    let mut claims: BTreeMap<ClientId, Arc<str>> = BTreeMap::new();
    for (client, user) in stored.claims {
        let user = users.get(user as usize).ok_or("a claim names nobody")?;
        claims.insert(client, Arc::clone(user));
    }
    let position = |(seq, ms)| Position { seq, ms };
    let about = About {
        through: position(stored.through),
        records: stored.records,
        log_bytes: stored.log_bytes,
        kind,
        generations: stored.generations.into_iter().map(|nonce| Generation { nonce }).collect(),
        claims,
        state_vector: stored.state_vector.to_vec(),
        engine: stored.engine.to_owned(),
        set_aside: stored.set_aside.into_iter().map(position).collect(),
    };
    Ok((about, Digested { bytes: stored.document_bytes, sha256: stored.document_sha256 }))
}
