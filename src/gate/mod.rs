//! The gate: bytes from outside meet our own parser first, and only what is new and complete goes
//! on. It rewrites: cuts off known blocks and known delete ranges, admits the causally complete
//! rest, drops Skips, gaps and unknown references, and refuses whole only what is malformed or
//! hostile.
//!
//! Pure: no clock, no I/O. yrs is never asked. Reference: lib0 and Yjs update format V1.
//!
//! The way of an update: `parse` checks its form from end to end, `admit` judges its blocks against
//! the `index`, `write` makes the remainder.
//!
//! | file | what |
//! |---|---|
//! | `read`, `block`, `value`, `ranges` | lib0's primitives, one block, one value, sets of clocks |
//! | `parse` | the first pass: form |
//! | `admit`, `deletes`, `rewrite` | the second pass: blocks, delete ranges, blocks that may not come in as they are |
//! | `index`, `names` | what is known: clocks, places, types, deletes; keys |
//! | `walks`, `order` | what integrating costs whoever comes later |
//! | `judged`, `write`, `admission` | what came of it, the update that is stored, and what is said of both |
//! | `gather`, `merge` | many records as one update to fold; many remainders as one to relay |
//! | `vector`, `presence` | state vectors and presence, by the same rules |
//! | `acts`, `entries`, `touched`, `keys`, `sequences`, `spare` | what an update does, for who has rules, views or copies |
//! | `clash`, `under_way`, `compare` | two contents under one id; what is not stored yet; whether two encodings are one document |
//! | `refusal` | why something is refused |
//!
//! Invariants:
//! - Every remainder starts exactly at the known clock of each of its clients, and every origin,
//!   right origin, parent and deleted id in it is known after it. This is what makes yrs safe.
//! - Nothing is allocated from a declared count; nothing recurses beyond a fixed depth.
//! - What the server hands out in a Step2 is accepted back.
//! - After a refusal the gate is as it was before.

mod acts;
mod admission;
mod admit;
mod block;
mod clash;
mod compare;
mod deletes;
mod entries;
mod gather;
mod index;
mod judged;
mod keys;
mod merge;
mod names;
mod order;
mod parse;
mod presence;
mod ranges;
mod read;
mod refusal;
mod rewrite;
mod sequences;
mod spare;
mod touched;
mod under_way;
mod value;
mod vector;
mod walks;
mod write;

pub use acts::{Act, Content, PLACE_KEYS, Place, Where};
pub use admission::{Admission, Dropped, Receipt, Remainder};
pub use clash::{Accord, ByClient, Recent};
pub use compare::same_document;
pub use gather::Gathered;
pub use keys::keys_of_root;
pub use merge::{merge, try_merge};
pub use presence::{PresenceEntry, PresenceUser, parse_presence, parse_whispered, write_presence_user};
pub use refusal::Refusal;
pub use rewrite::{Rewrite, Turned};
pub use sequences::Sequences;
pub use spare::{deletes_of, has_blocks, sparing};
pub use touched::{Path, Touched};
pub use under_way::UnderWay;
pub use vector::{StateVector, parse_state_vector};
pub use walks::Recorded;

use index::Index;
use judged::Judged;
use read::Id;
use walks::Walks;

use crate::ids::ClientId;
use crate::limits::{DOCUMENT_BYTES_MAX, UPDATE_BYTES_MAX};

/// The update V1 in which nothing is: no blocks, no deletes.
pub const EMPTY_UPDATE: [u8; 2] = [0, 0];

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

/// An update whose form is right from end to end, and that is not judged yet.
pub struct ParsedUpdate<'u> {
    parsed: parse::Parsed<'u>,
    source: Source,
}

/// One client's part of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdatePart {
    /// Whose blocks they are.
    pub client: ClientId,
    /// The clock of the first block, and the clock after the last.
    pub clocks: (u32, u32),
    /// It is a single block that was garbage-collected.
    pub is_garbage: bool,
}

/// Checks the form of an update V1.
///
/// # Errors
/// The first rule of form or size that is broken.
pub fn parse_update(update: &[u8], source: Source) -> Result<ParsedUpdate<'_>, Refusal> {
    let max = if source == Source::Update { UPDATE_BYTES_MAX } else { DOCUMENT_BYTES_MAX };
    if update.len() > max && source != Source::Record {
        return Err(Refusal::TooLarge { bytes: update.len(), max });
    }
    Ok(ParsedUpdate { parsed: parse::parse::<true>(update)?, source })
}

