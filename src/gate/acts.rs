//! What an admitted update does, act by act: each of its new blocks, and each run of what it newly deletes, with its
//! place and its content. For who has rules about places; the gate has none.

use super::block::{Block, Kind, read_block};
use super::index::Spot;
use super::parse::parse;
use super::ranges::{self, Range};
use super::read::Reader;
use super::{Gate, Refusal, Remainder};
use crate::ids::ClientId;

/// Levels below a root that a [`Place`] tells.
pub const PLACE_KEYS: usize = 4;

/// Where something lives: a root, and a key for each level below it, `None` where the level is a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The root's name.
    pub root: &'a str,
    keys: [Option<&'a str>; PLACE_KEYS],
    levels: u8,
}

impl<'a> Place<'a> {
    /// A place in a root, at most [`PLACE_KEYS`] levels below it.
    ///
    /// # Panics
    /// If there are more levels.
    #[must_use]
    pub fn new(root: &'a str, levels: &[Option<&'a str>]) -> Self {
        let mut keys = [None; PLACE_KEYS];
        keys[..levels.len()].copy_from_slice(levels);
        Self { root, keys, levels: levels.len() as u8 }
    }

    /// From where something lives upwards, as the index has it: levels beyond [`PLACE_KEYS`] are counted only.
    pub(super) fn upwards(levels: impl Iterator<Item = Option<&'a str>>) -> Option<Self> {
        let (mut keys, mut count, mut root) = ([None; PLACE_KEYS], 0_usize, None);
        for level in levels {
            // The one before the last, which is the root, was a key.
            if let Some(key) = root.replace(level) {
                if count < PLACE_KEYS {
                    keys[count] = key;
                }
                count += 1;
            }
        }
        keys[..count.min(PLACE_KEYS)].reverse();
        Some(Self { root: root??, keys, levels: u8::try_from(count).unwrap_or(u8::MAX) })
    }

    /// The key right below the root, however deep it is.
    #[must_use]
    pub fn first_key(&self) -> Option<&'a str> {
        if self.levels == 0 { None } else { self.keys[0] }
    }

    /// The levels below the root; nothing if there are more than [`PLACE_KEYS`].
    #[must_use]
    pub fn keys(&self) -> Option<&[Option<&'a str>]> {
        self.keys.get(..usize::from(self.levels))
    }
}

/// Which of all places it is: the same for what lives in one map under one key, or in one sequence. Means something
/// until the gate admits or takes back anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Where(Spot);

/// What an act brings or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Values, encoded one behind the other; under a key exactly one.
    Values(&'a [u8]),
    /// Text.
    Text,
    /// A format, or an object within a text.
    Mark,
    /// Bytes.
    Binary,
    /// A shared type, by its ref: 0 array, 1 map, 2 text, 3 XML element, 4 fragment, 6 XML text.
    Type(u8),
    /// A block that was deleted before it came. Under a key it deletes what was there, if it comes last.
    Deleted,
    /// No block: what was there before the update is deleted.
    Delete,
}

/// One thing that an update does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act<'a> {
    /// Of the block that comes or goes.
    pub client: ClientId,
    /// Its first clock, and the one after its last.
    pub clocks: (u32, u32),
    /// The last id of what it stands behind, as it says.
    pub origin: Option<(ClientId, u32)>,
    /// Where it lives.
    pub place: Place<'a>,
    /// The same, to tell places apart.
    pub at: Where,
    /// What it is.
    pub content: Content<'a>,
    /// The map or sequence in which it lives came with the same update. Roots are there from the start.
    pub in_new: bool,
}

impl<'a> Act<'a> {
    /// What somebody is about to do, who has not written it yet.
    #[must_use]
    pub fn imagined(place: Place<'a>, content: Content<'a>) -> Self {
        let (at, clocks) = (Where(Spot::NOWHERE), (0, 1));
        Self { client: 0, clocks, origin: None, place, at, content, in_new: false }
    }

    /// Whether it brings a block.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.content != Content::Delete
    }
}

impl Gate {
    /// Shows all acts of what was admitted just now: blocks first, in their order, then what is deleted of what was there
    /// before. Garbage is not among them.
    ///
    /// # Errors
    /// [`Refusal`] if it is no remainder of this gate.
    pub fn acts(&self, admitted: &Remainder, mut look: impl FnMut(&Act<'_>)) -> Result<(), Refusal> {
        self.acts_while(admitted, |act| {
            look(act);
            true
        })
    }

    /// The same, until `look` says that it has seen enough.
    ///
    /// # Errors
    /// As [`Gate::acts`].
    pub fn acts_while(
        &self,
        admitted: &Remainder,
        mut look: impl FnMut(&Act<'_>) -> bool,
    ) -> Result<(), Refusal> {
        let parsed = parse::<false>(&admitted.update)?;
        let first_new = admitted.receipt.before.types();
        for section in &parsed.sections {
            let mut reader = Reader::starting_at(parsed.bytes, section.bytes.0);
            let mut clock = section.clocks.0;
            for _ in 0..section.blocks {
                let block = read_block::<false>(&mut reader)?;
                let clocks = (clock, clock + block.len);
                clock = clocks.1;
                let Some(content) = content(&block) else { continue };
                let Some((spot, place)) = self.index.place(section.client, clocks.0) else { continue };
                let origin = block.origin.map(|id| (id.client, id.clock));
                let in_new = spot.parent >= first_new && !self.index.is_in_root(spot);
                let (client, at) = (section.client, Where(spot));
                if !look(&Act { client, clocks, origin, place, at, content, in_new }) {
                    return Ok(());
                }
            }
        }
        let mut new = admitted.receipt.blocks.clone();
        new.sort_unstable();
        for &(client, from, to) in &admitted.receipt.deletes {
            let own = new.binary_search_by_key(&client, |part| part.0).ok().map(|at| (new[at].1, new[at].2));
            for old in ranges::subtract(&[(from, to)], own.as_slice()) {
                if !self.deleted_acts(client, old, &mut look) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn deleted_acts(&self, client: ClientId, range: Range, look: &mut impl FnMut(&Act<'_>) -> bool) -> bool {
        let mut from = range.0;
        while from < range.1 {
            let to = self.index.run_end(client, from).unwrap_or(range.1).min(range.1);
            if let Some((spot, place)) = self.index.place(client, from) {
                let (at, content) = (Where(spot), Content::Delete);
                let clocks = (from, to);
                if !look(&Act { client, clocks, origin: None, place, at, content, in_new: false }) {
                    return false;
                }
            }
            from = to;
        }
        true
    }
}

fn content<'a>(block: &'a Block<'_>) -> Option<Content<'a>> {
    Some(match block.kind {
        Kind::Gc | Kind::Skip => return None,
        Kind::Deleted => Content::Deleted,
        Kind::Type(of) => Content::Type(of),
        Kind::String => Content::Text,
        Kind::Any => Content::Values(block.comparable()?),
        Kind::Whole if block.is_binary() => Content::Binary,
        Kind::Whole => Content::Mark,
    })
}
