//! The keys of a room. All of them share one hash tag, so one slot: `retro:room:{R}:…`, where `R` is the room's name,
//! percent-encoded and never hashed.
//!
//! | key | type | what |
//! |---|---|---|
//! | `…:log` | stream | the records |
//! | `…:meta` | hash | what is known of the room: see `meta` |
//! | `…:snap:<revision>-<upload>` | hash | chunks of a snapshot; revision 0: not adopted yet |
//! | `…:tomb` | string | the ms at which the room was deleted |
//! | `…:bus` | sharded channel | what was appended |
//!
//! `retro:room:{}:notes` is of no room: see `notes`.
//!
//! Pure.

use std::fmt;

use crate::ids::RoomName;
use crate::log::UploadId;

const PREFIX: &[u8] = b"retro:room:{";
const META: &[u8] = b"}:meta";

/// What `SCAN` is asked for to find every room. It may match foreign keys, which [`room_of_meta`] tells apart.
pub(super) const META_PATTERN: &str = "retro:room:*:meta";

/// The keys of one room.
#[derive(Clone)]
pub(super) struct Keys {
    /// `retro:room:{R}:`.
    prefix: String,
}

impl Keys {
    pub(super) fn of(room: &RoomName) -> Self {
        let name = room.as_str().as_bytes();
        let mut prefix = String::with_capacity(PREFIX.len() + name.len() + 8);
        prefix.push_str("retro:room:{");
        for byte in name {
            if is_kept(*byte) {
                prefix.push(char::from(*byte));
            } else {
                prefix.push_str(&format!("%{byte:02X}"));
            }
        }
        prefix.push_str("}:");
        Self { prefix }
    }

    /// What all of them begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn log(&self) -> String {
        format!("{}log", self.prefix)
    }

    pub(super) fn meta(&self) -> String {
        format!("{}meta", self.prefix)
    }

    /// The room's channel.
    pub(super) fn bus(&self) -> String {
        format!("{}bus", self.prefix)
    }

    pub(super) fn tomb(&self) -> String {
        format!("{}tomb", self.prefix)
    }

    /// The chunks of a snapshot; revision 0: of an upload that is not adopted.
    pub(super) fn snapshot(&self, revision: u64, upload: UploadId) -> String {
        format!("{}snap:{revision}-{:016x}", self.prefix, upload.0)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.prefix)
    }
}

/// The room whose meta key this is; `None` for keys that we never write.
pub(super) fn room_of_meta(key: &[u8]) -> Option<RoomName> {
    let encoded = key.strip_prefix(PREFIX)?.strip_suffix(META)?;
    let mut name = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after.split_first_chunk::<2>()?;
            name.push(hex_digit(digits[0])? << 4 | hex_digit(digits[1])?);
            rest = after;
        } else {
            name.push(*first);
            rest = after;
        }
    }
    let room = RoomName::parse(std::str::from_utf8(&name).ok()?).ok()?;
    // Written in one way only: what we would write otherwise is not ours.
    (Keys::of(&room).meta().as_bytes() == key).then_some(room)
}

/// Neither braces, patterns, separators nor the percent sign reach a key.
const fn is_kept(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
}

const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).expect("a name")
    }

    /// The hash tag as Redis Cluster finds it: between the first `{` and the first `}` after it.
    fn hash_tag(key: &str) -> &str {
        let from = key.find('{').expect("a brace") + 1;
        let len = key[from..].find('}').expect("a brace");
        &key[from..from + len]
    }

    fn check(room: &RoomName) {
        let keys = Keys::of(room);
        let all = [keys.log(), keys.meta(), keys.tomb(), keys.snapshot(7, UploadId(u64::MAX))];
        assert_eq!(room_of_meta(keys.meta().as_bytes()).as_ref(), Some(room));
        for key in &all {
            let encoded = hash_tag(key);
            assert!(!encoded.is_empty() && key.starts_with(&format!("retro:room:{{{encoded}}}:")), "{key}");
            assert!(encoded.bytes().all(|byte| is_kept(byte) || byte == b'%'), "{key}");
        }
        for key in all.iter().filter(|key| **key != keys.meta()) {
            assert_eq!(room_of_meta(key.as_bytes()), None, "{key}");
        }
    }

    proptest! {
        /// [L7] [L80] Encoding and decoding are inverse, the hash tag is the name and nothing else.
        #[test]
        fn every_name_has_keys_of_its_own(name in "[^\\p{Cc}]{1,32}") {
            if let Ok(room) = RoomName::parse(&name) {
                check(&room);
            }
        }

        /// [L7] [L80] Two names never share a key, though they look alike.
        #[test]
        fn no_two_names_share_a_key(names in prop::collection::vec("[a%{}:*?2567BD]{1,6}", 2..40)) {
            let mut known = HashMap::new();
            for name in names {
                let keys = Keys::of(&room(&name));
                for key in [keys.log(), keys.meta(), keys.tomb()] {
                    if let Some(other) = known.insert(key, name.clone()) {
                        prop_assert_eq!(&other, &name);
                    }
                }
            }
        }

        /// [L80] Whatever stands under a key that looks like ours is either ours or no room.
        #[test]
        fn foreign_keys_are_no_rooms(middle in "[a-z%{}:A-F0-9é]{0,12}") {
            let key = format!("retro:room:{{{middle}}}:meta");
            if let Some(room) = room_of_meta(key.as_bytes()) {
                prop_assert_eq!(Keys::of(&room).meta(), key);
            }
        }
    }

    /// [L80] Stored, so it must never change.
    #[test]
    fn keys_are_as_documented() {
        let keys = Keys::of(&room("team/retro 1"));
        assert_eq!(keys.log(), "retro:room:{team%2Fretro%201}:log");
        assert_eq!(keys.meta(), "retro:room:{team%2Fretro%201}:meta");
        assert_eq!(keys.tomb(), "retro:room:{team%2Fretro%201}:tomb");
        assert_eq!(keys.prefix(), "retro:room:{team%2Fretro%201}:");
        assert_eq!(keys.snapshot(3, UploadId(255)), "retro:room:{team%2Fretro%201}:snap:3-00000000000000ff");
        for hostile in ["{", "}", "{}", "a}{b", "*", "%", "%41", ":", "}:meta", "é", "\u{10ffff}"] {
            check(&room(hostile));
        }
        for foreign in
            ["retro:room:{}:meta", "retro:room:{a}:log", "retro:room:{%41}:meta", "retro:room:a:meta"]
        {
            assert_eq!(room_of_meta(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
