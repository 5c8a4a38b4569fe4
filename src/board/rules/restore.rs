//! What the server writes behind edits that break a rule: the value that was there before, once more, behind the last
//! block that has lost its content. So it is the value again for everyone, for the offender too.
//!
//! Pure. Written byte by byte, as templates are: the engine can only write behind what it takes for the newest.
//! Source of the format: Yjs `UpdateEncoderV1`, `ContentType`, `ContentFormat`.

use std::sync::Arc;

use yrs::branch::Branch;
use yrs::types::text::YChange;
use yrs::{Any, GetString, Map, MapRef, Out, ReadTxn, Text, TextRef};

use super::before::get;
use crate::board::shared::{as_map, as_text};
use crate::ids::ClientId;
use crate::limits::{BOARD_CARD_RESTORED_BYTES_MAX, BOARD_TEXT_MARKS_MAX};
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

/// A piece of a shared text, and what it is formatted with, by name.
pub type Piece = (Any, Vec<(Arc<str>, Any)>);

/// What a board has under a root's key, or in a field of the map there. Nothing if that is not set, or is something that
/// a board does not have. Of a map as much as [`BOARD_CARD_RESTORED_BYTES_MAX`] has room for, what readers know first. `marks`
/// tells how many formats a text has at most: the engine is not asked for more than [`BOARD_TEXT_MARKS_MAX`].
#[must_use]
pub fn former<T: ReadTxn>(
    transaction: &T,
    root: &str,
    keys: &[Option<&str>],
    marks: &impl Fn(&Branch) -> u64,
) -> Option<Former> {
    let mut copier = Copier { transaction, marks, left: usize::MAX };
    match *keys {
        [Some(key)] => match get(transaction, root, key)? {
            Out::Any(plain) => Some(Former::Plain(plain)),
            shared => {
                copier.left = BOARD_CARD_RESTORED_BYTES_MAX;
                as_map(&shared).map(|map| copier.map(&map))
            }
        },
        [Some(key), Some(field)] => {
            let map = as_map(&get(transaction, root, key)?)?;
            copier.field(&map.get(transaction, field)?).ok()?
        }
        _ => None,
    }
}

/// What readers know of cards, groups and action items, the most important first.
const KNOWN_FIELDS: [&str; 9] =
    ["author", "createdAt", "text", "column", "title", "order", "done", "assignee", "due"];

/// There is no room for it.
struct Full;

struct Copier<'c, T, M> {
    transaction: &'c T,
    marks: &'c M,
    /// Bytes that there is room for.
    left: usize,
}

impl<T: ReadTxn, M: Fn(&Branch) -> u64> Copier<'_, T, M> {
    fn map(&mut self, map: &MapRef) -> Former {
        let mut fields = Vec::new();
        for field in KNOWN_FIELDS {
            let value = map.get(self.transaction, field).map(|value| self.field(&value));
            if let Some(Ok(Some(value))) = value {
                fields.push((field.to_owned(), value));
            }
        }
        for (field, value) in map.iter(self.transaction) {
            if KNOWN_FIELDS.contains(&field) {
                continue;
            }
            match self.take(field.len()).and_then(|()| self.field(&value)) {
                Ok(Some(value)) => fields.push((field.to_owned(), value)),
                Ok(None) => {}
                Err(Full) => break,
            }
        }
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Former::Map(fields)
    }

    fn field(&mut self, value: &Out) -> Result<Option<Former>, Full> {
        if let Out::Any(plain) = value {
            self.take(bytes_of(plain))?;
            return Ok(Some(Former::Plain(plain.clone())));
        }
        as_text(value).map(|text| self.text(&text)).transpose()
    }

    fn text(&mut self, text: &TextRef) -> Result<Former, Full> {
        let branch: &Branch = text.as_ref();
        // A unit of text is a byte or more.
        if branch.len() as usize > self.left {
            return Err(Full);
        }
        let pieces: Vec<Piece> = if (self.marks)(branch) > BOARD_TEXT_MARKS_MAX {
            vec![(Any::from(text.get_string(self.transaction)), Vec::new())]
        } else {
            let pieces = text.diff(self.transaction, YChange::identity).into_iter().filter_map(|piece| {
                let Out::Any(content) = piece.insert else { return None };
                let mut formats: Vec<_> = piece.attributes.into_iter().flat_map(|all| *all).collect();
                formats.sort_by(|a, b| a.0.cmp(&b.0));
                Some((content, formats))
            });
            pieces.collect()
        };
        for (content, _) in &pieces {
            self.take(bytes_of(content))?;
        }
        Ok(Former::Text(pieces))
    }

    fn take(&mut self, bytes: usize) -> Result<(), Full> {
        self.left = self.left.checked_sub(bytes + VALUE_OVERHEAD_BYTES).ok_or(Full)?;
        Ok(())
    }
}

