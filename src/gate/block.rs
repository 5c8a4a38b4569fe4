//! One block of an update, decoded where it stands. Nothing is copied; decoding it again costs a
//! few reads, so blocks are looked at when they are needed instead of being kept.
//!
//! What is read is what Yjs 13, Yjs 14 and yrs all read in the same way; the rest is refused:
//! - flags beside a GC or a Skip, and the content bit 0x10 (Yjs masks five bits, yrs four or none);
//! - JSON content (yrs reads one string more), XML hooks (yrs reads no name), weak links,
//!   subdocuments (yrs builds a whole document while it decodes);
//! - numbers above 53 bits, type refs of two bytes, embedded JSON that yrs cannot parse.

use super::read::{Id, Reader, put_id, put_number, put_text, utf16_units};
use super::refusal::Refusal;
use super::value::{check_embedded_json, pass_any, pass_text};

const GC: u8 = 0;
const SKIP: u8 = 10;
const DELETED: u8 = 1;
const JSON: u8 = 2;
const BINARY: u8 = 3;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
const DOC: u8 = 9;

const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT: u8 = 0x40;
const HAS_KEY: u8 = 0x20;

const XML_ELEMENT: u8 = 3;

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Was something once; its place in the document is forgotten.
    Gc,
    /// Stands for clocks that the sender does not have.
    Skip,
    /// Content that was deleted; its place is known.
    Deleted,
    /// A shared type, by its ref: 0 array, 1 map, 2 text, 3 XML element, 4 fragment, 6 XML text.
    Type(u8),
    /// Text.
    String,
    /// Values.
    Any,
    /// Binary, embed or format: content that cannot be cut.
    Whole,
}

/// Where a block says it lives, if it names no neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent<'a> {
    Root(&'a str),
    Type(Id),
}

/// A block as it stands in an update.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) kind: Kind,
    /// In clocks, at least 1.
    pub(super) len: u32,
    pub(super) origin: Option<Id>,
    pub(super) right: Option<Id>,
    /// Given exactly if there is neither origin nor right origin.
    pub(super) parent: Option<Parent<'a>>,
    pub(super) key: Option<&'a str>,
    info: u8,
    content: &'a [u8],
}

/// Whether the block that stands at `at` was garbage-collected.
pub(super) fn is_garbage(bytes: &[u8], at: u32) -> bool {
    bytes.get(at as usize) == Some(&GC)
}

/// Decodes the block at the reader. With `CHECK` its content is checked; without, an earlier pass
/// has done so.
#[inline]
pub(super) fn read_block<'a, const CHECK: bool>(reader: &mut Reader<'a>) -> Result<Block<'a>, Refusal> {
    let info = reader.byte()?;
    if info == GC || info == SKIP {
        let kind = if info == GC { Kind::Gc } else { Kind::Skip };
        let len = reader.length()?;
        return Ok(Block {
            kind,
            len,
            origin: None,
            right: None,
            parent: None,
            key: None,
            info,
            content: &[],
        });
    }
    let origin = if info & HAS_ORIGIN != 0 { Some(reader.id()?) } else { None };
    let right = if info & HAS_RIGHT != 0 { Some(reader.id()?) } else { None };
    let (mut parent, mut key) = (None, None);
    if origin.is_none() && right.is_none() {
        parent = Some(match reader.byte()? {
            0 => Parent::Type(reader.id()?),
            1 => Parent::Root(reader.name()?),
            _ => return Err(Refusal::UnknownBlock),
        });
        if info & HAS_KEY != 0 {
            key = Some(reader.name()?);
        }
    }
    let (kind, len, content) = read_content::<CHECK>(reader, info & 0x1f)?;
    Ok(Block { kind, len, origin, right, parent, key, info, content })
}

/// Reads content: its kind, its length in clocks, and what a cut needs of its bytes.
#[inline]
fn read_content<'a, const CHECK: bool>(
    reader: &mut Reader<'a>,
    kind: u8,
) -> Result<(Kind, u32, &'a [u8]), Refusal> {
    Ok(match kind {
        DELETED => (Kind::Deleted, reader.length()?, &[]),
        STRING => {
            let text = if CHECK { reader.text()?.as_bytes() } else { reader.blob()? };
            let len = u32::try_from(utf16_units(text)).map_err(|_| Refusal::ClockTooLarge)?;
            (Kind::String, if len == 0 { return Err(Refusal::Empty) } else { len }, text)
        }
        ANY => {
            let mut values = *reader;
            let count = reader.count(1)?;
            if count == 0 {
                return Err(Refusal::Empty);
            }
            for _ in 0..count {
                pass_any::<CHECK>(reader, 0)?;
            }
            let content = values.take(reader.at() - values.at())?;
            (Kind::Any, count, content)
        }
        TYPE => {
            let type_ref = reader.byte()?;
            match type_ref {
                0 | 1 | 2 | 4 | 6 => {}
                XML_ELEMENT => drop(reader.name()?),
                _ => return Err(Refusal::UnknownType),
            }
            (Kind::Type(type_ref), 1, &[])
        }
        BINARY => {
            reader.blob()?;
            (Kind::Whole, 1, &[])
        }
        EMBED | FORMAT => {
            if kind == FORMAT {
                reader.name()?;
            }
            if CHECK {
                check_embedded_json(reader.text()?)?;
            } else {
                pass_text::<false>(reader)?;
            }
            (Kind::Whole, 1, &[])
        }
        JSON => return Err(Refusal::LegacyJson),
        DOC => return Err(Refusal::Subdocument),
        _ => return Err(Refusal::UnknownBlock),
    })
}

