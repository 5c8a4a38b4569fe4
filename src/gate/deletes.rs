//! The delete ranges of an update, judged once its blocks are.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::admit::Judgement;
use super::parse::read_range;
use super::ranges::{self, Ranges};
use super::read::Reader;
use super::write::DeletePart;
use crate::ids::ClientId;

/// The delete ranges of an update, judged.
pub(super) struct Deletes {
    /// Those that go on.
    pub(super) parts: SmallVec<[DeletePart; 1]>,
    /// Those that the index did not know as deleted: `(client, from, to)`, `to` exclusive.
    pub(super) new: SmallVec<[(ClientId, u32, u32); 1]>,
}

impl Judgement<'_, '_> {
    /// Judges the delete ranges, after the blocks: what they name must be known by now. Ranges of new blocks that
    /// come as deleted ones stay: others may hold those blocks alive, and learn it from the range alone.
    pub(super) fn deletes(&mut self) -> Deletes {
        let mut deletes = Deletes { parts: SmallVec::new(), new: SmallVec::new() };
        if self.update.deletes.is_empty() {
            self.tell_turned(&mut deletes);
            return deletes;
        }
        let before = Before::of(self);
        for asked in &self.update.deletes {
            let mut reader = Reader::starting_at(self.update.bytes, asked.at);
            let read = (0..asked.ranges).map_while(|_| read_range(&mut reader).ok());
            let mut wanted: Ranges = read.collect();
            ranges::normalise(&mut wanted);
            let known = self.index.known(asked.client);
            let total = ranges::clocks(&wanted);
            wanted.retain_mut(|range| {
                range.1 = range.1.min(known);
                range.0 < range.1
            });
            let unknown = total - ranges::clocks(&wanted);
            let spared = self.rewrite.spared(asked.client);
            if !spared.is_empty() {
                wanted = ranges::subtract(&wanted, &spared);
            }
            let knowable = ranges::clocks(&wanted);
            let new = self.index.delete(asked.client, &wanted);
            for &range in &new {
                self.account.cut(asked.client, range, self.index);
            }
            deletes.new.extend(new.iter().map(|&(from, to)| (asked.client, from, to)));
            let mut kept = new;
            if let Some(before) = before.clock(self, asked.client) {
                wanted.iter_mut().for_each(|range| range.0 = range.0.max(before));
                wanted.retain(|range| range.0 < range.1);
                ranges::add(&mut kept, &wanted);
            }
            self.dropped.unknown_deletes += unknown;
            self.dropped.known_deletes += knowable - ranges::clocks(&kept);
            if !kept.is_empty() {
                deletes.parts.push(DeletePart { client: asked.client, ranges: kept });
            }
        }
        self.tell_turned(&mut deletes);
        deletes
    }

    /// Names the blocks that were turned into deleted ones. They are new, so the index has them as deleted already.
    fn tell_turned(&mut self, deletes: &mut Deletes) {
        if self.turned.is_empty() {
            return;
        }
        let mut turned = std::mem::take(&mut self.turned);
        turned.sort_unstable();
        deletes.parts.sort_unstable_by_key(|part| part.client);
        let mut more_parts = SmallVec::<[DeletePart; 1]>::new();
        for of_client in turned.chunk_by(|a, b| a.0 == b.0) {
            let client = of_client[0].0;
            let mut named: Ranges = of_client.iter().map(|&(_, from, to)| (from, to)).collect();
            ranges::normalise(&mut named);
            match deletes.parts.binary_search_by_key(&client, |part| part.client) {
                Ok(at) => {
                    let held = &mut deletes.parts[at].ranges;
                    let more = ranges::subtract(&named, held);
                    ranges::add(held, &more);
                }
                Err(_) => more_parts.push(DeletePart { client, ranges: named }),
            }
        }
        deletes.parts.append(&mut more_parts);
    }
}

/// Up to so many parts are looked through one by one.
const PARTS_SEARCHED_MAX: usize = 8;

/// What was known of the clients of an update before its blocks were judged: by client, if they are many.
struct Before(Option<HashMap<ClientId, u32>>);

impl Before {
    fn of(judgement: &Judgement<'_, '_>) -> Self {
        let many = judgement.cursors.len() > PARTS_SEARCHED_MAX;
        Self(many.then(|| Self::each(judgement).collect()))
    }

    fn clock(&self, judgement: &Judgement<'_, '_>, client: ClientId) -> Option<u32> {
        match &self.0 {
            Some(known) => known.get(&client).copied(),
            None => Self::each(judgement).find(|part| part.0 == client).map(|part| part.1),
        }
    }

    fn each(judgement: &Judgement<'_, '_>) -> impl Iterator<Item = (ClientId, u32)> {
        let parts = judgement.cursors.iter().zip(&judgement.update.sections);
        parts.map(|(cursor, section)| (section.client, cursor.known_before))
    }
}
