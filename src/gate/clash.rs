//! Two contents under one client id and clock: a page that was copied with its id, or somebody who writes under
//! another's. Whoever is stored first has the clock; the other one's content would be dropped as known,
//! and its document would differ from all others for ever, without a word.
//!
//! What can be told without content: the index knows where each clock lives and whether it is a shared type;
//! [`Recent`] remembers the newest edits by a hash. A retransmission never differs in either; text that is
//! typed over older text in the same place is not seen.
//!
//! Pure.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::block::{Block, Kind, Parent, read_block};
use super::index::{Spot, What};
use super::parse::Section;
use super::read::{Id, Reader};
use super::under_way::UnderWay;
use super::{Gate, ParsedUpdate, Source};
use crate::ids::ClientId;
use crate::limits::RECENT_EDITS_MAX;

/// The newest edits that were admitted: which clocks, and a hash of the bytes.
#[derive(Debug, Default)]
pub struct Recent {
    edits: VecDeque<Edit>,
}

#[derive(Debug, Clone, Copy)]
struct Edit {
    client: ClientId,
    clocks: (u32, u32),
    hash: u64,
}

impl Recent {
    /// Remembers the parts of an update that were admitted as they are: `(client, from, to)`, in the update's order. Copies
    /// of whole documents are not remembered.
    pub fn note(&mut self, update: &ParsedUpdate<'_>, admitted: &[(ClientId, u32, u32)]) {
        if update.source != Source::Update {
            return;
        }
        let mut admitted = admitted.iter().peekable();
        for section in &update.parsed.sections {
            let Some(part) = admitted.next_if(|part| part.0 == section.client) else { continue };
            let is_whole = (part.1, part.2) == section.clocks;
            let Some(hash) = hash(update, section).filter(|_| is_whole) else { continue };
            if self.edits.len() >= RECENT_EDITS_MAX {
                self.edits.pop_front();
            }
            let Section { client, clocks, .. } = *section;
            self.edits.push_back(Edit { client, clocks, hash });
        }
    }

    fn contradicts(&self, update: &ParsedUpdate<'_>, section: &Section) -> bool {
        let same = |edit: &&Edit| (edit.client, edit.clocks) == (section.client, section.clocks);
        let Some(edit) = self.edits.iter().find(same) else { return false };
        hash(update, section).is_some_and(|hash| hash != edit.hash)
    }
}

impl Gate {
    /// The first client of which the update says something else than is known here.
    #[must_use]
    pub fn contradicted(&self, update: &ParsedUpdate<'_>, recent: &Recent) -> Option<ClientId> {
        let sections = update.parsed.sections.iter();
        let mut known = sections.filter(|section| section.clocks.0 < self.index.known(section.client));
        let contradicts = |section: &&Section| self.contradicts(update, section, recent);
        known.find(contradicts).map(|section| section.client)
    }

    /// Whether some of an update that is known here stands here in another place than the update says, or is a shared
    /// type in only one of the two. Deleted content has a place too, garbage has none. What is under way
    /// does not count as known.
    #[must_use]
    pub fn stands_apart(&self, update: &ParsedUpdate<'_>, under_way: &UnderWay) -> bool {
        let known = |client: ClientId| {
            let known = self.index.known(client);
            under_way.from(client).map_or(known, |from| known.min(from))
        };
        update.parsed.sections.iter().any(|section| self.is_apart(update, section, &known))
    }

