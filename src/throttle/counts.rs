//! How many there are of each: exact, and holding nothing of who has gone. Pure.

use std::collections::HashMap;
use std::hash::Hash;

/// How many of each key are there now.
#[derive(Debug)]
pub struct Counts<K> {
    by_key: HashMap<K, usize>,
}

/// A list for this many keys is kept when they have gone: some tens of KiB.
const KEPT_MIN: usize = 1_024;

impl<K: Hash + Eq> Default for Counts<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new() }
    }
}

impl<K: Hash + Eq> Counts<K> {
    /// Counts one more. Whether there may be one more is asked of [`Counts::of`] before.
    pub fn enter(&mut self, key: K) {
        *self.by_key.entry(key).or_insert(0) += 1;
    }

    /// Counts one less.
    ///
    /// # Panics
    /// If there is none.
    pub fn leave(&mut self, key: &K) {
        let count = self.by_key.get_mut(key).expect("who leaves has entered");
        *count -= 1;
        if *count == 0 {
            self.by_key.remove(key);
            let (len, capacity) = (self.by_key.len(), self.by_key.capacity());
            if capacity > KEPT_MIN && capacity > 8 * len {
                self.by_key.shrink_to(2 * len);
            }
        }
    }

    /// How many there are of one key.
    #[must_use]
    pub fn of(&self, key: &K) -> usize {
        self.by_key.get(key).copied().unwrap_or(0)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [O41] Each key has its own count; nothing stays of a million who came and went.
    #[test]
    fn who_has_gone_takes_nothing() {
        let mut counts = Counts::default();
        ["a", "a", "b"].into_iter().for_each(|key| counts.enter(key));
        counts.leave(&"a");
        assert_eq!(["a", "b", "c"].map(|key| counts.of(&key)), [1, 1, 0]);
        counts.leave(&"a");
        assert_eq!((counts.of(&"a"), counts.len()), (0, 1));
        let mut many = Counts::default();
        for n in 0..1_000_000_u64 {
            many.enter(n);
            if n >= 100 {
                many.leave(&(n - 100));
            }
            assert!(many.len() <= 101);
        }
        assert!(many.by_key.capacity() < 4 * KEPT_MIN, "{}", many.by_key.capacity());
    }
}
