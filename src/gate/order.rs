//! The order of blocks that stand beside each other, in sequences and under keys: Yjs' algorithm over
//! parsed blocks, without content. It is there to count: what integrating a block costs, now and in
//! every later replay.
//!
//! Blocks form a tree by their origins, and lists walk it depth first. A block x walks over the
//! blocks between its origin and its right origin that are in its origin's subtree and that it does
//! not need: call that x *spans* them. It spans no sibling of a larger client with the same right
//! origin, nor what hangs on that: its walk ends at the first of those that it meets. In whatever order
//! blocks arrive, of two that meet in this way the later walks over the earlier at most once. So a block
//! is charged with what it spans, and with those that span it: what they would pay if it had come first.
//! The sum bounds the steps of the engine's loop (and Yjs': it is the same) for the updates as they come,
//! merged, or as one document.
//! The two are told apart: what a block spans its author has not seen, what spans it was laid by others.
//!
//! Who spans a new block? Those that span its neighbour, counted there, and those of its siblings within
//! its own walk whose walk does not end at it. That is all of them, unless a right origin stands behind
//! a block that its author must have seen and left in between; no editor writes that, and it is refused.

mod links;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::index::{Index, Spot};
use super::names::NO_NAME;
use super::read::Id;
use super::refusal::Refusal;
use crate::ids::ClientId;

/// No entry, or no id.
const NONE: u32 = u32::MAX;

/// An id with the client's number in place of its 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    client: u32,
    clock: u32,
}

/// Entries of scratch memory that are kept between walks.
const SCRATCH_KEPT: usize = 4_096;

const NOWHERE: Place = Place { client: NONE, clock: NONE };

/// A block on its way into the order.
#[derive(Clone, Copy)]
pub(super) struct Placed {
    pub(super) id: Id,
    pub(super) len: u32,
    pub(super) origin: Option<Id>,
    pub(super) right: Option<Id>,
    pub(super) spot: Spot,
    /// First of its client's blocks in its update: it may become one with what that client wrote
    /// before, as it does in the engine.
    pub(super) first: bool,
}

/// A block, a piece of one, or a few that were typed one after the other. 40 bytes.
#[derive(Clone, Copy)]
struct Entry {
    /// The client's number, and in the lowest 8 bits how many blocks it was; 0 for garbage, which
    /// stands in no list.
    tag: u32,
    clock: u32,
    len: u32,
    next: u32,
    prev: u32,
    origin: Place,
    right: Place,
    /// How many blocks span it.
    spanned: u32,
}

impl Entry {
    fn client(&self) -> u32 {
        self.tag >> 8
    }

    fn is_garbage(&self) -> bool {
        self.tag & 0xff == 0
    }

    fn holds(&self, place: Place) -> bool {
        self.client() == place.client && self.clock <= place.clock && place.clock - self.clock < self.len
    }
}

/// One client's entries, by clock, without holes.
struct Held {
    id: ClientId,
    slots: Vec<u32>,
}

/// What a block is charged with.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    /// For what it spans.
    pub(super) own: u64,
    /// For what spans it.
    pub(super) inherited: u64,
}

/// In place of the round of an entry that a walk meets and does not span.
const NOT_SPANNED: u32 = u32::MAX;

/// What a walk has found.
struct Walk {
    /// Behind which entry the block belongs.
    left: u32,
    /// What it spans, each from the first entry to the one before the second.
    spans: SmallVec<[(u32, u32); 2]>,
    steps: u64,
    /// Siblings that span it.
    siblings: u32,
}

/// The order of one document.
#[derive(Default)]
pub(super) struct Order {
    entries: Vec<Entry>,
    free: Vec<u32>,
    numbers: HashMap<ClientId, u32>,
    clients: Vec<Held>,
    /// The first entry of each list.
    firsts: HashMap<Spot, u32>,
    /// Entries of the walk under way, with what Yjs calls conflicting: those of the newest round.
    walked: HashMap<u32, u32>,
    /// What the blocks since the last [`Order::settle`] have changed of others.
    changed: Changed,
}

/// What blocks have changed of entries that were there before them, to take it back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Changed {
    /// What they span, as in [`Walk::spans`].
    raised: Vec<(u32, u32)>,
    /// What became of entries, in order.
    entries: Vec<Change>,
}

/// What a block has done to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Became one with the entry that ended so.
    Extended(Place),
    /// Had the entry `slot`, whose tag was `tag`, cut: the rest of it is `piece`.
    Split { slot: u32, piece: u32, tag: u32 },
}

