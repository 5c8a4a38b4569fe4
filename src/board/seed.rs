//! How a board begins: a title, columns, a limit, by the template that somebody has chosen.
//!
//! A seed is an update that is the same bytes for ever, from a client id of its own: whoever opens a new board may
//! add it, and a board that two people seed at the same moment has its columns once. It is written here byte by
//! byte, since the engine has no order for an object's entries.
//!
//! Source of the format: Yjs `UpdateEncoderV1`; yrs `Update::decode`.

use yrs::Any;
use yrs::encoding::read::Cursor;

use super::schema::META;
use crate::ids::ClientId;
use crate::limits::BOARD_VOTES;
use crate::wire::lib0::{write_buffer, write_var_uint};

/// What a board begins with. A template never changes: another one is another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Its name, as people choose it.
    pub name: &'static str,
    /// Which version of it.
    pub version: u32,
    /// The client id under which this version of it is written: the first 53 bits of a SHA-256 of both.
    client: ClientId,
    /// Its columns from left to right: id, title, color.
    pub columns: &'static [(&'static str, &'static str, &'static str)],
}

/// The templates that there are. Old versions stay in the list: boards were begun with them.
pub const TEMPLATES: [Template; 4] = [
    Template {
        name: "retro",
        version: 1,
        client: 884_741_012_628_879,
        columns: &[
            ("well", "Went well", "#2e7d32"),
            ("improve", "To improve", "#c62828"),
            ("ideas", "Ideas", "#1565c0"),
        ],
    },
    Template {
        name: "start-stop-continue",
        version: 1,
        client: 3_514_158_076_256_507,
        columns: &[
            ("start", "Start", "#2e7d32"),
            ("stop", "Stop", "#c62828"),
            ("continue", "Continue", "#1565c0"),
        ],
    },
    Template {
        name: "mad-sad-glad",
        version: 1,
        client: 5_965_170_500_048_555,
        columns: &[("mad", "Mad", "#c62828"), ("sad", "Sad", "#1565c0"), ("glad", "Glad", "#2e7d32")],
    },
    Template {
        name: "4ls",
        version: 1,
        client: 1_327_159_728_094_679,
        columns: &[
            ("liked", "Liked", "#2e7d32"),
            ("learned", "Learned", "#1565c0"),
            ("lacked", "Lacked", "#c62828"),
            ("longed", "Longed for", "#6a1b9a"),
        ],
    },
];

/// The newest template of a name.
#[must_use]
pub fn template(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().filter(|template| template.name == name).max_by_key(|template| template.version)
}

/// The template that is written under a client id.
#[must_use]
pub fn template_of(client: ClientId) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.client == client)
}

impl Template {
    /// The client id under which it is written.
    #[must_use]
    pub const fn client(&self) -> ClientId {
        self.client
    }

    /// The keys of `meta` that it sets, in the order of its blocks.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> + use<> {
        VALUES.into_iter()
    }

    /// The key of `meta` that its block with this clock sets.
    #[must_use]
    pub fn key(&self, clock: u32) -> Option<&'static str> {
        VALUES.get(usize::try_from(clock).ok()?).copied()
    }

    /// Whether a value of `meta` under a key, in the block with this id, is this template's. Peers write the entries of an
    /// object in an order of their own.
    #[must_use]
    pub fn has(&self, (client, clock): (ClientId, u32), key: &str, value: &Any) -> bool {
        let at = usize::try_from(clock).unwrap_or(usize::MAX);
        if client != self.client || VALUES.get(at) != Some(&key) {
            return false;
        }
        Any::decode(&mut Cursor::new(&self.values()[at])).is_ok_and(|own| own == *value)
    }

    /// The same of an encoded value, in a block under this template's client id.
    #[must_use]
    pub fn is(&self, clock: u32, key: &str, value: &[u8]) -> bool {
        Any::decode(&mut Cursor::new(value)).is_ok_and(|value| self.has((self.client, clock), key, &value))
    }

    /// The update, V1: each value of `meta` as one block.
    #[must_use]
    pub fn update(&self) -> Vec<u8> {
        let mut update = vec![1]; // one client
        write_var_uint(&mut update, VALUES.len() as u64);
        write_var_uint(&mut update, self.client());
        update.push(0); // from its first clock
        for (key, value) in VALUES.into_iter().zip(self.values()) {
            update.extend_from_slice(&[ITEM_OF_ANY_WITH_KEY, PARENT_IS_ROOT]);
            write_buffer(&mut update, META.as_bytes());
            write_buffer(&mut update, key.as_bytes());
            update.push(1); // one value
            update.extend_from_slice(&value);
        }
        update.push(0); // nothing is deleted
        update
    }

    /// Encoded, in the order of [`VALUES`].
    fn values(&self) -> [Vec<u8>; 3] {
        let mut columns = vec![ANY_ARRAY];
        write_var_uint(&mut columns, self.columns.len() as u64);
        for (id, title, color) in self.columns {
            columns.push(ANY_MAP);
            write_var_uint(&mut columns, 3);
            for (key, value) in [("id", id), ("title", title), ("color", color)] {
                write_buffer(&mut columns, key.as_bytes());
                columns.push(ANY_STRING);
                write_buffer(&mut columns, value.as_bytes());
            }
        }
        let mut phase = vec![ANY_STRING];
        write_buffer(&mut phase, b"write");
        let limit = vec![ANY_INTEGER, u8::try_from(BOARD_VOTES).expect("few votes: below 64")];
        [columns, phase, limit]
    }
}

