//! Bounds what it costs to integrate blocks that stand far from where they belong: the engine and
//! every browser walk from a block's origin towards its right origin.
//!
//! A room has an account of steps. Each update may take some for nothing, what it takes above that
//! is owed, and what it leaves is paid back. While little is owed the steps are estimated from above
//! with a few counters. When the estimate owes too much the gate asks to be shown the document,
//! learns its order, and counts exactly from then on: only that can refuse anyone.
//!
//! It is two accounts, each with its own limit: of what blocks span, and of what spans them. Somebody who
//! knows all that stands at a place spans nothing there, however much strangers have heaped up; what
//! that costs is theirs to answer for, and one edit there is within what is free until
//! [`STEPS_INHERITED_FREE`] blocks span the place.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use super::Source;
use super::index::{Index, Mark, Spot};
use super::names::NO_NAME;
use super::order::{Changed, Order, Placed, Steps};
use super::ranges::Range;
use super::read::Id;
use super::refusal::Refusal;
use crate::ids::ClientId;
use crate::limits::{
    STEPS_ESTIMATED_MAX, STEPS_INHERITED_FREE, STEPS_OWED_MAX, STEPS_OWED_MAX_STEP2, STEPS_PER_BLOCK_FREE,
    STEPS_PER_UPDATE_FREE, WALK_BUCKETS, WALK_BUCKETS_BLOCKS_MIN,
};

/// Entries of scratch memory that are kept between updates.
const SCRATCH_KEPT: usize = 256;

/// A room's account of steps.
#[derive(Default)]
pub(super) struct Walks {
    /// An estimate counts all as own.
    owed: Steps,
    estimate: Estimate,
    /// The order, once it was learnt; for the life of the loaded room.
    order: Option<Box<Order>>,
    /// Memory for the next [`Account`].
    scratch: Vec<Counted>,
}

/// What an admission has changed of the account and of what others are charged, to take it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    owed_before: Steps,
    changed: Option<Changed>,
}

/// What records that are judged and not folded have named as the origin of a key's value.
#[derive(Debug, Default)]
pub struct Recorded(Vec<Id>);

/// How many blocks there are beside each other, at most. Hashed by spot: a bucket counts all spots
/// that fall into it.
#[derive(Default)]
struct Estimate {
    /// None, one for all spots, or [`WALK_BUCKETS`].
    buckets: Vec<Bucket>,
    hasher: DefaultHashBuilder,
    /// What sets of a key in flight have named as origin: it is not the key's value any more, though
    /// not deleted yet.
    named: HashSet<Id>,
    /// Those of records: they are folded by the time that deletes are noted.
    recorded: Vec<Id>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Blocks, counting pieces.
    blocks: u32,
    /// Those that may span others.
    wide: u32,
}

impl Walks {
    /// An empty document, whose order is known.
    pub(super) fn ordered() -> Self {
        Self { order: Some(Box::default()), ..Self::default() }
    }

    /// Takes over the order that another index of the same document has learnt. One that is known stays: receipts are about it.
    pub(super) fn learn(&mut self, other: Self, index: &Index) {
        let Some(mut order) = other.order.filter(|_| self.order.is_none()) else { return };
        order.rename(index);
        *self = Self { order: Some(order), ..Self::default() };
    }

    #[cfg(test)]
    pub(super) fn order(&self) -> Option<&Order> {
        self.order.as_deref()
    }

    #[cfg(test)]
    pub(super) fn owed(&self) -> Steps {
        self.owed
    }

    /// How many blocks the order has, if it is known.
    pub(super) fn ordered_blocks(&self) -> Option<usize> {
        self.order.as_ref().map(|order| order.blocks())
    }

    /// An admission is folded, or taken back: its sets are no longer in flight.
    pub(super) fn forget_named(&mut self, named: &[Id]) {
        let all = &mut self.estimate.named;
        for id in named {
            all.remove(id);
        }
        if all.is_empty() && all.capacity() > SCRATCH_KEPT {
            *all = HashSet::new();
        }
    }

    /// All records that were admitted are folded.
    pub(super) fn records_are_folded(&mut self) {
        let recorded = self.take_recorded();
        self.forget_recorded(recorded);
    }

    /// What records have named, for who folds them later than others are judged.
    pub(super) fn take_recorded(&mut self) -> Recorded {
        Recorded(std::mem::take(&mut self.estimate.recorded))
    }

    /// These are folded.
    pub(super) fn forget_recorded(&mut self, recorded: Recorded) {
        self.forget_named(&recorded.0);
    }