impl ParsedUpdate<'_> {
    /// Its parts, in the order in which they stand in it. No client has two.
    pub fn parts(&self) -> impl Iterator<Item = UpdatePart> {
        self.parsed.sections.iter().map(|section| UpdatePart {
            client: section.client,
            clocks: section.clocks,
            is_garbage: section.blocks == 1 && block::is_garbage(self.parsed.bytes, section.bytes.0),
        })
    }

    /// The judgement on one of which nothing can be taken in yet.
    #[must_use]
    pub fn withheld(&self) -> Admission {
        let unknown_blocks = self.parsed.sections.iter().map(|section| u64::from(section.blocks)).sum();
        let unknown_deletes = self.parsed.deletes.iter().map(|part| u64::from(part.ranges)).sum();
        let dropped = Dropped { unknown_blocks, unknown_deletes, ..Dropped::default() };
        Admission { remainder: None, dropped }
    }
}

/// The index of one room's document, and the judgement of what comes for it. It holds what the log
/// holds plus what is in flight (admitted, not yet stored); what is in flight can be taken back.
#[derive(Default)]
pub struct Gate {
    index: Index,
    walks: Walks,
    /// Admissions with a remainder that still stand.
    admissions: u64,
}

impl Gate {
    /// The gate of an empty document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty gate that will be told a whole document: its index grows faster than one in use, where memory counts.
    #[must_use]
    pub fn roomy() -> Self {
        let mut gate = Self::new();
        gate.index.is_roomy = true;
        gate
    }

    /// The document is told: gives back what its index has too much.
    pub fn tighten(&mut self) {
        self.index.tighten();
    }

    /// Judges one update V1. If the answer has a remainder, the index contains it already: a later
    /// update may build on it before it is stored.
    ///
    /// # Errors
    /// The rule that the update breaks. Nothing of it was taken in. [`Refusal::OrderUnknown`] is no
    /// verdict: call [`Gate::learn_order`] and ask again.
    pub fn admit(&mut self, update: &[u8], source: Source) -> Result<Admission, Refusal> {
        self.admit_parsed(&parse_update(update, source)?)
    }

