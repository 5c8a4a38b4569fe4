//! What is to be made of blocks that may not come in as they are. A Yjs client never takes an edit back, so its clocks
//! must be taken: a block keeps its ids and its place, and loses its content.

use super::ranges::{self, Range, Ranges};
use crate::ids::ClientId;

/// What becomes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// Deleted content in its place: it takes part in the order of its key or sequence, as it does at its author's.
    Deleted,
    /// Garbage, which has no place: for what nobody reads.
    Garbage,
}

/// Which new blocks of an update are written anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// By client, then by clock; no two overlap.
    blocks: Vec<(ClientId, Range, Turned)>,
    /// What is not deleted, though the update says so: by client, then by clock; no two overlap.
    spared: Vec<(ClientId, Range)>,
    /// Blocks that turn into garbage by themselves (what they stand in or beside is garbage here) are named as deleted
    /// too: their author may hold alive what only here is gone.
    pub tells_garbage: bool,
}

impl Rewrite {
    /// Of these blocks, each whole: `(client, from, to)`, `to` exclusive.
    #[must_use]
    pub fn new(
        deleted: impl IntoIterator<Item = (ClientId, u32, u32)>,
        garbage: impl IntoIterator<Item = (ClientId, u32, u32)>,
    ) -> Self {
        let mut blocks = Vec::new();
        for (of, turned) in [(collect(deleted), Turned::Deleted), (collect(garbage), Turned::Garbage)] {
            blocks.extend(of.into_iter().map(|(client, range)| (client, range, turned)));
        }
        blocks.sort_unstable_by_key(|&(client, range, _)| (client, range));
        Self { blocks, spared: Vec::new(), tells_garbage: false }
    }

    /// The same, and these ids are not deleted.
    #[must_use]
    pub fn sparing(self, ids: impl IntoIterator<Item = (ClientId, u32, u32)>) -> Self {
        Self { spared: collect(ids), ..self }
    }

    /// The same, telling of garbage.
    #[must_use]
    pub fn telling_garbage(self) -> Self {
        Self { tells_garbage: true, ..self }
    }

    /// What of a client's clocks is not deleted.
    pub(super) fn spared(&self, client: ClientId) -> Ranges {
        let from = self.spared.partition_point(|(of, _)| *of < client);
        self.spared[from..].iter().take_while(|(of, _)| *of == client).map(|(_, range)| *range).collect()
    }

    /// What becomes of the block that begins at an id.
    pub(super) fn of(&self, client: ClientId, clock: u32) -> Option<Turned> {
        if self.blocks.is_empty() {
            return None;
        }
        let next = self.blocks.partition_point(|&(of, (_, to), _)| (of, to) <= (client, clock));
        let &(of, (from, _), turned) = self.blocks.get(next)?;
        (of == client && from <= clock).then_some(turned)
    }
}

fn collect(ids: impl IntoIterator<Item = (ClientId, u32, u32)>) -> Vec<(ClientId, Range)> {
    let mut all: Vec<_> = ids.into_iter().collect();
    all.sort_unstable();
    let mut collected = Vec::with_capacity(all.len());
    for of_client in all.chunk_by(|a, b| a.0 == b.0) {
        let mut ranges: Ranges = of_client.iter().map(|&(_, from, to)| (from, to)).collect();
        ranges::normalise(&mut ranges);
        collected.extend(ranges.into_iter().map(|range| (of_client[0].0, range)));
    }
    collected
}
