//! The gate: bytes from outside meet our own parser first, and only what is new and complete goes
//! on. It rewrites: cuts off known blocks and known delete ranges, admits the causally complete
//! rest, drops Skips, gaps and unknown references, and refuses whole only what is malformed or
//! hostile.
//!
//! Pure: no clock, no I/O. yrs is never asked. `reference`: lib0 and Yjs update format V1.
//!
//! Invariants:
//! - Every remainder starts exactly at the known clock of each of its clients, and every origin,
//!   right origin, parent and deleted id in it is known after it. This is what makes yrs safe.
//! - Nothing is allocated from a declared count; nothing recurses beyond a fixed depth.
//! - What the server hands out in a Step2 is accepted back.

use crate::ids::ClientId;

/// Where an update comes from: it decides which limits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An Update message: one edit or a few, bounded by the update limits.
    Update,
    /// A Step2: anything up to a whole document.
    Step2,
    /// A record of our own log while a room is loaded: admitted once already, so a gap or an
    /// unknown reference in it is damage.
    Record,
}

/// What the gate says of an update that is well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// What is new, if anything is.
    pub remainder: Option<Remainder>,
    /// What was left out, counted.
    pub dropped: Dropped,
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
}

impl Dropped {
    /// Whether something is missing here that its sender has: ask with one SyncStep1.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        self.unknown_blocks > 0 || self.unknown_deletes > 0
    }
}

/// New blocks and new deletes, complete: ready to be stored, then folded, then relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainder {
    /// The remainder as an update V1.
    pub update: Vec<u8>,
    /// What the index took in for it, to take back if the append is refused.
    pub receipt: Receipt,
}

/// What one admission added to the index. Taken back newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// New clocks per client: `(client, from, to)`, `to` exclusive.
    pub blocks: Vec<(ClientId, u32, u32)>,
    /// Newly deleted ids: `(client, from, to)`, `to` exclusive.
    pub deletes: Vec<(ClientId, u32, u32)>,
}
