//! How far apart a room's appends begin.
//!
//! An append is one batch, one sync of the store shared with others, and one write to each socket. A write costs as much as
//! everything else in a delivery, so where many are due, each should carry several updates: in a room with a crowd, and in every
//! room while the instance as a whole has much to deliver. A store that serves other instances too is not asked for each
//! update alone by a room that has hundreds a second. A quiet room of a quiet instance waits for nothing.
//!
//! What is measured is what is *asked* of the instance (updates × people who get them), not what it writes: that does not
//! change with the pace, so the pace does not chase itself.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{
    BUSY_DELIVERIES_PER_SECOND, BUSY_DELIVERIES_PER_SECOND_MS, BUSY_PACE_MS_MAX,
    BUSY_ROOM_UPDATES_PER_SECOND, ROUND_APPEND_MS, ROUND_SESSIONS_MIN,
};

/// How long deliveries are counted before they are a rate. Short, so that a burst is met while it lasts.
const WINDOW: Duration = Duration::from_millis(100);

/// What an instance has to deliver, as its rooms tell.
pub(super) struct Load(Mutex<Meter>);

/// How many there are of something, per second.
pub(super) struct Meter {
    began: Instant,
    count: u64,
    /// Of the window before, per second.
    rate: u64,
}

/// Whose appends are asked about.
#[derive(Clone, Copy)]
pub(super) struct Asks {
    /// Who gets what is stored.
    pub(super) sessions: usize,
    /// Updates that the room stores from here, per second.
    pub(super) updates: u64,
    /// Whether the store serves other instances too.
    pub(super) shares_store: bool,
}

impl Load {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Meter::new(Instant::now())))
    }

    /// Updates are shown to so many people.
    pub(super) fn note(&self, updates: usize, people: usize) {
        self.0.lock().note((updates * people) as u64, Instant::now());
    }

    /// The least time from the start of one append of a room to the next.
    pub(super) fn pace(&self, room: Asks) -> Duration {
        // With a crowd, fan-out has rounds of its own.
        let crowd = room.sessions > ROUND_SESSIONS_MIN;
        let busy = room.shares_store && room.updates >= BUSY_ROOM_UPDATES_PER_SECOND;
        if crowd || busy {
            return Duration::from_millis(ROUND_APPEND_MS);
        }
        pace_at(self.0.lock().rate(Instant::now()))
    }
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, count: 0, rate: 0 }
    }

    pub(super) fn note(&mut self, count: u64, now: Instant) {
        self.turn(now);
        self.count += count;
    }

    /// Per second.
    pub(super) fn rate(&mut self, now: Instant) -> u64 {
        self.turn(now);
        self.rate
    }

    fn turn(&mut self, now: Instant) {
        let took = now - self.began;
        if took < WINDOW {
            return;
        }
        self.rate = self.count * 1_000 / u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        (self.began, self.count) = (now, 0);
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

    const QUIET: Asks = Asks { sessions: 10, updates: 100, shares_store: true };

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
                load.pace(QUIET).as_millis()
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
        assert_eq!(
            load.pace(Asks { sessions: ROUND_SESSIONS_MIN + 1, ..QUIET }),
            Duration::from_millis(ROUND_APPEND_MS)
        );
        tokio::time::sleep(2 * WINDOW).await;
        load.pace(QUIET);
        tokio::time::sleep(WINDOW).await;
        assert_eq!(load.pace(QUIET), Duration::ZERO, "the load is over");
    }

    /// [L97] A room with hundreds of updates a second asks a shared store for several at a time, and its own store for each.
    #[tokio::test(start_paused = true)]
    async fn a_busy_room_spares_a_store_that_others_use() {
        let (load, mut updates) = (Load::new(), Meter::new(Instant::now()));
        let mut paces = Vec::new();
        for per_second in [0, 100, 499, 500, 5_000, 0] {
            for _ in 0..20 {
                updates.note(per_second / 10, Instant::now());
                tokio::time::sleep(WINDOW).await;
            }
            let asks = Asks { updates: updates.rate(Instant::now()), ..QUIET };
            let of = |shares_store| load.pace(Asks { shares_store, ..asks }).as_millis();
            paces.push((asks.updates, of(true), of(false)));
        }
        println!("updates/s, ms on a shared store and on its own: {paces:?}");
        let append = u128::from(ROUND_APPEND_MS);
        let expected = [(0, 0, 0), (100, 0, 0), (490, 0, 0), (500, append, 0), (5_000, append, 0), (0, 0, 0)];
        assert_eq!(paces, expected);
    }
}