impl Block<'_> {
    /// Whether another block is of the same kind and length and names the same place.
    pub(super) fn stands_like(&self, other: &Self) -> bool {
        (self.kind, self.len, self.origin, self.right) == (other.kind, other.len, other.origin, other.right)
            && (self.parent, self.key) == (other.parent, other.key)
    }

    /// Whether it is bytes, of those kinds that cannot be cut.
    pub(super) fn is_binary(&self) -> bool {
        self.info & 0x1f == BINARY
    }

    /// The bytes of its content that stay the same however it is cut and merged; nothing where none do.
    /// `None`: it has lost its content.
    pub(super) fn comparable(&self) -> Option<&[u8]> {
        match self.kind {
            Kind::Gc | Kind::Skip | Kind::Deleted => None,
            Kind::String => Some(self.content),
            Kind::Any => {
                let mut reader = Reader::new(self.content);
                reader.number().ok()?; // how many
                self.content.get(reader.at()..)
            }
            Kind::Type(_) | Kind::Whole => Some(&[]),
        }
    }

    /// Writes `len` clocks of deleted content in the place of the block: behind `origin` if it has
    /// one by now, else where the block says.
    pub(super) fn write_deleted(&self, out: &mut Vec<u8>, origin: Option<Id>, len: u32) {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let alone = origin.is_none() && self.right.is_none();
        let flags = flag(origin.is_some(), HAS_ORIGIN) | flag(self.right.is_some(), HAS_RIGHT);
        out.push(DELETED | flags | flag(alone && self.key.is_some(), HAS_KEY));
        [origin, self.right].into_iter().flatten().for_each(|id| put_id(out, id));
        if alone {
            match self.parent {
                Some(Parent::Root(name)) => {
                    out.push(1);
                    put_text(out, name);
                }
                Some(Parent::Type(id)) => {
                    out.push(0);
                    put_id(out, id);
                }
                None => debug_assert!(false, "a block has a neighbour or a parent"),
            }
            if let Some(key) = self.key {
                put_text(out, key);
            }
        }
        put_number(out, u64::from(len));
    }

    /// Writes what is left of the block after its first `offset` clocks: as Yjs' `Item.write` does,
    /// with the id before the cut as origin. `client` and `clock` are the block's own.
    pub(super) fn write_rest(&self, out: &mut Vec<u8>, client: u64, clock: u32, offset: u32) {
        debug_assert!(0 < offset && offset < self.len);
        if matches!(self.kind, Kind::Gc | Kind::Skip) {
            out.push(self.info);
            put_number(out, u64::from(self.len - offset));
            return;
        }
        out.push(self.info | HAS_ORIGIN);
        put_id(out, Id { client, clock: clock + offset - 1 });
        if let Some(right) = self.right {
            put_id(out, right);
        }
        match self.kind {
            Kind::String => write_text_rest(out, self.content, offset),
            Kind::Any => write_values_rest(out, self.content, self.len, offset),
            _ => put_number(out, u64::from(self.len - offset)),
        }
    }
}

/// Writes a string without its first `units` UTF-16 units. A cut inside a surrogate pair leaves
/// U+FFFD in place of its second half, as JavaScript does.
fn write_text_rest(out: &mut Vec<u8>, text: &[u8], mut units: u32) {
    let mut at = 0;
    while units > 0 && at < text.len() {
        let (bytes, width) = match text[at] {
            0x00..=0x7f => (1, 1),
            0x80..=0xdf => (2, 1),
            0xe0..=0xef => (3, 1),
            _ => (4, 2),
        };
        at += bytes;
        if width > units {
            const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
            put_number(out, (REPLACEMENT.len() + text.len() - at) as u64);
            out.extend_from_slice(REPLACEMENT);
            out.extend_from_slice(&text[at..]);
            return;
        }
        units -= width;
    }
    put_number(out, (text.len() - at) as u64);
    out.extend_from_slice(&text[at..]);
}

/// Writes `len` values (`content` starts with that count) without the first `offset`.
fn write_values_rest(out: &mut Vec<u8>, content: &[u8], len: u32, offset: u32) {
    let mut reader = Reader::new(content);
    let passed =
        reader.number().and_then(|_| (0..offset).try_for_each(|_| pass_any::<false>(&mut reader, 0)));
    debug_assert!(passed.is_ok(), "the values were read before");
    put_number(out, u64::from(len - offset));
    out.extend_from_slice(&content[reader.at()..]);
}

/// Writes a GC block.
pub(super) fn write_gc(out: &mut Vec<u8>, len: u32) {
    out.push(GC);
    put_number(out, u64::from(len));
}