    fn is_apart(
        &self,
        update: &ParsedUpdate<'_>,
        section: &Section,
        known_of: &impl Fn(ClientId) -> u32,
    ) -> bool {
        let (client, known) = (section.client, known_of(section.client));
        let is_unknown = |id: Id| id.clock >= known_of(id.client);
        let mut reader = Reader::starting_at(update.parsed.bytes, section.bytes.0);
        let mut clock = section.clocks.0;
        for _ in 0..section.blocks {
            if clock >= known {
                return false;
            }
            let Ok(block) = read_block::<false>(&mut reader) else { return false };
            let last = (clock + block.len).min(known) - 1;
            let Some((spot, what)) = self.index.find(Id { client, clock: last }) else { return false };
            let is_deleted = block.kind == Kind::Deleted || what == What::Deleted;
            let is_type = (matches!(block.kind, Kind::Type(_)), matches!(what, What::Type(_)));
            let garbage = matches!(block.kind, Kind::Gc | Kind::Skip) || spot.is_nowhere();
            let other_kind = !is_deleted && is_type.0 != is_type.1;
            let names_unknown = match (block.origin.or(block.right), block.parent) {
                (Some(neighbour), _) => is_unknown(neighbour),
                (None, Some(Parent::Type(parent))) => is_unknown(parent),
                (None, _) => false,
            };
            if !garbage && (other_kind || names_unknown || self.is_elsewhere(&block, client, clock, spot)) {
                return true;
            }
            clock += block.len;
        }
        false
    }

    fn contradicts(&self, update: &ParsedUpdate<'_>, section: &Section, recent: &Recent) -> bool {
        let known = self.index.known(section.client);
        let mut reader = Reader::starting_at(update.parsed.bytes, section.bytes.0);
        let (mut clock, mut is_content) = (section.clocks.0, true);
        for _ in 0..section.blocks {
            if clock >= known {
                return false;
            }
            let Ok(block) = read_block::<false>(&mut reader) else { return false };
            // Content that was deleted looks different to each.
            let is_deleted = matches!(block.kind, Kind::Gc | Kind::Deleted | Kind::Skip);
            is_content &= !is_deleted;
            let last = clock + block.len - 1;
            if !is_deleted && last < known && self.stands_elsewhere(&block, section.client, clock, last) {
                return true;
            }
            clock += block.len;
        }
        is_content && recent.contradicts(update, section)
    }

    /// Whether the index has these clocks in another place than the block says, or as something else.
    fn stands_elsewhere(&self, block: &Block<'_>, client: ClientId, clock: u32, last: u32) -> bool {
        let at = |clock| self.index.find(Id { client, clock });
        let (Some((first, _)), Some((spot, what))) = (at(clock), at(last)) else { return false };
        let type_here = match what {
            What::Deleted => return false,
            What::Type(_) => true,
            What::Content => false,
        };
        if spot.is_nowhere() || first.is_nowhere() {
            return false;
        }
        type_here != matches!(block.kind, Kind::Type(_)) || self.is_elsewhere(block, client, clock, spot)
    }

    /// Whether a block whose first clock and whose last, which is in this spot, are known says that it is in another.
    fn is_elsewhere(&self, block: &Block<'_>, client: ClientId, first: u32, spot: Spot) -> bool {
        if self.index.find(Id { client, clock: first }).is_some_and(|(first, _)| first != spot) {
            return true;
        }
        let mut neighbours = [block.origin, block.right].into_iter().flatten();
        match (neighbours.next(), block.parent) {
            // Whatever was admitted here had neighbours that are known.
            (Some(neighbour), _) => match self.index.find(neighbour) {
                Some((theirs, _)) => !theirs.is_nowhere() && theirs != spot,
                None => true,
            },
            (None, Some(parent)) => self.index.spot_in(parent, block.key).is_none_or(|theirs| theirs != spot),
            (None, None) => false,
        }
    }
}

/// See [`ParsedUpdate::by_client`].
pub struct ByClient<'u> {
    update: &'u ParsedUpdate<'u>,
    sections: HashMap<ClientId, &'u Section>,
}

/// What two updates say of ids that are in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accord {
    /// The same, however their blocks are cut, but for content that was deleted in one of them.
    Same,
    /// Something is garbage in one of them: its place there is forgotten.
    Unclear,
    /// One of them has something else, or in another place.
    Otherwise,
}

