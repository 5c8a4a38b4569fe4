//! What the gate says of an update: what of it goes on, what was left out, and what it takes to take it back.

use super::index::Mark;
use super::read::Id;
use super::walks::Taken;
use crate::ids::ClientId;

/// What the gate says of an update that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// What is new, if anything is.
    pub remainder: Option<Remainder>,
    /// What was left out, counted.
    pub dropped: Dropped,
}

impl Admission {
    /// Whether the update says anything that is not known here, be it complete or not.
    #[must_use]
    pub fn brings_something(&self) -> bool {
        self.remainder.is_some() || self.dropped.is_gap()
    }
}

/// What was left out of an admitted update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Clocks of blocks that were known before.
    pub known_clocks: u64,
    /// Ids in delete ranges that were deleted before.
    pub known_deletes: u64,
    /// Blocks that are Skips, lie behind a gap, or name something unknown.
    pub unknown_blocks: u64,
    /// Ids in delete ranges of blocks that are not known.
    pub unknown_deletes: u64,
    /// New blocks of clients that the sender may not write as ([`Gate::admit_without`](super::Gate::admit_without)).
    pub foreign_blocks: u64,
}

impl Dropped {
    /// Whether something is missing here that its sender has: ask with one SyncStep1.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.unknown_blocks > 0 || self.unknown_deletes > 0
    }

    /// Whether asking would bring the same again, and leave the same out.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.foreign_blocks > 0
    }
}

/// New blocks and new deletes, complete: ready to be stored, then folded, then relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainder {
    /// The remainder as an update V1.
    pub update: Vec<u8>,
    /// What the index took in for it, to take back if the append is refused.
    pub receipt: Receipt,
    /// Steps that integrating its blocks can take, at most: each passes a block that stands between
    /// the neighbours of another.
    pub steps: u64,
    /// It names new blocks as deleted that their author holds alive
    /// ([`Gate::admit_rewritten`](super::Gate::admit_rewritten)): the author has to get it too.
    pub turned: bool,
}

/// What one admission added to the index. Taken back newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// New clocks per client: `(client, from, to)`, `to` exclusive.
    pub blocks: Vec<(ClientId, u32, u32)>,
    /// Newly deleted ids: `(client, from, to)`, `to` exclusive. Blocks that came deleted are not
    /// among them.
    pub deletes: Vec<(ClientId, u32, u32)>,
    /// How many types and names the index had before.
    pub(super) before: Mark,
    /// What its sets of keys have named as origin first of those in flight.
    pub(super) named: Vec<Id>,
    /// What it has changed of the account of steps, if the order was known.
    pub(super) taken: Option<Box<Taken>>,
    /// Which admission it was: the newest one's types and names can be forgotten.
    pub(super) number: u64,
}