    /// The newest admission is taken back, before its blocks are truncated.
    pub(super) fn give_back(&mut self, taken: &Taken) {
        if let Some(order) = &mut self.order {
            self.owed = taken.owed_before;
            taken.changed.iter().for_each(|changed| order.lower(changed));
        }
    }

    /// The same, after its blocks are truncated.
    pub(super) fn rejoin(&mut self, taken: &Taken) {
        if let (Some(order), Some(changed)) = (&mut self.order, &taken.changed) {
            order.rejoin(changed);
        }
    }

    /// Forgets a client's clocks from `from` on, before the index does.
    pub(super) fn truncate(&mut self, client: ClientId, from: u32, index: &Index) {
        if let Some(order) = &mut self.order {
            order.truncate(client, from, index);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.estimate.buckets.capacity() * size_of::<Bucket>()
            + self.estimate.named.allocation_size()
            + self.estimate.recorded.capacity() * size_of::<Id>()
            + self.scratch.capacity() * size_of::<Counted>()
            + self.order.as_ref().map_or(0, |order| size_of::<Order>() + order.heap_bytes())
    }
}

impl Estimate {
    /// The number of a spot's bucket.
    fn bucket(&mut self, spot: Spot) -> usize {
        match self.buckets.as_slice() {
            [] => self.buckets.push(Bucket::default()),
            // All that was counted so far may have been in any of them.
            [all] if all.blocks >= WALK_BUCKETS_BLOCKS_MIN => self.buckets = vec![*all; WALK_BUCKETS],
            _ => {}
        }
        if self.buckets.len() == 1 { 0 } else { self.hasher.hash_one(spot) as usize % WALK_BUCKETS }
    }
}

/// What a block has added to a bucket: its number, blocks, whether one is wide.
type Counted = (u16, u8, bool);

/// The steps of one update.
pub(super) struct Account<'g> {
    walks: &'g mut Walks,
    source: Source,
    mark: Mark,
    steps: Steps,
    blocks: u64,
    /// What the update added to buckets, and how many of them there were: `(bucket, blocks, wide)`.
    counted: (usize, Vec<Counted>),
    named: Vec<Id>,
    /// Counts of spots that the update itself makes.
    local: HashMap<Spot, Bucket>,
}

impl<'g> Account<'g> {
    /// `mark` is where the index stands before the update.
    pub(super) fn new(walks: &'g mut Walks, source: Source, mark: Mark) -> Self {
        let counted = (0, std::mem::take(&mut walks.scratch));
        let (named, local) = (Vec::new(), HashMap::new());
        Self { walks, source, mark, steps: Steps::default(), blocks: 0, counted, named, local }
    }

    /// Takes in a block, before the index does.
    ///
    /// # Errors
    /// [`Refusal::OrderUnknown`] if the estimate owes too much, [`Refusal::FarNeighbours`] if the
    /// count does, [`Refusal::CrossedNeighbours`]. Then [`Account::undo`] the update.
    pub(super) fn block(&mut self, block: &Placed, index: &mut Index) -> Result<(), Refusal> {
        self.blocks += 1;
        let max = match (self.source, &self.walks.order) {
            (Source::Record, _) => None,
            (_, None) => Some(STEPS_ESTIMATED_MAX),
            (Source::Update, _) => Some(STEPS_OWED_MAX),
            // What an earlier Step2 owes is no reason to refuse another one.
            (Source::Step2, _) => Some(STEPS_OWED_MAX_STEP2),
        };
        // An update within what is free is never refused, whoever owes.
        let (free, owed, taken) = (self.free(), self.walks.owed, self.steps);
        let left = max.map(|max| Steps {
            own: (max.saturating_sub(owed.own) + free.own).saturating_sub(taken.own),
            inherited: (max.saturating_sub(owed.inherited) + free.inherited).saturating_sub(taken.inherited),
        });
        if let Some(order) = &mut self.walks.order {
            let steps = order.integrate(block, index, left)?;
            self.steps.own += steps.own;
            self.steps.inherited += steps.inherited;
        } else if !block.spot.is_nowhere() {
            let steps = self.estimate(block, index);
            if left.is_some_and(|left| steps > left.own) {
                return Err(Refusal::OrderUnknown);
            }
            self.steps.own += steps;
        }
        Ok(())
    }

    /// What the update may take for nothing, by its blocks so far.
    fn free(&self) -> Steps {
        let blocks = STEPS_PER_BLOCK_FREE * self.blocks;
        Steps { own: STEPS_PER_UPDATE_FREE + blocks, inherited: STEPS_INHERITED_FREE + blocks }
    }

