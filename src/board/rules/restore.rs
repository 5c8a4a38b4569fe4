//! What the server writes behind edits that break a rule: the value that was there before, once more, behind the last
//! block that has lost its content. So it is the value again for everyone, for the offender too.
//!
//! Pure. Written byte by byte, as templates are: the engine can only write behind what it takes for the newest.
//! Source of the format: Yjs `UpdateEncoderV1`, `ContentType`, `ContentFormat`.

use std::sync::Arc;

use yrs::types::Attrs;
use yrs::types::text::YChange;
use yrs::{Any, Map, Out, ReadTxn, Text};

use super::before::{as_map, get};
use crate::ids::ClientId;
use crate::wire::lib0::{write_buffer, write_var_uint};

/// A value that a key had.
#[derive(Debug, Clone, PartialEq)]
pub enum Former {
    /// A plain one.
    Plain(Any),
    /// A map, with its fields.
    Map(Vec<(String, Former)>),
    /// A shared text, piece by piece: each with what it is formatted with.
    Text(Vec<Piece>),
}

/// A piece of a shared text, and what it is formatted with.
pub type Piece = (Any, Vec<(Arc<str>, Any)>);

/// What a board has under a root's key, or in a field of the map there. Nothing if that is not set, or is something that
/// a board does not have.
#[must_use]
pub fn former<T: ReadTxn>(transaction: &T, root: &str, keys: &[Option<&str>]) -> Option<Former> {
    match *keys {
        [Some(key)] => former_of(transaction, get(transaction, root, key)?, 0),
        [Some(key), Some(field)] => {
            let map = as_map(&get(transaction, root, key)?)?;
            former_of(transaction, map.get(transaction, field)?, 1)
        }
        _ => None,
    }
}

fn former_of<T: ReadTxn>(transaction: &T, value: Out, level: u8) -> Option<Former> {
    match value {
        Out::Any(plain) => Some(Former::Plain(plain)),
        // A text is a field, a map is not.
        Out::YText(text) if level > 0 => {
            let pieces = text.diff(transaction, YChange::identity).into_iter().filter_map(|piece| {
                let Out::Any(content) = piece.insert else { return None };
                let formats = |formats: Box<Attrs>| formats.into_iter().collect();
                Some((content, piece.attributes.map(formats).unwrap_or_default()))
            });
            Some(Former::Text(pieces.collect()))
        }
        shared if level == 0 => {
            let map = as_map(&shared)?;
            let fields = map
                .iter(transaction)
                .filter_map(|(field, value)| Some((field.to_owned(), former_of(transaction, value, 1)?)));
            let mut fields: Vec<_> = fields.collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Some(Former::Map(fields))
        }
        _ => None,
    }
}

/// A former value, and the ids behind which it is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Restore {
    /// The last id of each chain of blocks under the key that has lost its content.
    pub behind: Vec<(ClientId, u32)>,
    /// What is set.
    pub value: Former,
}

/// The update that sets all of them, under a client id from a clock on.
#[must_use]
pub fn compensation((client, clock): (ClientId, u32), restores: &[Restore]) -> Vec<u8> {
    let mut blocks = Blocks { client, clock, count: 0, out: Vec::new() };
    for Restore { behind, value } in restores {
        for &origin in behind {
            blocks.put(Stands::Behind(origin), value);
        }
    }
    let mut update = vec![1]; // one client
    write_var_uint(&mut update, blocks.count);
    write_var_uint(&mut update, client);
    write_var_uint(&mut update, u64::from(clock));
    update.extend_from_slice(&blocks.out);
    update.push(0); // nothing is deleted by name: each deletes what it stands behind
    update
}

/// Where a block stands.
#[derive(Clone, Copy)]
enum Stands<'a> {
    /// Behind another, in its place.
    Behind((ClientId, u32)),
    /// First in a type, under a key or in its sequence.
    In((ClientId, u32), Option<&'a str>),
}

/// Blocks of one client, as they are written.
struct Blocks {
    client: ClientId,
    /// The next one's.
    clock: u32,
    count: u64,
    out: Vec<u8>,
}

impl Blocks {
    fn put(&mut self, stands: Stands<'_>, value: &Former) {
        match value {
            Former::Plain(value) => {
                self.head(ANY, stands, 1);
                self.out.push(1); // one value
                value.encode(&mut self.out);
            }
            Former::Map(fields) => {
                let map = self.head(TYPE, stands, 1);
                self.out.push(MAP);
                for (field, value) in fields {
                    self.put(Stands::In(map, Some(field)), value);
                }
            }
            Former::Text(pieces) => {
                let text = self.head(TYPE, stands, 1);
                self.out.push(TEXT);
                self.put_text(text, pieces);
            }
        }
    }

    fn put_text(&mut self, text: (ClientId, u32), pieces: &[Piece]) {
        let mut stands = Stands::In(text, None);
        for (content, formats) in pieces {
            for (name, value) in formats {
                stands = self.put_format(stands, name, value);
            }
            stands = match content {
                Any::String(piece) if !piece.is_empty() => {
                    let units = u32::try_from(piece.encode_utf16().count()).unwrap_or(u32::MAX);
                    let first = self.head(STRING, stands, units);
                    write_buffer(&mut self.out, piece.as_bytes());
                    Stands::Behind((first.0, first.1 + units - 1))
                }
                Any::String(_) => stands,
                embedded => {
                    let id = self.head(EMBED, stands, 1);
                    self.put_json(embedded);
                    Stands::Behind(id)
                }
            };
            for (name, _) in formats {
                stands = self.put_format(stands, name, &Any::Null);
            }
        }
    }

    fn put_format<'a>(&mut self, stands: Stands<'_>, name: &str, value: &Any) -> Stands<'a> {
        let id = self.head(FORMAT, stands, 1);
        write_buffer(&mut self.out, name.as_bytes());
        self.put_json(value);
        Stands::Behind(id)
    }

    fn put_json(&mut self, value: &Any) {
        let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        write_buffer(&mut self.out, json.as_bytes());
    }

    /// Begins a block of so many clocks; tells its first id.
    fn head(&mut self, kind: u8, stands: Stands<'_>, clocks: u32) -> (ClientId, u32) {
        match stands {
            Stands::Behind(origin) => {
                self.out.push(kind | HAS_ORIGIN);
                self.put_id(origin);
            }
            Stands::In(parent, key) => {
                self.out.push(kind | if key.is_some() { HAS_KEY } else { 0 });
                self.out.push(0); // its parent is a type
                self.put_id(parent);
                if let Some(key) = key {
                    write_buffer(&mut self.out, key.as_bytes());
                }
            }
        }
        let id = (self.client, self.clock);
        self.clock += clocks;
        self.count += 1;
        id
    }

    fn put_id(&mut self, (client, clock): (ClientId, u32)) {
        write_var_uint(&mut self.out, client);
        write_var_uint(&mut self.out, u64::from(clock));
    }
}

const HAS_ORIGIN: u8 = 0x80;
const HAS_KEY: u8 = 0x20;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
const MAP: u8 = 1;
const TEXT: u8 = 2;
