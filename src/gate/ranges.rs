//! Sets of clocks as sorted, merged ranges `(from, to)`, `to` exclusive.

use smallvec::SmallVec;

/// One run of clocks.
pub(super) type Range = (u32, u32);

/// The few that one update names. What lives as long as a room is a [`Vec`] that grows tightly.
pub(super) type Ranges = SmallVec<[Range; 2]>;

/// Brings ranges into order: sorted, non-empty, merged.
pub(super) fn normalise(ranges: &mut Ranges) {
    let in_order = ranges.windows(2).all(|pair| pair[0].1 < pair[1].0);
    if in_order {
        return;
    }
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let touches = next.0 <= last.1;
        if touches {
            last.1 = last.1.max(next.1);
        }
        touches
    });
}

/// The parts of `asked` that are not in `held`. Both are in order; costs `asked` plus what it meets.
pub(super) fn subtract(asked: &[Range], held: &[Range]) -> Ranges {
    let mut rest = Ranges::new();
    for &(mut from, to) in asked {
        let mut next = held.partition_point(|range| range.1 <= from);
        while from < to {
            match held.get(next) {
                Some(&(start, end)) if start < to => {
                    if from < start {
                        rest.push((from, start));
                    }
                    from = end;
                    next += 1;
                }
                _ => {
                    rest.push((from, to));
                    break;
                }
            }
        }
    }
    rest
}

/// Adds ranges (in order) to the few that one update names.
pub(super) fn add(few: &mut Ranges, new: &[Range]) {
    if !new.is_empty() {
        few.extend_from_slice(new);
        normalise(few);
    }
}

/// Adds ranges (in order) to a set. One range costs a search and a move; many cost one merge.
pub(super) fn insert(held: &mut Vec<Range>, new: &[Range]) {
    if let [range] = new {
        return insert_one(held, *range);
    }
    let Some(first) = new.first() else { return };
    let start = held.partition_point(|range| range.1 < first.0);
    let tail = held.split_off(start);
    held.reserve_exact(tail.len() + new.len());
    let (mut old, mut fresh) = (tail.into_iter().peekable(), new.iter().copied().peekable());
    loop {
        let next = match (old.peek(), fresh.peek()) {
            (Some(a), Some(b)) if a <= b => old.next(),
            (Some(_), None) => old.next(),
            (_, Some(_)) => fresh.next(),
            (None, None) => break,
        };
        if let Some(range) = next {
            append(held, range);
        }
    }
}

/// Adds a range that starts at or after the last one's start.
pub(super) fn append(held: &mut Vec<Range>, range: Range) {
    match held.last_mut() {
        Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
        _ => push_tight(held, range),
    }
}

fn insert_one(held: &mut Vec<Range>, (from, to): Range) {
    let start = held.partition_point(|range| range.1 < from);
    let end = start + held[start..].partition_point(|range| range.0 <= to);
    if start == end {
        grow_tight(held);
        held.insert(start, (from, to));
    } else {
        held[start] = (held[start].0.min(from), held[end - 1].1.max(to));
        held.drain(start + 1..end);
    }
}

/// Takes a range out of a set.
pub(super) fn remove(held: &mut Vec<Range>, (from, to): Range) {
    let start = held.partition_point(|range| range.1 <= from);
    let end = start + held[start..].partition_point(|range| range.0 < to);
    if start == end {
        return;
    }
    let (left, right) = ((held[start].0, from), (to, held[end - 1].1));
    held.splice(start..end, [left, right].into_iter().filter(|range| range.0 < range.1));
}

/// How many clocks ranges cover.
pub(super) fn clocks(ranges: &[Range]) -> u64 {
    ranges.iter().map(|range| u64::from(range.1 - range.0)).sum()
}

/// Pushes with growth by a sixteenth instead of doubling: the index lives as long as its room.
pub(super) fn push_tight<T>(items: &mut Vec<T>, item: T) {
    grow_tight(items);
    items.push(item);
}

fn grow_tight<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 16 + 1);
    }
}
