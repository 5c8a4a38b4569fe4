//! Which votes count. Two tabs of one person may each keep to the limit and break it together, a limit may be lowered
//! under the votes that were given, cards are deleted and grouped: a document cannot refuse, so the reader decides.
//!
//! The rule, a function of the values alone:
//! 1. A vote counts if its target is there: a card or a group. Votes on a deleted card are given back.
//! 2. A card that is in a group keeps its votes; the group is ranked by its own and its cards' together.
//! 3. If a person has more votes than the limit, one at a time is taken from the target on which that person has
//!    most, of several the last by id, until they fit.

use super::table::Table;

/// The votes of one person by target, cut to what the limit leaves. What has none is left out.
#[must_use]
pub fn effective(given: &Table<u32>, limit: u32) -> Table<u32> {
    let level = level(given, limit);
    // At this level they fit, at the next they do not: the difference goes to the first by id.
    let sum: u64 = given.values().map(|&count| u64::from(count.min(level))).sum();
    let mut spare = u64::from(limit).saturating_sub(sum);
    let mut counted = Table::new();
    for (target, &count) in given {
        let more = u32::from(count > level && spare > 0);
        spare -= u64::from(more);
        let count = count.min(level) + more;
        if count > 0 {
            counted.insert(target.clone(), count);
        }
    }
    counted
}

/// The highest count at which all fit if each target has at most so many.
fn level(given: &Table<u32>, limit: u32) -> u32 {
    let sum_at = |level: u32| given.values().map(|&count| u64::from(count.min(level))).sum::<u64>();
    let (mut fits, mut above) = (0, limit + 1);
    while above - fits > 1 {
        let middle = fits + (above - fits) / 2;
        if sum_at(middle) <= u64::from(limit) { fits = middle } else { above = middle }
    }
    fits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn votes(counts: &[(&str, u32)]) -> Table<u32> {
        counts.iter().map(|&(target, count)| (target.to_owned(), count)).collect()
    }

    /// The rule as it is written: one vote at a time.
    fn one_at_a_time(given: &Table<u32>, limit: u32) -> Table<u32> {
        let mut left = given.clone();
        while left.values().map(|&count| u64::from(count)).sum::<u64>() > u64::from(limit) {
            let most = left.values().copied().max().unwrap();
            *left.values_mut().rfind(|count| **count == most).unwrap() -= 1;
        }
        left.retain(|_, count| *count > 0);
        left
    }

    /// [B3] What is within the limit counts as it was given; what is above it is cut where most is.
    #[test]
    fn votes_above_the_limit_are_cut_where_most_are() {
        assert_eq!(effective(&votes(&[("a", 2), ("b", 3)]), 5), votes(&[("a", 2), ("b", 3)]));
        assert_eq!(effective(&votes(&[("a", 2), ("b", 3)]), 4), votes(&[("a", 2), ("b", 2)]));
        assert_eq!(effective(&votes(&[("a", 3), ("b", 3)]), 3), votes(&[("a", 2), ("b", 1)]));
        assert_eq!(effective(&votes(&[("a", 1), ("b", 1), ("c", 1)]), 2), votes(&[("a", 1), ("b", 1)]));
        assert_eq!(effective(&votes(&[("a", u32::MAX)]), 0), votes(&[]));
        assert_eq!(effective(&votes(&[("a", u32::MAX), ("b", u32::MAX)]), 5), votes(&[("a", 3), ("b", 2)]));
    }

    proptest! {
        /// [B3] The fast way is the rule as it is written, and never above the limit; what it leaves is left by it.
        #[test]
        fn the_fast_way_is_the_rule(counts in prop::collection::btree_map("[a-f]", 0u32..12, 0..6), limit in 0u32..20) {
            let counts: Table<u32> = counts.into_iter().collect();
            let counted = effective(&counts, limit);
            prop_assert_eq!(&counted, &one_at_a_time(&counts, limit));
            prop_assert!(counted.values().sum::<u32>() <= limit);
            prop_assert_eq!(effective(&counted, limit), counted);
        }
    }
}