impl ParsedUpdate<'_> {
    /// The update, to be compared with many others.
    #[must_use]
    pub fn by_client(&self) -> ByClient<'_> {
        let sections = self.parsed.sections.iter().map(|section| (section.client, section)).collect();
        ByClient { update: self, sections }
    }

    /// Compares what two updates say of ids that are in both: what these stand behind or in, and what they are. If they say
    /// the same, whoever takes in one of them finds nothing of the other apart ([`Gate::stands_apart`]).
    #[must_use]
    pub fn accord(&self, other: &ByClient<'_>) -> Accord {
        let of = |ours: &Section| {
            let theirs = other.sections.get(&ours.client)?;
            Some(accord(ours.client, self.blocks(ours), other.update.blocks(theirs)))
        };
        self.parsed.sections.iter().filter_map(of).max().unwrap_or(Accord::Same)
    }

    /// The blocks of a part, each with its clock.
    fn blocks<'s>(&'s self, section: &Section) -> impl Iterator<Item = (u32, Block<'s>)> + use<'s> {
        let mut reader = Reader::starting_at(self.parsed.bytes, section.bytes.0);
        let (mut clock, mut left) = (section.clocks.0, section.blocks);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let block = read_block::<false>(&mut reader).ok()?;
            clock += block.len;
            Some((clock - block.len, block))
        })
    }
}

/// Compares one client's blocks where both have them.
fn accord<'a>(
    client: ClientId,
    mut ours: impl Iterator<Item = (u32, Block<'a>)>,
    mut theirs: impl Iterator<Item = (u32, Block<'a>)>,
) -> Accord {
    let (mut one, mut two, mut accord) = (ours.next(), theirs.next(), Accord::Same);
    while let (Some((at, a)), Some((other_at, b))) = (one, two) {
        let (end, other_end) = (at + a.len, other_at + b.len);
        let both = at.max(other_at);
        if both < end.min(other_end) {
            accord = accord.max(accord_at((client, both), (at, &a), (other_at, &b)));
        }
        if end <= other_end {
            one = ours.next();
        }
        if other_end <= end {
            two = theirs.next();
        }
    }
    accord
}

/// Compares two blocks, each with its first clock, at an id that both have.
fn accord_at((client, clock): (ClientId, u32), a: (u32, &Block<'_>), b: (u32, &Block<'_>)) -> Accord {
    let ((at, a), (other_at, b)) = (a, b);
    let has_place = |block: &Block<'_>| !matches!(block.kind, Kind::Gc | Kind::Skip);
    if !has_place(a) || !has_place(b) {
        return if a.kind == b.kind { Accord::Same } else { Accord::Unclear };
    }
    // Within a block each clock stands behind the one before.
    let origin = |from: u32, block: &Block<'_>| match clock > from {
        true => Some(Id { client, clock: clock - 1 }),
        false => block.origin,
    };
    let (stands, other_stands) = (origin(at, a), origin(other_at, b));
    let is_first = stands.is_none() && other_stands.is_none();
    let same_place =
        stands == other_stands && (!is_first || (a.right, a.parent, a.key) == (b.right, b.parent, b.key));
    let same_kind = a.kind == b.kind || a.kind == Kind::Deleted || b.kind == Kind::Deleted;
    if same_place && same_kind { Accord::Same } else { Accord::Otherwise }
}

/// Of what a part says, however its blocks are cut and merged, and in whatever order the entries of an object
/// come: the sum over the bytes of its texts and values. `None` if it has something deleted, or half a character: what
/// others have made of it then differs.
fn hash(update: &ParsedUpdate<'_>, section: &Section) -> Option<u64> {
    let mut reader = Reader::starting_at(update.parsed.bytes, section.bytes.0);
    let mut sum = 0_u64;
    for _ in 0..section.blocks {
        let block = read_block::<false>(&mut reader).ok()?;
        let content = block.comparable()?;
        if block.kind == Kind::String && content.windows(3).any(|three| three == REPLACEMENT) {
            return None;
        }
        sum = content.iter().fold(sum, |sum, byte| sum.wrapping_add(mixed(*byte)));
    }
    Some(sum)
}

/// U+FFFD, which stands for half a character where a text was cut in it.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// One step of splitmix64: sums of bytes are the same for the same bytes only, nearly always.
fn mixed(byte: u8) -> u64 {
    let mut z = u64::from(byte).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}
