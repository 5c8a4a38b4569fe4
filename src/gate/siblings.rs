//! Bounds how often one key is set beside itself: sets that name the same left neighbour. yrs and
//! Yjs walk over all of them for each, so n cost n^2. A chain, in which each set builds on the one
//! before, is cheap and not counted against anything.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};

use super::Source;
use super::index::Spot;
use super::read::Id;
use super::refusal::Refusal;
use crate::limits::{
    SIBLING_BUCKETS, SIBLING_SETS_PER_ROOM_MAX, SIBLING_SETS_PER_STEP2_MAX, SIBLING_SETS_PER_UPDATE_MAX,
    SIBLING_SETS_REMEMBERED,
};

/// Counts over the life of a loaded room, so that many small updates cannot do what one may not.
/// Hashed: a bucket counts the sets of all neighbours that fall into it. All counts are halved
/// every [`SIBLING_SETS_REMEMBERED`] sets, so honest traffic never fills one.
#[derive(Default)]
pub(super) struct Pressure {
    /// Sets since the counts were last halved.
    sets: u32,
    /// Nothing until there were as many sets as could matter.
    buckets: Option<Box<[u16; SIBLING_BUCKETS]>>,
    hasher: DefaultHashBuilder,
}

impl Pressure {
    /// Counts one set; tells its bucket, if there are any yet, and how many that holds.
    fn count(&mut self, spot: Spot, origin: Option<Id>) -> (Option<u16>, u32) {
        self.sets += 1;
        if self.buckets.is_none() && self.sets < SIBLING_SETS_PER_UPDATE_MAX {
            return (None, self.sets);
        }
        let buckets = self.buckets.get_or_insert_with(|| Box::new([0; SIBLING_BUCKETS]));
        if self.sets >= SIBLING_SETS_REMEMBERED {
            self.sets = 0;
            buckets.iter_mut().for_each(|count| *count /= 2);
        }
        let at = self.hasher.hash_one((spot, origin)) as usize % SIBLING_BUCKETS;
        buckets[at] = buckets[at].saturating_add(1);
        (Some(at as u16), u32::from(buckets[at]))
    }

    /// Takes counts back.
    fn forget(&mut self, counted: &[Option<u16>]) {
        self.sets = self.sets.saturating_sub(counted.len() as u32);
        for at in counted.iter().flatten() {
            if let Some(buckets) = &mut self.buckets {
                buckets[usize::from(*at)] = buckets[usize::from(*at)].saturating_sub(1);
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        if self.buckets.is_some() { size_of::<[u16; SIBLING_BUCKETS]>() } else { 0 }
    }
}

/// The counts of one update. Dropped without [`Siblings::keep`], they never were: what was refused
/// counts against nobody.
pub(super) struct Siblings<'g> {
    pressure: &'g mut Pressure,
    /// Buckets counted in, one entry for each set.
    counted: Vec<Option<u16>>,
    /// Sets per left neighbour; kept only if the update has more blocks than are allowed to be
    /// siblings.
    sets: Option<HashMap<(Spot, Option<Id>), u32>>,
    /// Nothing for records: they were judged once.
    max: Option<u32>,
}

impl<'g> Siblings<'g> {
    pub(super) fn new(pressure: &'g mut Pressure, source: Source, blocks: u64) -> Self {
        let max = match source {
            Source::Update => Some(SIBLING_SETS_PER_UPDATE_MAX),
            Source::Step2 => Some(SIBLING_SETS_PER_STEP2_MAX),
            Source::Record => None,
        };
        let many = max.is_some_and(|max| blocks > u64::from(max));
        Self { pressure, counted: Vec::new(), sets: many.then(HashMap::new), max }
    }

    /// The update is admitted: its counts stay.
    pub(super) fn keep(&mut self) {
        self.counted.clear();
    }

    /// Counts a set of the key at `spot`.
    pub(super) fn count(&mut self, spot: Spot, origin: Option<Id>) -> Result<(), Refusal> {
        let Some(max) = self.max else { return Ok(()) };
        if let Some(sets) = &mut self.sets {
            let count = sets.entry((spot, origin)).or_default();
            *count += 1;
            if *count > max {
                return Err(Refusal::TooManySiblings { max });
            }
        }
        let (bucket, count) = self.pressure.count(spot, origin);
        self.counted.push(bucket);
        if count > SIBLING_SETS_PER_ROOM_MAX {
            return Err(Refusal::TooManySiblings { max: SIBLING_SETS_PER_ROOM_MAX });
        }
        Ok(())
    }
}

impl Drop for Siblings<'_> {
    fn drop(&mut self) {
        self.pressure.forget(&self.counted);
    }
}