/// About what a block has beside its content.
const VALUE_OVERHEAD_BYTES: usize = 16;

fn bytes_of(value: &Any) -> usize {
    match value {
        Any::String(text) => text.len(),
        Any::Buffer(bytes) => bytes.len(),
        Any::Array(values) => values.iter().map(|value| 1 + bytes_of(value)).sum(),
        Any::Map(entries) => entries.iter().map(|(key, value)| 1 + key.len() + bytes_of(value)).sum(),
        _ => 9,
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

/// The update that sets former values again.
pub struct Compensation {
    first: (ClientId, u32),
    blocks: Blocks,
}

impl Compensation {
    /// One that has nothing yet: under a client id from a clock on, of so many bytes at most.
    #[must_use]
    pub fn new((client, clock): (ClientId, u32), bytes_max: usize) -> Self {
        let blocks = Blocks { client, clock, count: 0, out: Vec::new(), bytes_max };
        Self { first: (client, clock), blocks }
    }

    /// Has it set a value behind each of its ids, if there is room for all of that. Tells whether there was.
    #[must_use]
    pub fn put(&mut self, restore: &Restore) -> bool {
        let Blocks { clock, count, ref out, .. } = self.blocks;
        let len = out.len();
        for &origin in &restore.behind {
            self.blocks.put(Stands::Behind(origin), &restore.value);
            if self.blocks.is_full() {
                (self.blocks.clock, self.blocks.count) = (clock, count);
                self.blocks.out.truncate(len);
                return false;
            }
        }
        true
    }

    /// The update; nothing if it sets nothing.
    #[must_use]
    pub fn finish(self) -> Option<Vec<u8>> {
        let Self { first: (client, clock), blocks } = self;
        if blocks.count == 0 {
            return None;
        }
        let mut update = vec![1]; // one client
        write_var_uint(&mut update, blocks.count);
        write_var_uint(&mut update, client);
        write_var_uint(&mut update, u64::from(clock));
        update.extend_from_slice(&blocks.out);
        update.push(0); // nothing is deleted by name: each deletes what it stands behind
        Some(update)
    }
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
    /// Of `out`: with more it is of no use, and nothing is added.
    bytes_max: usize,
}

impl Blocks {
    fn is_full(&self) -> bool {
        self.out.len() > self.bytes_max
    }

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
                    if self.is_full() {
                        return;
                    }
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

    /// Each piece with the formats that begin and end before it, as they change.
    fn put_text(&mut self, text: (ClientId, u32), pieces: &[Piece]) {
        let mut stands = Stands::In(text, None);
        let mut now: &[(Arc<str>, Any)] = &[];
        for (content, formats) in pieces {
            if self.is_full() {
                return;
            }
            stands = self.put_formats(stands, now, formats);
            now = formats;
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
        }
        self.put_formats(stands, now, &[]);
    }

    /// Ends what is not there any more, and begins what is new or other.
    fn put_formats<'a>(
        &mut self,
        mut stands: Stands<'a>,
        from: &[(Arc<str>, Any)],
        to: &[(Arc<str>, Any)],
    ) -> Stands<'a> {
        let find =
            |all: &[(Arc<str>, Any)], name: &str| all.binary_search_by(|(of, _)| (**of).cmp(name)).ok();
        for (name, _) in from.iter().filter(|(name, _)| find(to, name).is_none()) {
            stands = self.put_format(stands, name, &Any::Null);
        }
        for (name, value) in to {
            if find(from, name).is_none_or(|at| from[at].1 != *value) {
                stands = self.put_format(stands, name, value);
            }
        }
        stands
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