impl Order {
    /// Takes in a block, and says what it is charged with: of neither part more than in `steps_max`, if any.
    ///
    /// # Errors
    /// [`Refusal::FarNeighbours`] above `steps_max`, [`Refusal::CrossedNeighbours`] if its right
    /// origin stands behind what it left in between, or before its origin in one piece with it. The
    /// block is not taken in then; without `steps_max` there are no errors.
    pub(super) fn integrate(
        &mut self,
        block: &Placed,
        index: &Index,
        steps_max: Option<Steps>,
    ) -> Result<Steps, Refusal> {
        let number = self.number(block.id.client);
        let places = [block.right, block.origin].map(|id| id.map(|id| self.place(id)));
        // The right one first: the origin may be in the same entry.
        let right = places[0].map(|place| self.starting_at(place));
        let left = places[1].map(|place| self.ending_at(place));
        let is_garbage = |slot: Option<u32>| {
            slot.is_some_and(|slot| slot == NONE || self.entries[slot as usize].is_garbage())
        };
        if block.spot.is_nowhere() || is_garbage(left) || is_garbage(right) {
            self.append_garbage(number, block);
            return Ok(Steps::default());
        }
        let (left, right) = (left.unwrap_or(NONE), right.unwrap_or(NONE));
        let [right_place, origin] = places.map(|place| place.unwrap_or(NOWHERE));
        let is_earlier = right_place.client == origin.client && right_place.clock <= origin.clock;
        if steps_max.is_some() && is_earlier && self.is_one_run(right, left) {
            // Where that is one item Yjs cuts it a second time, and goes on from its first half.
            return Err(Refusal::CrossedNeighbours);
        }
        let entry = Entry {
            tag: number << 8 | 1,
            clock: block.id.clock,
            len: block.len,
            next: NONE,
            prev: NONE,
            origin,
            right: right_place,
            spanned: 0,
        };
        let inherited = match (self.entries.get(right as usize), self.entries.get(left as usize)) {
            (Some(right), _) if right.origin == origin => right.spanned,
            (_, left) => left.map_or(0, |left| left.spanned),
        };
        let walk = self.walk(&entry, (left, right), block.spot, index, steps_max.map(|max| max.own))?;
        let own = walk.steps + self.way_to_first(block.spot, (left, right));
        let charge = Steps { own, inherited: inherited.into() };
        if steps_max.is_some_and(|max| charge.own > max.own || charge.inherited > max.inherited) {
            return Err(Refusal::FarNeighbours);
        }
        for spans in walk.spans {
            self.changed.raised.push(spans);
            self.each(spans, |entry| entry.spanned = entry.spanned.saturating_add(1));
        }
        let entry = Entry { spanned: inherited.saturating_add(walk.siblings), ..entry };
        if block.first && walk.left == left && self.extend(left, &entry) {
            let end = Place { client: number, clock: block.id.clock - 1 };
            self.changed.entries.push(Change::Extended(end));
        } else {
            self.insert(entry, walk.left, block.spot);
        }
        Ok(charge)
    }

    /// Yjs' walk from the origin to the right origin. It does not end where Yjs finds the place, but
    /// where the origin's subtree does: what stands behind the place may be spanned too, and is charged.
    fn walk(
        &mut self,
        block: &Entry,
        (left, right): (u32, u32),
        spot: Spot,
        index: &Index,
        steps_max: Option<u64>,
    ) -> Result<Walk, Refusal> {
        // Clearing costs its capacity: it must not be what a longer walk left behind.
        if self.walked.capacity() > SCRATCH_KEPT {
            self.walked = HashMap::new()
        } else {
            self.walked.clear()
        }
        let own = self.clients[block.client() as usize].id;
        let (mut is_placed, mut round) = (false, 0);
        let mut slot = match self.entries.get(left as usize) {
            Some(left) => left.next,
            None => self.firsts.get(&spot).copied().unwrap_or(NONE),
        };
        let mut walk = Walk { left, spans: SmallVec::new(), steps: 0, siblings: 0 };
        while slot != NONE && slot != right {
            let item = self.entries[slot as usize];
            let is_sibling = item.origin == block.origin;
            let holder = if is_sibling { None } else { self.walked.get(&self.holder(&item)).copied() };
            if !is_sibling && holder.is_none() {
                walk.steps += 1;
                return Ok(walk);
            }
            let is_before = self.clients[item.client() as usize].id < own;
            let is_like = is_sibling && item.right == block.right;
            let ends_here = is_like && !is_before || holder == Some(NOT_SPANNED);
            walk.steps += self.weight(&item, index);
            if steps_max.is_some_and(|max| walk.steps > max) {
                return Err(Refusal::FarNeighbours);
            }
            self.walked.insert(slot, if ends_here { NOT_SPANNED } else { round });
            walk.siblings += u32::from(is_sibling && !(is_like && is_before));
            is_placed |= ends_here;
            let passes = if is_sibling { is_before } else { holder != Some(round) };
            if !is_placed && passes {
                walk.left = slot;
                round += 1;
            }
            match walk.spans.last_mut() {
                _ if ends_here => {}
                Some(spans) if spans.1 == slot => spans.1 = item.next,
                _ => walk.spans.push((slot, item.next)),
            }
            slot = item.next;
        }
        let crosses = slot != NONE && self.walked.contains_key(&self.holder(&self.entries[slot as usize]));
        if crosses && steps_max.is_some() { Err(Refusal::CrossedNeighbours) } else { Ok(walk) }
    }