    /// The same for an update that somebody had to look at before.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub fn admit_parsed(&mut self, update: &ParsedUpdate<'_>) -> Result<Admission, Refusal> {
        self.admit_without(update, &[])
    }

    /// The same, without new blocks of these clients, and without what builds on them: their sender may not
    /// write as those clients. What it says of their known blocks (deletes, neighbours) is taken.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub fn admit_without(
        &mut self,
        update: &ParsedUpdate<'_>,
        foreign: &[ClientId],
    ) -> Result<Admission, Refusal> {
        self.admit_rewritten(update, foreign, &Rewrite::default())
    }

    /// The same, and what is new of some blocks is written anew: as deleted content, or as garbage. Whatever stands in
    /// them becomes garbage by itself. Their author holds them alive, so the remainder names them as deleted.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub fn admit_rewritten(
        &mut self,
        update: &ParsedUpdate<'_>,
        foreign: &[ClientId],
        rewrite: &Rewrite,
    ) -> Result<Admission, Refusal> {
        let Judged { mut parts, mut deletes, dropped, before, steps, named, taken, turned } =
            self.judge(update, foreign, rewrite, None)?;
        if parts.is_empty() && deletes.parts.is_empty() {
            return Ok(Admission { remainder: None, dropped });
        }
        let receipt = self.receipt(&parts, deletes.new, (before, named, taken));
        let update = write::write_update(update.parsed.bytes, &mut parts, &mut deletes.parts);
        Ok(Admission { remainder: Some(Remainder { update, receipt, steps, turned }), dropped })
    }

    /// Takes an admission back: its append was refused. Newest first; what was admitted after it
    /// and builds on it must have been taken back before.
    ///
    /// # Panics
    /// If it cannot be: for what was admitted just now, that is a bug. See [`Gate::try_revert`].
    pub fn revert(&mut self, receipt: &Receipt) {
        assert!(self.try_revert(receipt), "admissions are taken back newest first");
    }

    /// The same, if nothing was admitted behind it under its clients: what is stored is never taken back. Tells whether
    /// it was; nothing has changed if not.
    #[must_use]
    pub fn try_revert(&mut self, receipt: &Receipt) -> bool {
        if receipt.blocks.iter().any(|&(client, _, to)| self.index.known(client) != to) {
            return false;
        }
        // Types and names are numbered in one row, and steps are owed in one: only the newest admission's can be forgotten.
        // Others stay, unused: that happens only if another instance's record came in between.
        let is_newest = receipt.number == self.admissions;
        if is_newest {
            receipt.taken.iter().for_each(|taken| self.walks.give_back(taken));
        }
        for &(client, from, to) in &receipt.deletes {
            self.index.undelete(client, (from, to));
        }
        for &(client, from, _) in &receipt.blocks {
            self.walks.truncate(client, from, &self.index);
            self.index.truncate(client, from);
        }
        if is_newest {
            receipt.taken.iter().for_each(|taken| self.walks.rejoin(taken));
        }
        self.walks.forget_named(&receipt.named);
        if is_newest {
            self.index.rewind(receipt.before);
            self.admissions -= 1;
        }
        true
    }

    /// An admission is stored and folded, and its deletes are noted.
    pub fn settle(&mut self, receipt: &Receipt) {
        self.walks.forget_named(&receipt.named);
    }

    /// Learns the order of the document from what makes it up: the whole document as one update, then
    /// what is in flight, oldest first. Costs as much as judging all of it; for a loaded room once.
    ///
    /// # Errors
    /// The rule that is broken, if an update is none that this gate has admitted. Nothing was learnt
    /// then.
    pub fn learn_order<'a>(&mut self, updates: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Refusal> {
        let mut copy = Self { walks: Walks::ordered(), ..Self::default() };
        for update in updates {
            copy.admit(update, Source::Record)?;
        }
        self.walks.learn(copy.walks, &self.index);
        Ok(())
    }

    /// How many blocks stand in the order, if the gate has learnt it.
    #[must_use]
    pub fn ordered_blocks(&self) -> Option<usize> {
        self.walks.ordered_blocks()
    }

    /// Notes ids that became deleted when blocks were integrated: the loser of two sets of one key,
    /// content of a deleted type. The fold tells them after the commit; ranges are `(client, from,
    /// to)`, `to` exclusive, and all known.
    pub fn note_deleted(&mut self, deletes: &[(ClientId, u32, u32)]) {
        for chunk in deletes.chunk_by(|a, b| a.0 == b.0) {
            let mut ranges: ranges::Ranges = chunk.iter().map(|&(_, from, to)| (from, to)).collect();
            ranges::normalise(&mut ranges);
            self.index.delete(chunk[0].0, &ranges);
        }
        self.walks.records_are_folded();
    }

    /// The first clock of a client that is not known, in flight included.
    #[must_use]
    pub fn known(&self, client: ClientId) -> u32 {
        self.index.known(client)
    }

    /// How many clients have a block, in flight included.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.index.clients()
    }

    /// The state vector of what the index holds, in flight included.
    #[must_use]
    pub fn state_vector(&self) -> StateVector {
        StateVector::new(self.index.state().collect())
    }

    /// Every deleted range as `(client, from, to)`, in order.
    #[must_use]
    pub fn deleted(&self) -> Vec<(ClientId, u32, u32)> {
        let mut deleted: Vec<_> = self.index.deleted().collect();
        deleted.sort_unstable();
        deleted
    }

    /// The way from a root to where an id lives: the root's name, then a key for each level, `None`
    /// where the level is a sequence. Nothing if the id is unknown or its place is forgotten.
    #[must_use]
    pub fn path(&self, client: ClientId, clock: u32) -> Option<Vec<Option<&str>>> {
        self.index.path(Id { client, clock })
    }

    /// Runs of clocks in the index: what its size is measured against.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.index.runs()
    }

    /// Bytes on the heap, give or take what the allocator adds.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.index.heap_bytes() + self.walks.heap_bytes()
    }
}
