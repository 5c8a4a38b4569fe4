//! What one recipient has of each writer of its room: nothing lost, nothing twice, nothing early,
//! or how much of each. Pure.

/// Clocks of every writer that one recipient has received. In the good case one number per
/// writer; what runs ahead of a hole is kept until the hole is filled.
#[derive(Debug)]
pub(super) struct Seen {
    /// For each writer, every clock below was received.
    next: Box<[u32]>,
    /// Runs beyond a hole: writer, from, to. Disjoint, not adjacent to `next`.
    ahead: Vec<(u32, u32, u32)>,
    /// Clocks that came again, outside of a full answer to our Step1.
    pub(super) duplicate: u64,
    /// Clocks that came before an earlier one of the same writer.
    pub(super) out_of_order: u64,
}

impl Seen {
    pub(super) fn new(writers: usize) -> Self {
        Self { next: vec![0; writers].into(), ahead: Vec::new(), duplicate: 0, out_of_order: 0 }
    }

    /// Every clock of `writer` below this was received.
    pub(super) fn through(&self, writer: u32) -> u32 {
        self.next[writer as usize]
    }

    /// Above the highest clock of `writer` that was received.
    pub(super) fn highest(&self, writer: u32) -> u32 {
        let ahead = self.ahead.iter().filter(|run| run.0 == writer).map(|run| run.2).max();
        ahead.unwrap_or(0).max(self.through(writer))
    }

    /// Takes the clocks `from .. to` of `writer` and calls `fresh` for the runs that are new.
    /// `repeats` says that known ones are no fault: a Step2 may hold them.
    #[inline]
    pub(super) fn take(
        &mut self,
        writer: u32,
        from: u32,
        to: u32,
        repeats: bool,
        mut fresh: impl FnMut(u32, u32),
    ) {
        let next = &mut self.next[writer as usize];
        if from == *next && self.ahead.is_empty() {
            *next = to;
            fresh(from, to);
            return;
        }
        self.take_slow(writer, from, to, repeats, &mut fresh);
    }

    fn take_slow(&mut self, writer: u32, from: u32, to: u32, repeats: bool, fresh: &mut dyn FnMut(u32, u32)) {
        let mut known: Vec<(u32, u32)> = vec![(0, self.next[writer as usize])];
        known.extend(self.ahead.iter().filter(|run| run.0 == writer).map(|run| (run.1, run.2)));
        known.sort_unstable();
        let mut at = from;
        let mut runs = Vec::new();
        for (start, end) in known.iter().copied().chain([(u32::MAX, u32::MAX)]) {
            if at < start.min(to) {
                runs.push((at, start.min(to)));
            }
            at = at.max(end);
            if at >= to {
                break;
            }
        }
        let new: u32 = runs.iter().map(|(start, end)| end - start).sum();
        if !repeats {
            self.duplicate += u64::from(to - from - new);
        }
        for (start, end) in runs {
            if start > self.next[writer as usize] {
                self.out_of_order += u64::from(end - start);
            }
            self.ahead.push((writer, start, end));
            fresh(start, end);
        }
        self.close_holes(writer);
    }

    /// Moves what follows `next` without a hole out of `ahead`.
    fn close_holes(&mut self, writer: u32) {
        let next = &mut self.next[writer as usize];
        while let Some(at) = self.ahead.iter().position(|run| run.0 == writer && run.1 == *next) {
            *next = self.ahead.swap_remove(at).2;
        }
    }

    /// How many of the clocks below `sent` of `writer` are missing.
    pub(super) fn missing(&self, writer: u32, sent: u32) -> u64 {
        let ahead: u64 = self
            .ahead
            .iter()
            .filter(|run| run.0 == writer)
            .map(|run| u64::from(run.2.min(sent).saturating_sub(run.1)))
            .sum();
        u64::from(sent.saturating_sub(self.next[writer as usize])) - ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seen: &mut Seen, writer: u32, from: u32, to: u32) -> Vec<(u32, u32)> {
        let mut runs = Vec::new();
        seen.take(writer, from, to, false, |from, to| runs.push((from, to)));
        runs
    }

    #[test]
    fn in_order_is_one_number() {
        let mut seen = Seen::new(2);
        assert_eq!(take(&mut seen, 0, 0, 3), [(0, 3)]);
        assert_eq!(take(&mut seen, 1, 0, 1), [(0, 1)]);
        println!("writer 0 through {}, one of four missing: {}", seen.through(0), seen.missing(0, 4));
        assert_eq!((seen.missing(0, 4), seen.missing(1, 1)), (1, 0));
        assert_eq!((seen.duplicate, seen.out_of_order), (0, 0));
    }

    #[test]
    fn a_repeat_counts_as_duplicate_but_not_within_a_step_2() {
        let mut seen = Seen::new(1);
        take(&mut seen, 0, 0, 5);
        assert_eq!(take(&mut seen, 0, 3, 7), [(5, 7)]);
        println!("3..7 after 0..5: {} duplicate", seen.duplicate);
        assert_eq!(seen.duplicate, 2);
        let mut runs = 0;
        seen.take(0, 0, 9, true, |_, _| runs += 1);
        assert_eq!((seen.duplicate, runs, seen.through(0)), (2, 1, 9));
    }

    #[test]
    fn a_hole_is_lost_until_it_is_filled() {
        let mut seen = Seen::new(1);
        take(&mut seen, 0, 0, 2);
        assert_eq!(take(&mut seen, 0, 4, 6), [(4, 6)]);
        assert_eq!(take(&mut seen, 0, 8, 9), [(8, 9)]);
        println!("0..2, 4..6, 8..9 of 10: {} missing", seen.missing(0, 10));
        assert_eq!((seen.missing(0, 10), seen.through(0), seen.out_of_order), (5, 2, 3));
        assert_eq!(take(&mut seen, 0, 1, 9), [(2, 4), (6, 8)]);
        println!("1..9 fills both holes: through {}, {} duplicate", seen.through(0), seen.duplicate);
        assert_eq!((seen.missing(0, 10), seen.through(0), seen.duplicate), (1, 9, 4));
        assert_eq!(take(&mut seen, 0, 9, 10), [(9, 10)]);
        assert_eq!(seen.missing(0, 10), 0);
    }

    /// Random runs against a set of bits.
    #[test]
    fn any_order_agrees_with_a_set() {
        use rand::rngs::StdRng;
        use rand::{Rng, SeedableRng};
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut seen, mut set) = (Seen::new(1), [false; 40]);
            for _ in 0..30 {
                let from = random.random_range(0..39);
                let to = random.random_range(from + 1..=40);
                let mut fresh = Vec::new();
                seen.take(0, from, to, false, |from, to| fresh.extend(from..to));
                let expected: Vec<u32> = (from..to).filter(|clock| !set[*clock as usize]).collect();
                assert_eq!(fresh, expected, "seed {seed}");
                set[from as usize..to as usize].fill(true);
                let missing = set.iter().filter(|set| !**set).count() as u64;
                assert_eq!(seen.missing(0, 40), missing, "seed {seed}");
            }
        }
        println!("200 random orders of 30 runs agree with a set of bits");
    }
}
