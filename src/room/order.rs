//! Puts what is heard of a room's log into the order of the log. Pure.
//!
//! A batch carries the position of the record before it, so that three numbers tell whether it
//! is next, known, further on, or of a log that is not the one that was seen.

use crate::ids::{InstanceId, Position};
use crate::log::bus::{Epoch, Seen, Stored};
use crate::log::record::{Kind, StoredRecord};

/// Where a batch stands to what is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Its records from this one on come next.
    Next(usize),
    /// All of it is seen.
    Known,
    /// Records before it are not seen.
    Gap,
    /// The store has lost what was seen, or somebody has healed that.
    Lost,
}

/// See [`Place`].
pub(super) fn place(seen: Seen, stored: &Stored) -> Place {
    let Some(last) = stored.records.last().map(StoredRecord::position) else { return Place::Known };
    let (before, known) = (stored.before, seen.last);
    if seen.epoch != Epoch::NONE && seen.epoch != stored.epoch {
        return Place::Lost;
    }
    if last.seq < known.seq || last == known {
        return Place::Known;
    }
    if before == known {
        return Place::Next(0);
    }
    if before.seq > known.seq {
        return Place::Gap;
    }
    let overlap = usize::try_from(known.seq - before.seq).unwrap_or(usize::MAX);
    let same = |position: &Position| *position == known;
    match overlap.checked_sub(1).and_then(|at| stored.records.get(at)).map(StoredRecord::position) {
        Some(position) if same(&position) && last.seq > known.seq => Place::Next(overlap),
        _ => Place::Lost,
    }
}

/// Whether who has seen so much knows the log as it is (`head`), or as it was `then`.
pub(super) fn is_current(seen: Seen, head: Seen, then: Option<Seen>) -> bool {
    seen == head || then.is_some_and(|then| seen.epoch == then.epoch && seen.last.seq >= then.last.seq)
}

/// How many of these records stand before the first one of the batch that is in flight here.
pub(super) fn before_own(records: &[StoredRecord], instance: InstanceId, number: Option<u64>) -> usize {
    let Some(number) = number else { return records.len() };
    let own = |stored: &StoredRecord| {
        let StoredRecord::Intact { record, .. } = stored else { return false };
        let Ok(metadata) = record.metadata() else { return false };
        let begins = metadata.batch == number || record.kind() == Kind::Genesis;
        metadata.instance == instance && begins
    };
    records.iter().position(own).unwrap_or(records.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 100;

    fn at(seq: u64, ms: u64) -> Position {
        Position { seq, ms }
    }

    fn seen(seq: u64) -> Seen {
        Seen { last: at(seq, MS), epoch: Epoch(1) }
    }

    /// A batch with records `from` to `to`, which all have these milliseconds.
    fn stored(before: Position, to: u64, ms: u64) -> Stored {
        let damaged = |seq| StoredRecord::Damaged { position: at(seq, ms), why: "a test".to_owned() };
        let records = (before.seq + 1..=to).map(damaged).collect();
        Stored { instance: InstanceId(1), number: 1, epoch: Epoch(1), before, records }
    }

    /// [R28] A batch is taken in once, behind the one before it, or not at all.
    #[test]
    fn a_batch_has_one_place() {
        assert_eq!(place(seen(5), &stored(at(5, MS), 8, MS)), Place::Next(0));
        assert_eq!(place(seen(5), &stored(at(3, MS), 5, MS)), Place::Known);
        assert_eq!(place(seen(5), &stored(at(1, MS), 2, MS)), Place::Known);
        assert_eq!(place(seen(5), &stored(at(6, MS), 8, MS)), Place::Gap);
        assert_eq!(
            place(seen(5), &stored(at(3, MS), 8, MS)),
            Place::Next(2),
            "a page ended inside the batch"
        );
        let first = Seen::default();
        assert_eq!(place(first, &stored(Position::START, 2, MS)), Place::Next(0), "it creates the room");
        assert_eq!(place(first, &stored(at(4, MS), 6, MS)), Place::Gap);
    }

    /// [R49] All of the log is known, or all of what it had when it was asked before; never what another epoch has.
    #[test]
    fn a_verdict_waits_for_the_newest() {
        let other = Seen { epoch: Epoch(2), ..seen(9) };
        assert!(is_current(seen(5), seen(5), None) && is_current(Seen::default(), Seen::default(), None));
        assert!(!is_current(seen(5), seen(6), None) && !is_current(seen(5), other, None));
        assert!(is_current(seen(6), seen(8), Some(seen(6))), "it goes on and on");
        assert!(!is_current(seen(5), seen(8), Some(seen(6))));
        assert!(!is_current(seen(9), other, Some(other)), "as many records of another log");
    }

    /// [R28] The same counters with other times, or another epoch, are another log.
    #[test]
    fn another_log_is_told_by_times_and_epoch() {
        assert_eq!(place(seen(5), &stored(at(5, MS + 1), 8, MS + 2)), Place::Lost);
        assert_eq!(place(seen(5), &stored(at(3, MS), 5, MS + 1)), Place::Lost);
        assert_eq!(place(seen(5), &stored(at(3, MS), 8, MS + 1)), Place::Lost);
        let healed = Stored { epoch: Epoch(2), ..stored(at(5, MS), 6, MS) };
        assert_eq!(place(seen(5), &healed), Place::Lost);
    }
}
