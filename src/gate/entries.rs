//! Which entries of root maps an admitted update touches: what a reader of these must read again.

use super::Gate;
use super::block::read_block;
use super::parse::{parse, read_range};
use super::read::{Id, Reader};
use super::refusal::Refusal;

impl Gate {
    /// The entries `(root, key)` that an update touches which this gate has admitted; one may come
    /// several times. `None` if there are more
    /// than `max`, or more blocks and deletions than that to look at. Blocks in the sequence of a root, and those whose place
    /// is forgotten, are in no entry.
    ///
    /// # Errors
    /// The rule of form that the update breaks.
    pub fn entries(&self, update: &[u8], max: usize) -> Result<Option<Vec<(&str, &str)>>, Refusal> {
        let parsed = parse::<false>(update)?;
        let blocks: u64 = parsed.sections.iter().map(|section| u64::from(section.blocks)).sum();
        let deletes: u64 = parsed.deletes.iter().map(|part| u64::from(part.ranges)).sum();
        if blocks + deletes > max as u64 {
            return Ok(None);
        }
        let mut entries = Vec::new();
        for section in &parsed.sections {
            let mut reader = Reader::starting_at(parsed.bytes, section.bytes.0);
            let mut clock = section.clocks.0;
            for _ in 0..section.blocks {
                entries.extend(self.entry(section.client, clock));
                clock += read_block::<false>(&mut reader)?.len;
            }
        }
        for part in &parsed.deletes {
            let mut reader = Reader::starting_at(parsed.bytes, part.at);
            for _ in 0..part.ranges {
                let (from, to) = read_range(&mut reader)?;
                let mut clock = from;
                // One range may run over several entries.
                while clock < to {
                    if entries.len() > max {
                        return Ok(None);
                    }
                    entries.extend(self.entry(part.client, clock));
                    clock = self.index.run_end(part.client, clock).unwrap_or(to).max(clock + 1);
                }
            }
        }
        Ok((entries.len() <= max).then_some(entries))
    }

    fn entry(&self, client: u64, clock: u32) -> Option<(&str, &str)> {
        let path = self.index.path(Id { client, clock })?;
        match path[..] {
            [Some(root), Some(key), ..] => Some((root, key)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use yrs::{Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact};

    use super::*;
    use crate::gate::Source;

    /// [G20] Each entry of a root that an update writes or deletes in is named, also where one range of deletes runs
    /// over several; what is not in an entry has none; what is too much to look at is not looked at.
    #[test]
    fn entries_are_named() {
        let doc = Doc::with_client_id(1);
        let (items, notes) = (doc.get_or_insert_map("items"), doc.get_or_insert_text("notes"));
        let mut gate = Gate::new();
        let mut known = StateVector::default();
        let mut admit = |gate: &mut Gate, max: usize| {
            let transaction = doc.transact();
            let update = transaction.encode_diff_v1(&known);
            known = transaction.state_vector();
            let admitted = gate.admit(&update, Source::Record).unwrap().remainder.unwrap().update;
            let entries = gate.entries(&admitted, max).unwrap();
            entries.map(|mut entries| {
                entries.sort_unstable();
                entries.dedup();
                entries.iter().map(|(root, key)| format!("{root}/{key}")).collect::<Vec<_>>().join(" ")
            })
        };
        {
            let mut transaction = doc.transact_mut();
            let card = items.insert(&mut transaction, "a", MapPrelim::default());
            card.insert(&mut transaction, "x", 1);
            items.insert(&mut transaction, "b", 2);
            items.insert(&mut transaction, "c", 3);
            notes.push(&mut transaction, "hello");
        }
        assert_eq!(admit(&mut gate, 9).as_deref(), Some("items/a items/b items/c"));
        items.clear(&mut doc.transact_mut());
        assert_eq!(admit(&mut gate, 9).as_deref(), Some("items/a items/b items/c"), "one range of deletes");
        notes.remove_range(&mut doc.transact_mut(), 1, 3);
        items.insert(&mut doc.transact_mut(), "d", 1);
        assert_eq!(admit(&mut gate, 9).as_deref(), Some("items/d"));
        for key in ["b", "c", "d", "e"] {
            items.insert(&mut doc.transact_mut(), key, 1);
        }
        assert_eq!(admit(&mut gate, 3), None);
    }
}