    /// Steps of a block, from above.
    fn estimate(&mut self, block: &Placed, index: &mut Index) -> u64 {
        let (spot, estimate) = (block.spot, &mut self.walks.estimate);
        let is_keyed = spot.key != NO_NAME;
        let mut is_easy = false;
        if let Some(origin) = block.origin {
            // Nothing has been put after the newest block of a client: there is nothing to walk over.
            let (is_newest, is_deleted) = index.name(origin);
            is_easy = is_newest;
            if is_keyed && estimate.named.insert(origin) {
                // The value of a key is its last block.
                is_easy |= !is_deleted;
                let is_record = self.source == Source::Record;
                if is_record { estimate.recorded.push(origin) } else { self.named.push(origin) }
            }
        }
        let at = estimate.bucket(spot);
        let is_local = self.mark.is_before(spot) && self.source != Source::Record;
        let local = is_local.then(|| self.local.entry(spot).or_default());
        let bucket = local.as_ref().map_or(estimate.buckets[at], |local| **local);
        is_easy |= is_local && bucket.blocks == 0;
        let steps = u64::from(bucket.wide) + if is_easy { 0 } else { u64::from(bucket.blocks) };
        // It may cut the blocks of both neighbours.
        let pieces = if is_keyed { 1 } else { 1 + u8::from(!is_easy) + u8::from(block.right.is_some()) };
        let buckets = &mut estimate.buckets;
        for bucket in local.into_iter().chain([&mut buckets[at]]) {
            bucket.blocks = bucket.blocks.saturating_add(u32::from(pieces));
            bucket.wide = bucket.wide.saturating_add(u32::from(!is_easy));
        }
        if self.source != Source::Record {
            self.count(at, pieces, !is_easy);
        }
        steps
    }

    fn count(&mut self, at: usize, pieces: u8, is_wide: bool) {
        let buckets = self.walks.estimate.buckets.len();
        if self.counted.0 != buckets {
            self.counted.0 = buckets;
            self.counted.1.clear();
        }
        self.counted.1.push((at as u16, pieces, is_wide));
    }

    /// Notes that new deletes cut blocks: at most two, at the ends of a range.
    pub(super) fn cut(&mut self, client: ClientId, (from, to): Range, index: &Index) {
        if self.walks.order.is_some() {
            return;
        }
        let last = (to - from > 1).then_some(to - 1);
        for clock in [Some(from), last].into_iter().flatten() {
            let found = index.find(Id { client, clock }).map(|(spot, _)| spot);
            if let Some(spot) = found.filter(|spot| spot.key == NO_NAME && !spot.is_nowhere()) {
                let at = self.walks.estimate.bucket(spot);
                let blocks = &mut self.walks.estimate.buckets[at].blocks;
                *blocks = blocks.saturating_add(2);
            }
        }
    }

    /// The update is refused: takes back what it has counted. The index still knows its blocks,
    /// which begin at these clocks.
    pub(super) fn undo(&mut self, blocks: impl Iterator<Item = (ClientId, u32)>, index: &Index) {
        self.walks.forget_named(&self.named);
        let (buckets, counted) = std::mem::take(&mut self.counted);
        if buckets == self.walks.estimate.buckets.len() {
            for (at, pieces, is_wide) in counted {
                let bucket = &mut self.walks.estimate.buckets[usize::from(at)];
                bucket.blocks = bucket.blocks.saturating_sub(u32::from(pieces));
                bucket.wide = bucket.wide.saturating_sub(u32::from(is_wide));
            }
        }
        if let Some(order) = &mut self.walks.order {
            let changed = order.settle().unwrap_or_default();
            order.lower(&changed);
            blocks.for_each(|(client, from)| order.truncate(client, from, index));
            order.rejoin(&changed);
        }
    }

    /// The update is admitted: says its steps, what its sets have named, and what it takes to take it back once the order is
    /// known.
    pub(super) fn keep(mut self) -> (u64, Vec<Id>, Option<Box<Taken>>) {
        self.counted.1.clear();
        self.counted.1.shrink_to(SCRATCH_KEPT);
        self.walks.scratch = std::mem::take(&mut self.counted.1);
        let owed_before = self.walks.owed;
        if self.source != Source::Record && self.blocks > 0 {
            let (free, owed) = (self.free(), &mut self.walks.owed);
            owed.own = (owed.own + self.steps.own).saturating_sub(free.own);
            owed.inherited = (owed.inherited + self.steps.inherited).saturating_sub(free.inherited);
        }
        let changed = self.walks.order.as_mut().and_then(|order| order.settle());
        let is_charged = self.walks.order.is_some() && self.walks.owed != owed_before;
        let taken = (is_charged || changed.is_some()).then(|| Box::new(Taken { owed_before, changed }));
        (self.steps.own + self.steps.inherited, self.named, taken)
    }
}