    /// Whether two entries are one client's, and all from the first to the last what it wrote in one go. Sees so many pieces.
    fn is_one_run(&self, first: u32, last: u32) -> bool {
        const PIECES_MAX: usize = 256;
        let mut slot = last;
        for _ in 0..PIECES_MAX {
            let Some(entry) = self.entries.get(slot as usize) else { return false };
            if slot == first {
                return true;
            }
            match self.entries.get(entry.prev as usize) {
                Some(prev) if prev.client() == entry.client() && prev.clock + prev.len == entry.clock => {
                    slot = entry.prev;
                }
                _ => return false,
            }
        }
        false
    }

    fn each(&mut self, (mut slot, end): (u32, u32), change: impl Fn(&mut Entry)) {
        while slot != end
            && let Some(entry) = self.entries.get_mut(slot as usize)
        {
            change(entry);
            slot = entry.next;
        }
    }

    /// Steps that the engine takes to find the first block of a key: from the last, through all. Only
    /// for a block that stands before others; for one that walks them all they are counted already.
    fn way_to_first(&self, spot: Spot, (left, right): (u32, u32)) -> u64 {
        if spot.key == NO_NAME || left != NONE || right == NONE {
            return 0;
        }
        let (mut slot, mut steps) = (self.firsts.get(&spot).copied().unwrap_or(NONE), 0);
        while let Some(entry) = self.entries.get(slot as usize) {
            (slot, steps) = (entry.next, steps + 1);
        }
        steps
    }

    /// The entry with an entry's origin, or [`NONE`]. Nearly always the one before it.
    fn holder(&self, item: &Entry) -> u32 {
        match self.entries.get(item.prev as usize) {
            _ if item.origin == NOWHERE => NONE,
            Some(prev) if prev.holds(item.origin) => item.prev,
            _ => self.find(item.origin).map_or(NONE, |(_, slot)| slot),
        }
    }

    /// How many blocks the engine has for an entry: those it was, and pieces that deletes have cut.
    fn weight(&self, item: &Entry, index: &Index) -> u64 {
        if item.len == 1 {
            return 1;
        }
        let client = self.clients[item.client() as usize].id;
        let cuts = index.cuts(client, (item.clock, item.clock + item.len));
        (u64::from(item.tag & 0xff) + cuts).min(u64::from(item.len))
    }

    /// What was taken in since the last time stays. Says what that has changed of others, if anything.
    pub(super) fn settle(&mut self) -> Option<Changed> {
        let changed = std::mem::take(&mut self.changed);
        (changed != Changed::default()).then_some(changed)
    }

    /// Takes back what blocks span, before they are truncated: that stands between entries that are still there.
    pub(super) fn lower(&mut self, changed: &Changed) {
        for &spans in &changed.raised {
            self.each(spans, |entry| entry.spanned = entry.spanned.saturating_sub(1));
        }
    }

    /// Makes entries what they were before blocks that are truncated by now: nothing stands between their pieces any more.
    pub(super) fn rejoin(&mut self, changed: &Changed) {
        for &change in changed.entries.iter().rev() {
            match change {
                Change::Extended(end) => {
                    if let Some((_, slot)) = self.find(end) {
                        let entry = &mut self.entries[slot as usize];
                        debug_assert!(entry.tag & 0xff > 1, "two became one");
                        entry.tag -= u32::from(entry.tag & 0xff > 1); // it must never become garbage
                    }
                }
                Change::Split { slot, piece, tag } => self.join(slot, piece, tag),
            }
        }
        self.forget_empty();
    }

    /// Renames the lists' spots: those of another index of the same document.
    pub(super) fn rename(&mut self, index: &Index) {
        let firsts = std::mem::take(&mut self.firsts);
        for slot in firsts.into_values() {
            let entry = &self.entries[slot as usize];
            let id = Id { client: self.clients[entry.client() as usize].id, clock: entry.clock };
            if let Some((spot, _)) = index.find(id) {
                self.firsts.insert(spot, slot);
            }
        }
    }

    pub(super) fn blocks(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let slots = self.clients.iter().map(|held| held.slots.capacity() * size_of::<u32>());
        slots.sum::<usize>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.free.capacity() * size_of::<u32>()
            + self.changed.raised.capacity() * size_of::<(u32, u32)>()
            + self.changed.entries.capacity() * size_of::<Change>()
            + self.clients.capacity() * size_of::<Held>()
            + self.numbers.allocation_size()
            + self.firsts.allocation_size()
            + self.walked.allocation_size()
    }
}

#[cfg(test)]
mod tests;
