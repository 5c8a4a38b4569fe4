//! A page of records, as the log gave it: is it whole, and how is it folded? Pure.

use std::collections::BTreeMap;

use super::fold::{Broken, Fold, SetAside};
use crate::ids::Position;
use crate::log::record::StoredRecord;

/// Whether a page begins right behind `after` and has no hole, and is not empty.
pub(super) fn follows(after: u64, page: &[StoredRecord]) -> bool {
    !page.is_empty() && page.iter().zip(after + 1..).all(|(stored, seq)| stored.position().seq == seq)
}

/// Folds a page into a room: merged, or `one_by_one` without those that are known to be `broken`. What is
/// missing in it is passed by name.
pub(super) fn fold_page(
    fold: &mut Fold,
    page: &[StoredRecord],
    one_by_one: bool,
    broken: &BTreeMap<u64, SetAside>,
) -> Result<(), Broken> {
    for run in page.chunk_by(|a, b| a.position().seq + 1 == b.position().seq) {
        let first = run[0].position();
        if first.seq > fold.last().seq + 1 {
            fold.pass_missing(Position { seq: first.seq - 1, ms: fold.last().ms });
        }
        if !one_by_one {
            fold.page(run)?;
            continue;
        }
        for stored in run {
            match broken.get(&stored.position().seq) {
                Some(record) if fold.stopped().is_none() => fold.pass(record.clone()),
                _ => drop(fold.one(stored)?),
            }
        }
    }
    Ok(())
}
