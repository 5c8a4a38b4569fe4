//! Tokens that come back at a steady rate. Pure: time is an argument, in milliseconds of any clock that never
//! goes back.

/// So much a second for as long as one likes, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What comes back in a period of [`Rate::per_ms`].
    tokens: u64,
    /// Milliseconds of that period.
    per_ms: u64,
    /// What a full bucket holds.
    burst: u64,
}

impl Rate {
    /// `tokens` a second, `burst_s` seconds of which may be used at once; `None` for no tokens: unlimited.
    #[must_use]
    pub fn per_second(tokens: u32, burst_s: u32) -> Option<Self> {
        let tokens = u64::from(tokens);
        (tokens > 0).then(|| Self { tokens, per_ms: 1_000, burst: tokens * u64::from(burst_s.max(1)) })
    }

    /// `tokens` a minute, all of which may be used at once; `None` for no tokens: unlimited.
    #[must_use]
    pub fn per_minute(tokens: u32) -> Option<Self> {
        let tokens = u64::from(tokens);
        (tokens > 0).then_some(Self { tokens, per_ms: 60_000, burst: tokens })
    }

    /// Thousandths of tokens that come back within a time.
    fn in_ms(self, ms: u64) -> u64 {
        u64::try_from(u128::from(ms) * u128::from(self.tokens) * MILLI / u128::from(self.per_ms))
            .unwrap_or(u64::MAX)
    }

    fn burst_milli(self) -> u64 {
        self.burst.saturating_mul(MILLI as u64)
    }
}

const MILLI: u128 = 1_000;

/// A bucket of tokens. It begins full, and may owe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// Thousandths of tokens that are missing from a full bucket.
    missing: u64,
    /// When that was so.
    at_ms: u64,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn pour(&mut self, rate: Rate, now_ms: u64) {
        let since = now_ms.saturating_sub(self.at_ms);
        // A time too short for a thousandth of a token is not thrown away.
        let back = rate.in_ms(since);
        if back > 0 || self.missing == 0 {
            self.missing = self.missing.saturating_sub(back);
            self.at_ms = self.at_ms.max(now_ms);
        }
    }

    /// Takes tokens if they are there.
    pub fn take(&mut self, rate: Rate, cost: u64, now_ms: u64) -> bool {
        self.pour(rate, now_ms);
        let missing = self.missing.saturating_add(cost.saturating_mul(MILLI as u64));
        let there = missing <= rate.burst_milli();
        if there {
            self.missing = missing;
        }
        there
    }

    /// Takes tokens whether they are there or not. Returns for how long it owes, in milliseconds.
    pub fn spend(&mut self, rate: Rate, cost: u64, now_ms: u64) -> u64 {
        self.pour(rate, now_ms);
        self.missing = self.missing.saturating_add(cost.saturating_mul(MILLI as u64));
        let owed = u128::from(self.missing.saturating_sub(rate.burst_milli()));
        let ms = (owed * u128::from(rate.per_ms)).div_ceil(MILLI * u128::from(rate.tokens));
        u64::try_from(ms).unwrap_or(u64::MAX)
    }

    /// Gives tokens back that were spent.
    pub fn give_back(&mut self, cost: u64) {
        self.missing = self.missing.saturating_sub(cost.saturating_mul(MILLI as u64));
    }

    /// Whether at least half of what it can hold is there.
    pub fn is_half_full(&mut self, rate: Rate, now_ms: u64) -> bool {
        self.pour(rate, now_ms);
        self.missing <= rate.burst_milli() / 2
    }

    /// Whether it is as a new one.
    pub fn is_full(&mut self, rate: Rate, now_ms: u64) -> bool {
        self.pour(rate, now_ms);
        self.missing == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [O45] A burst at once, then the rate; what was not used comes back, up to the burst.
    #[test]
    fn a_bucket_gives_a_burst_and_then_a_rate() {
        let rate = Rate::per_second(10, 3).unwrap();
        let mut bucket = Bucket::new();
        let taken = |bucket: &mut Bucket, now| (0..1_000).filter(|_| bucket.take(rate, 1, now)).count();
        assert_eq!(taken(&mut bucket, 0), 30);
        assert_eq!(taken(&mut bucket, 50), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 2_100), 20);
        assert_eq!(taken(&mut bucket, 1_000_000_000), 30);
        assert_eq!(taken(&mut bucket, 0), 0, "a clock that goes back gives nothing");
    }

    /// [O45] Who spends more than is there owes the time that it takes to come back, to the millisecond.
    #[test]
    fn debts_are_times() {
        let rate = Rate::per_second(250, 40).unwrap();
        let mut bucket = Bucket::new();
        assert_eq!(bucket.spend(rate, 10_000, 0), 0);
        assert_eq!(bucket.spend(rate, 1, 0), 4);
        assert_eq!(bucket.spend(rate, 250, 0), 1_004);
        assert_eq!(bucket.spend(rate, 0, 1_004), 0);
        assert!(!bucket.is_half_full(rate, 1_004 + 19_999));
        assert!(bucket.is_half_full(rate, 1_004 + 20_000));
        assert!(!bucket.is_full(rate, 1_004 + 39_999) && bucket.is_full(rate, 1_004 + 40_000));
        let mut small = Bucket::new();
        let minute = Rate::per_minute(1).unwrap();
        assert!(small.take(minute, 1, 0));
        // Steps that are too short for a token add up.
        assert_eq!((1..=60_000).filter(|now| small.take(minute, 1, *now)).count(), 1);
    }

    /// [O45] Nothing overflows, and no tokens means no bound.
    #[test]
    fn extremes_are_bounded() {
        assert_eq!(Rate::per_second(0, 9), None);
        assert_eq!(Rate::per_minute(0), None);
        let rate = Rate::per_second(u32::MAX, u32::MAX).unwrap();
        let mut bucket = Bucket::new();
        let owed = bucket.spend(rate, u64::MAX, u64::MAX);
        println!("owes {owed} ms");
        assert_eq!(bucket.spend(rate, u64::MAX, 0), owed, "as much as can be counted");
    }
}
