//! What became of a room whose log is not what was seen of it. Pure.

use crate::log::bus::{Epoch, Seen};
use crate::log::{Head, Tombstone};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// What was seen is there: others have written behind it, or nobody has.
    Longer,
    /// It was deleted or has expired, and may have begun another life: what is here is over.
    Over,
    /// The store has lost all of it or a part, healed by somebody meanwhile or not: what is here is
    /// to be brought back.
    Lost,
}

/// What is known of a room here, against what the store has now.
pub(super) struct Sight {
    pub(super) seen: Seen,
    /// The tombstone under the name when the room was loaded.
    pub(super) tombstone: Option<Tombstone>,
    /// The deadline that was set last has passed.
    pub(super) is_over: bool,
}

/// Decides. A store without epochs loses nothing: whatever is not what was seen is over. In others a room may be gone
/// by right in two ways, a deletion, which leaves a tombstone that was not there before and is no older than what was
/// seen, and its deadline; everything else is a loss. `stands`: in a log that goes on behind it, the record that was
/// seen last is still the same.
pub(super) fn judge(
    sight: &Sight,
    head: Option<&Head>,
    stands: bool,
    tombstone: Option<Tombstone>,
) -> Became {
    // A deletion ends what was stored before it. An older one is of an earlier life: this one began behind it, here or in
    // what was heard, after the room was loaded as one that does not exist.
    let ends = tombstone.is_none_or(|tombstone| tombstone.deleted_ms >= sight.seen.last.ms);
    if tombstone != sight.tombstone && ends {
        return Became::Over;
    }
    let over = sight.is_over || sight.seen.epoch == Epoch::NONE;
    let Some(head) = head else {
        let never_stored = sight.seen == Seen::default();
        return match (never_stored, over) {
            (true, _) => Became::Longer,
            (false, true) => Became::Over,
            (false, false) => Became::Lost,
        };
    };
    let other_epoch = sight.seen.epoch != Epoch::NONE && sight.seen.epoch != head.epoch;
    let shorter = head.last.seq < sight.seen.last.seq;
    let forked = head.last.seq == sight.seen.last.seq && head.last != sight.seen.last;
    match other_epoch || shorter || forked || !stands {
        true if over => Became::Over,
        true => Became::Lost,
        false => Became::Longer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Position;

    fn at(seq: u64) -> Position {
        Position { seq, ms: 7 }
    }

    fn head(seq: u64, epoch: u64) -> Head {
        Head {
            last: at(seq),
            epoch: Epoch(epoch),
            base: 0,
            bytes: 0,
            snapshots: Vec::new(),
            revision: 0,
            deadline_ms: None,
            frozen: false,
        }
    }

    fn sight(is_over: bool) -> Sight {
        Sight { seen: Seen { last: at(5), epoch: Epoch(1) }, tombstone: None, is_over }
    }

    /// [R30] What is deleted or expired is over; what is missing otherwise is lost.
    #[test]
    fn a_room_is_over_or_lost() {
        let deleted = Some(Tombstone { deleted_ms: 9 });
        let judged =
            |is_over, head: Option<Head>, tombstone| judge(&sight(is_over), head.as_ref(), true, tombstone);
        assert_eq!(judged(false, None, None), Became::Lost, "flushed");
        assert_eq!(judged(true, None, None), Became::Over, "expired");
        assert_eq!(judged(false, None, deleted), Became::Over, "deleted");
        assert_eq!(judged(false, Some(head(2, 9)), deleted), Became::Over, "deleted, and begun again");
        assert_eq!(judged(true, Some(head(2, 9)), None), Became::Over, "expired, and begun again");
        assert_eq!(judged(false, Some(head(4, 1)), None), Became::Lost, "an older copy");
        assert_eq!(judged(false, Some(head(9, 2)), None), Became::Lost, "healed by somebody");
        let forked = Head { last: Position { seq: 5, ms: 8 }, ..head(5, 1) };
        assert_eq!(judged(false, Some(forked), None), Became::Lost, "another record in its place");
        let sure = Sight { seen: Seen { last: at(5), epoch: Epoch::NONE }, ..sight(false) };
        assert_eq!(judge(&sure, None, true, None), Became::Over, "a store that loses nothing");
        assert_eq!(judged(false, Some(head(5, 1)), None), Became::Longer);
        assert_eq!(judged(false, Some(head(8, 1)), None), Became::Longer);
        let fell_back = judge(&sight(false), Some(&head(8, 1)), false, None);
        assert_eq!(fell_back, Became::Lost, "it fell back, and others have written more than was lost");
    }

    /// [R30] A tombstone of an earlier life is none of this one; a room that was never stored is not lost.
    #[test]
    fn an_earlier_deletion_says_nothing() {
        let tombstone = Some(Tombstone { deleted_ms: 3 });
        let earlier = Sight { tombstone, ..sight(false) };
        assert_eq!(judge(&earlier, None, true, tombstone), Became::Lost);
        let begun_behind = judge(&sight(false), None, true, tombstone);
        assert_eq!(begun_behind, Became::Lost, "deleted after the load, and begun anew since");
        let new = Sight { seen: Seen::default(), ..sight(false) };
        assert_eq!(judge(&new, None, true, None), Became::Longer);
        assert_eq!(judge(&new, Some(&head(3, 1)), true, None), Became::Longer);
    }
}
