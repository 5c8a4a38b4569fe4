//! What an admitted update touches: the places of its blocks and of what it deletes, for people who look at
//! a room's history. No content.

use super::block::read_block;
use super::parse::{parse, read_range};
use super::read::{Id, Reader};
use super::{Gate, Refusal};

/// The way from a root to where something lives: the root's name, then a key for each level, `None` where
/// the level is a sequence.
pub type Path = Vec<Option<String>>;

/// What an update touches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Blocks in it.
    pub blocks: u64,
    /// Ids that it deletes by name; those that it overwrites are not among them.
    pub deletes: u64,
    /// Where its blocks live, each place once, in their order.
    pub written: Vec<Path>,
    /// Where that lived which it deletes, each place once, in their order.
    pub deleted: Vec<Path>,
    /// There are more places than were asked for, or more parts than were looked at.
    pub more: bool,
}

/// Blocks and delete ranges of one update that are looked at: a whole document in one update has millions.
const LOOKED_AT_MAX: u32 = 4_096;

impl Gate {
    /// What an update touches that this gate has admitted, with up to `places_max` places of each kind. Blocks
    /// whose place is forgotten have none.
    ///
    /// # Errors
    /// The rule of form that the update breaks.
    pub fn touched(&self, update: &[u8], places_max: usize) -> Result<Touched, Refusal> {
        let parsed = parse::<false>(update)?;
        let mut touched = Touched::default();
        let mut left = LOOKED_AT_MAX;
        for section in &parsed.sections {
            touched.blocks += u64::from(section.blocks);
            let mut reader = Reader::starting_at(parsed.bytes, section.bytes.0);
            let mut clock = section.clocks.0;
            for _ in 0..section.blocks.min(left) {
                let block = read_block::<false>(&mut reader)?;
                let place = self.place(section.client, clock);
                note(&mut touched.written, &mut touched.more, place, places_max);
                clock += block.len;
            }
            touched.more |= section.blocks > left;
            left = left.saturating_sub(section.blocks);
        }
        for part in &parsed.deletes {
            let mut reader = Reader::starting_at(parsed.bytes, part.at);
            for _ in 0..part.ranges {
                let (from, to) = read_range(&mut reader)?;
                touched.deletes += u64::from(to - from);
                if left == 0 {
                    touched.more = true;
                    continue;
                }
                left -= 1;
                let place = self.place(part.client, from);
                note(&mut touched.deleted, &mut touched.more, place, places_max);
            }
        }
        Ok(touched)
    }

    fn place(&self, client: u64, clock: u32) -> Option<Path> {
        let path = self.index.path(Id { client, clock })?;
        Some(path.into_iter().map(|key| key.map(str::to_owned)).collect())
    }
}

fn note(places: &mut Vec<Path>, more: &mut bool, place: Option<Path>, places_max: usize) {
    let Some(place) = place.filter(|place| !places.contains(place)) else { return };
    if places.len() < places_max {
        places.push(place);
    } else {
        *more = true;
    }
}

#[cfg(test)]
mod tests {
    use yrs::{Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact};

    use super::*;
    use crate::gate::Source;

    /// [G20] What an update writes and deletes is told by its places.
    #[test]
    fn places_are_told() {
        let doc = Doc::with_client_id(1);
        let (items, notes) = (doc.get_or_insert_map("items"), doc.get_or_insert_text("notes"));
        let mut gate = Gate::new();
        let mut known = StateVector::default();
        let mut admit = |gate: &mut Gate| {
            let transaction = doc.transact();
            let update = transaction.encode_diff_v1(&known);
            known = transaction.state_vector();
            let admitted = gate.admit(&update, Source::Record).unwrap().remainder.unwrap().update;
            gate.touched(&admitted, 3).unwrap()
        };
        let path = |keys: &[&str]| -> Path {
            keys.iter().map(|key| (*key != "[]").then(|| (*key).to_owned())).collect()
        };
        {
            let mut transaction = doc.transact_mut();
            let card = items.insert(&mut transaction, "a", MapPrelim::default());
            card.insert(&mut transaction, "x", 1);
            notes.push(&mut transaction, "hello");
        }
        let touched = admit(&mut gate);
        let written = [path(&["items", "a"]), path(&["items", "a", "x"]), path(&["notes", "[]"])];
        assert_eq!((touched.blocks, touched.deletes, touched.more), (3, 0, false));
        assert_eq!((touched.written, touched.deleted), (written.to_vec(), vec![]));
        notes.remove_range(&mut doc.transact_mut(), 1, 3);
        let touched = admit(&mut gate);
        assert_eq!((touched.blocks, touched.deletes), (0, 3));
        assert_eq!((touched.written, touched.deleted), (vec![], vec![path(&["notes", "[]"])]));
        for key in ["b", "c", "d", "e"] {
            items.insert(&mut doc.transact_mut(), key, 1);
        }
        let touched = admit(&mut gate);
        assert_eq!((touched.blocks, touched.written.len(), touched.more), (4, 3, true));
    }
}
