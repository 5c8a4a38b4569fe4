//! How far apart a room's appends begin.
//!
//! An append is one batch, one sync of the store shared with others, and one write to each socket. A write costs as much as
//! everything else in a delivery, so where many are due, each should carry several updates: in a room with a crowd, and in every
//! room while the instance as a whole has much to deliver. A quiet instance waits for nothing.
//!
//! What is measured is what is *asked* of the instance (updates × people who get them), not what it writes: that does not
//! change with the pace, so the pace does not chase itself.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{
    BUSY_DELIVERIES_PER_SECOND, BUSY_DELIVERIES_PER_SECOND_MS, BUSY_PACE_MS_MAX, ROUND_APPEND_MS,
    ROUND_SESSIONS_MIN,
};

/// How long deliveries are counted before they are a rate. Short, so that a burst is met while it lasts.
const WINDOW: Duration = Duration::from_millis(100);

/// What an instance has to deliver, as its rooms tell.
pub(super) struct Load(Mutex<Window>);

struct Window {
    began: Instant,
    deliveries: u64,
    /// Of the window before, per second.
    rate: u64,
}

impl Load {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Window { began: Instant::now(), deliveries: 0, rate: 0 }))
    }

    /// Updates are shown to so many people.
    pub(super) fn note(&self, updates: usize, people: usize) {
        let mut window = self.0.lock();
        window.turn(Instant::now());
        window.deliveries += (updates * people) as u64;
    }

    /// The least time from the start of one append of a room with so many sessions to the next.
    pub(super) fn pace(&self, sessions: usize) -> Duration {
        if sessions > ROUND_SESSIONS_MIN {
            return Duration::from_millis(ROUND_APPEND_MS); // its fan-out has rounds of its own
        }
        let mut window = self.0.lock();
        window.turn(Instant::now());
        pace_at(window.rate)
    }
}

impl Window {
    fn turn(&mut self, now: Instant) {
        let took = now - self.began;
        if took < WINDOW {
            return;
        }
        self.rate = self.deliveries * 1_000 / u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        (self.began, self.deliveries) = (now, 0);
    }
}

/// Nothing up to a rate at which writes are no burden, then a millisecond for each step, up to a bound.
fn pace_at(rate: u64) -> Duration {
    let over = rate.saturating_sub(BUSY_DELIVERIES_PER_SECOND);
    Duration::from_millis((over / BUSY_DELIVERIES_PER_SECOND_MS).min(BUSY_PACE_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [L97] The pace follows what is asked of the instance, up to its bound, and is gone a tenth of a second after.
    #[tokio::test(start_paused = true)]
    async fn the_pace_follows_the_load_and_ends_with_it() {
        let load = Load::new();
        let second = |rate: u64| {
            let load = &load;
            async move {
                for _ in 0..20 {
                    load.note(usize::try_from(rate / 200).unwrap(), 10);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                load.pace(10).as_millis()
            }
        };
        let mut paces = Vec::new();
        for rate in [0, 9_000, 50_000, 100_000, 150_000, 400_000, 20_000_000] {
            paces.push((rate, second(rate).await));
        }
        println!("deliveries/s and ms: {paces:?}");
        assert!(paces[..3].iter().all(|&(_, pace)| pace == 0));
        assert!(paces.windows(2).all(|pair| pair[0].1 <= pair[1].1), "never less under more");
        assert!(paces[3].1 > 0);
        assert_eq!(paces[6].1, u128::from(BUSY_PACE_MS_MAX));
        assert_eq!(load.pace(ROUND_SESSIONS_MIN + 1), Duration::from_millis(ROUND_APPEND_MS));
        tokio::time::sleep(2 * WINDOW).await;
        load.pace(10);
        tokio::time::sleep(WINDOW).await;
        assert_eq!(load.pace(10), Duration::ZERO, "the load is over");
    }
}
