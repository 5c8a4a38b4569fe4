//! Names and numbers that more than one module speaks of: rooms, positions, sessions, generations.
//!
//! Pure. Everything here is parsed once, where bytes come in; after that the type is the proof.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::{CLIENT_ID_MAX, GENERATION_NONCE_BITS, MARKER_CLIENT_MIN, ROOM_NAME_BYTES_MAX};

/// A Yjs client id: an integer of at most 53 bits, chosen at random by the client.
/// It is never narrowed to 32 bits: pycrdt and Yjs 14 use all 53.
pub type ClientId = u64;

/// The name of a room: 1 to 128 bytes of UTF-8 without control characters. The same name is the
/// same document in every client family.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

/// Why a room name was refused. The text names the rule, never the name: it goes to strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomNameError {
    /// The name has no bytes.
    #[error("a room name cannot be empty")]
    Empty,
    /// The name has more bytes than [`ROOM_NAME_BYTES_MAX`].
    #[error("a room name has at most {ROOM_NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// The name is not UTF-8 once its percent signs are decoded.
    #[error("a room name is UTF-8")]
    NotUtf8,
    /// The address names two rooms.
    #[error("the name stands twice in the address, and must be the same in both places")]
    NotOne,
    /// The name holds a control character (NUL, line ends, escapes).
    #[error("a room name cannot hold control characters")]
    ControlCharacter,
}

impl RoomName {
    /// Takes a name as it came, already percent-decoded.
    ///
    /// # Errors
    /// [`RoomNameError`] names the rule that it breaks.
    pub fn parse(name: &str) -> Result<Self, RoomNameError> {
        if name.is_empty() {
            return Err(RoomNameError::Empty);
        }
        if name.len() > ROOM_NAME_BYTES_MAX {
            return Err(RoomNameError::TooLong(name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err(RoomNameError::ControlCharacter);
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name as people write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 48 bits of the name's SHA-256, in hex: what logs show at `info`, since names can
    /// be secrets ("anyone with the link").
    #[must_use]
    pub fn log_id(&self) -> String {
        Sha256::digest(self.0.as_bytes())[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for RoomName {
    type Err = RoomNameError;

    fn from_str(name: &str) -> Result<Self, RoomNameError> {
        Self::parse(name)
    }
}

/// Where a record stands in its room's log: the store's clock in milliseconds since 1970 (never
/// going back within a room) and the room's own counter, 1, 2, 3 … without holes. Ordered;
/// printed as `<ms>-<seq>`, which is also the id of the record in a Redis stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// The counter, from 1. Zero stands before the first record.
    pub seq: u64,
    /// Milliseconds since 1970 by the store's clock.
    pub ms: u64,
}

impl Position {
    /// Before the first record of any room.
    pub const START: Self = Self { seq: 0, ms: 0 };

    /// Back from what it prints as, `<ms>-<seq>`; `None` if the text is no id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        let (ms, seq) = id.split_once('-')?;
        Some(Self { seq: seq.parse().ok()?, ms: ms.parse().ok()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// One run of one server process: random, 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InstanceId(pub u64);

/// One client in one room, numbered from 1 within an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// One life of a room, told by a marker in its document: a single garbage-collected block that no
/// reader can see, but that stands in every state vector and full update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// 1 to 2^30 - 1. It is the marker's length, so it is never zero.
    pub nonce: u32,
}

impl Generation {
    /// Makes a generation of random bits; a zero becomes one.
    #[must_use]
    pub fn from_random(bits: u32) -> Self {
        Self { nonce: (bits & ((1 << GENERATION_NONCE_BITS) - 1)).max(1) }
    }

    /// A generation for a new life of `room`, from random bits that `random` gives. Its marker's
    /// client id has more than 32 bits: ids of Yjs 13 have 32, and so cost nothing to tell apart.
    #[must_use]
    pub fn for_room(room: &RoomName, mut random: impl FnMut() -> u32) -> Self {
        let ids = MarkerIds::of(room);
        loop {
            let generation = Self::from_random(random());
            if ids.client(generation) >= MARKER_CLIENT_MIN {
                return generation;
            }
        }
    }

    /// The client id under which `room`'s marker of this generation stands: the first 53 bits of
    /// SHA-256(room, a zero byte, the nonce in decimal). Id and length prove each other, and mean
    /// nothing in another room.
    #[must_use]
    pub fn marker_client(self, room: &RoomName) -> ClientId {
        MarkerIds::of(room).client(self)
    }
}

/// Gives the client ids of one room's markers. The room's name is hashed once.
#[derive(Clone)]
pub struct MarkerIds {
    prefix: Sha256,
}

impl MarkerIds {
    /// The marker ids of `room`.
    #[must_use]
    pub fn of(room: &RoomName) -> Self {
        Self { prefix: Sha256::new().chain_update(room.as_str().as_bytes()).chain_update([0]) }
    }

    /// See [`Generation::marker_client`].
    #[must_use]
    pub fn client(&self, generation: Generation) -> ClientId {
        let mut decimal = [b'0'; 10];
        let (mut at, mut rest) = (decimal.len(), generation.nonce);
        while rest > 0 || at == decimal.len() {
            at -= 1;
            decimal[at] += (rest % 10) as u8;
            rest /= 10;
        }
        let digest = self.prefix.clone().chain_update(&decimal[at..]).finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first) >> 11 & CLIENT_ID_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_door() {
        for good in ["a", "team/retro 1", "..", "*", "{a}:b?[c]", "ruang-é-房間", &"x".repeat(128)] {
            assert_eq!(RoomName::parse(good).map(|name| name.as_str().to_owned()).as_deref(), Ok(good));
        }
        assert_eq!(RoomName::parse(""), Err(RoomNameError::Empty));
        assert_eq!(RoomName::parse(&"é".repeat(65)), Err(RoomNameError::TooLong(130)));
        for bad in ["a\0b", "\n", "\u{7f}", "x\u{85}"] {
            assert_eq!(RoomName::parse(bad), Err(RoomNameError::ControlCharacter));
        }
    }

    #[test]
    fn markers_are_bound_to_room_and_nonce() {
        let (a, b) = (RoomName::parse("a").unwrap(), RoomName::parse("b").unwrap());
        let (one, two) = (Generation { nonce: 1 }, Generation { nonce: 2 });
        assert_ne!(one.marker_client(&a), one.marker_client(&b));
        assert_ne!(one.marker_client(&a), two.marker_client(&a));
        assert!(one.marker_client(&a) <= CLIENT_ID_MAX);
        // Stored, so it must never change.
        assert_eq!(Generation { nonce: 10 }.marker_client(&a), 0x693f39d993823);
        assert_eq!(Generation::from_random(0).nonce, 1);
        assert_eq!(Generation::from_random(u32::MAX).nonce, (1 << 30) - 1);
    }

    #[test]
    fn new_generations_have_large_marker_ids() {
        let room = RoomName::parse("r").unwrap();
        let mut bits = 0;
        let mut next = || {
            bits += 1;
            bits
        };
        let generation = Generation::for_room(&room, &mut next);
        assert!(generation.marker_client(&room) >= MARKER_CLIENT_MIN);
    }

    #[test]
    fn positions_order_by_counter_and_print_as_stream_ids() {
        let (first, second) = (Position { ms: 9, seq: 1 }, Position { ms: 9, seq: 2 });
        assert!(Position::START < first && first < second);
        assert_eq!(second.to_string(), "9-2");
        assert_eq!(Position::from_id("9-2"), Some(second));
        assert_eq!(["9", "-", "9-", "x-1", "1-2-3"].map(Position::from_id), [None; 5]);
    }
}