/// What a template sets.
const VALUES: [&str; 3] = ["columns", "phase", "voteLimit"];

const ITEM_OF_ANY_WITH_KEY: u8 = 0x28;
const PARENT_IS_ROOT: u8 = 1;
const ANY_INTEGER: u8 = 125;
const ANY_STRING: u8 = 119;
const ANY_MAP: u8 = 118;
const ANY_ARRAY: u8 = 117;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest, Sha256};
    use yrs::updates::decoder::Decode;
    use yrs::{Doc, ReadTxn, Transact, Update};

    use super::*;
    use crate::board::schema::Phase;
    use crate::board::view::view;
    use crate::gate::{Gate, Source};
    use crate::limits::CLIENT_ID_MAX;

    /// [B4] A template is the same bytes for ever, the gate takes it whole, and a board that is seeded twice, also in
    /// two places at once, has its columns once.
    #[test]
    fn seeding_twice_is_seeding_once() {
        for template in &TEMPLATES {
            let update = template.update();
            println!("{}: {} bytes, client {}", template.name, update.len(), template.client());
            let admitted = Gate::new().admit(&update, Source::Update).unwrap();
            assert_eq!(admitted.remainder.map(|remainder| remainder.update).as_deref(), Some(&update[..]));

            let doc = Doc::new();
            for _ in 0..2 {
                doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
            }
            let board = view(&doc);
            let titles: Vec<_> = board.meta.columns.iter().map(|column| column.title.as_str()).collect();
            assert_eq!(titles, template.columns.iter().map(|column| column.1).collect::<Vec<_>>());
            assert_eq!((board.meta.phase, board.meta.vote_limit), (Phase::Write, BOARD_VOTES));
            let blocks = doc.transact().state_vector().get(&yrs::ClientID::new(template.client()));
            assert_eq!(blocks, 3, "three blocks, however often");
        }
        let mut clients: Vec<_> = TEMPLATES.iter().map(Template::client).collect();
        clients.dedup();
        assert_eq!(clients.len(), TEMPLATES.len());
    }

    /// [B4] Stored in boards, so it must never change.
    #[test]
    fn the_bytes_of_a_template_are_frozen() {
        let digest = Sha256::digest(template("retro").unwrap().update());
        assert_eq!(digest[..8], [0x40, 0x30, 0x0d, 0xaa, 0x80, 0x92, 0x85, 0x1c]);
        assert_eq!(template("none"), None);
        for template in &TEMPLATES {
            let of = Sha256::digest(format!("ruang board template {} {}", template.name, template.version));
            let mut first = [0; 8];
            first.copy_from_slice(&of[..8]);
            assert_eq!(template.client(), u64::from_be_bytes(first) >> 11 & CLIENT_ID_MAX, "{template:?}");
            assert_eq!(template_of(template.client()), Some(template));
        }
    }

    /// [B4] The page about boards has every template, for clients that are not ours.
    #[test]
    fn the_page_about_boards_has_every_template() {
        let page = include_str!("../../docs/BOARD.md");
        for template in &TEMPLATES {
            let row = format!("| `{}` | `{}` |", template.name, BASE64_STANDARD.encode(template.update()));
            assert!(page.contains(&row), "{row}");
        }
    }
}
