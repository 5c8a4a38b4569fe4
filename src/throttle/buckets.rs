//! Buckets by key, of which a bounded number is remembered. Pure.
//!
//! Two generations: what was used since the last turn, and what was used before it. When the younger one is
//! full it becomes the older, and the older is forgotten. Forgetting fills a bucket. So who has more keys than
//! are remembered gains what more keys give anyway; and nobody can make this grow.

use std::collections::HashMap;
use std::hash::Hash;

use super::bucket::{Bucket, Rate};

/// See the module.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Option<Rate>,
    young: HashMap<K, Bucket>,
    old: HashMap<K, Bucket>,
    /// Keys in both generations.
    keys_max: usize,
}

impl<K: Hash + Eq> Buckets<K> {
    /// Remembers up to `keys_max` keys. Without a rate nothing is bounded, and nothing remembered.
    #[must_use]
    pub fn new(rate: Option<Rate>, keys_max: usize) -> Self {
        Self { rate, young: HashMap::new(), old: HashMap::new(), keys_max }
    }

    /// Takes one token of `key` if it is there.
    pub fn take(&mut self, key: K, now_ms: u64) -> bool {
        let Some(rate) = self.rate else { return true };
        let mut bucket = self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or_default();
        let taken = bucket.take(rate, 1, now_ms);
        if self.young.len() >= self.keys_max / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, bucket);
        taken
    }

    /// Keys that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ADDRESSES_MAX;

    /// [O41] A million addresses take no more memory than the bound; who keeps coming is remembered meanwhile.
    #[test]
    fn a_million_addresses_are_bounded() {
        let mut buckets = Buckets::new(Rate::per_minute(3), ADDRESSES_MAX);
        let mut busy = 0;
        for n in 0..1_000_000_u128 {
            assert!(buckets.take(n, 0));
            if n % 1_000 == 0 {
                busy += usize::from(buckets.take(u128::MAX, 0));
            }
            assert!(buckets.len() <= ADDRESSES_MAX, "{}", buckets.len());
        }
        println!("{} remembered; the busy one was let through {busy} times", buckets.len());
        assert_eq!(busy, 3);
        assert!(buckets.young.capacity() + buckets.old.capacity() <= 4 * ADDRESSES_MAX);
    }

    /// [O44] Each key has its own bucket; without a rate there is none.
    #[test]
    fn keys_do_not_share() {
        let mut buckets = Buckets::new(Rate::per_minute(2), 8);
        assert_eq!((0..4).map(|_| buckets.take("a", 0)).collect::<Vec<_>>(), [true, true, false, false]);
        assert!(buckets.take("b", 0));
        assert!(buckets.take("a", 30_000) && !buckets.take("a", 30_000), "half a minute, half of it");
        let mut open = Buckets::new(None, 8);
        assert!((0..1_000).all(|n| open.take(n, 0)) && open.is_empty());
    }
}
