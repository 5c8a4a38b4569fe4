//! Connections of which no whole request has come yet. A thousand that never send one must not keep others
//! out: above a bound, and when file descriptors run out, the oldest make room.
//!
//! Invariant: a connection whose request is being answered never makes room, nor one that has just come. It is
//! being answered until the last of the answer was taken: how long that may take is bounded where large answers are made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::limits::HANDSHAKE_FRESH_MS;

/// All of them.
pub struct Handshakes {
    max: usize,
    started: Instant,
    waiting: Mutex<Waiting>,
    metrics: Metrics,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// By age.
    by_number: BTreeMap<u64, Arc<Connection>>,
}

struct Connection {
    /// A request has come and is being answered.
    busy: AtomicBool,
    /// Since when nothing has come whole, in milliseconds of [`Handshakes::started`].
    idle_since_ms: AtomicU64,
    ends: CancellationToken,
}

impl Handshakes {
    pub(super) fn new(max: usize, metrics: Metrics) -> Self {
        Self { max: max.max(1), started: Instant::now(), waiting: Mutex::default(), metrics }
    }

    fn now_ms(&self) -> u64 {
        crate::clock::in_ms(self.started.elapsed())
    }

    /// A connection has come. If there are too many, the oldest makes room.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Handshake {
        let connection = Arc::new(Connection {
            busy: AtomicBool::new(false),
            idle_since_ms: AtomicU64::new(self.now_ms()),
            ends: CancellationToken::new(),
        });
        let mut waiting = self.waiting.lock();
        if waiting.by_number.len() >= self.max {
            self.shed_of(&mut waiting, 1);
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.by_number.insert(number, Arc::clone(&connection));
        Handshake { all: Arc::clone(self), number, connection }
    }

    /// Ends up to `count` of the oldest. Returns how many made room.
    pub fn shed(&self, count: usize) -> usize {
        self.shed_of(&mut self.waiting.lock(), count)
    }

    fn shed_of(&self, waiting: &mut Waiting, count: usize) -> usize {
        let before_ms = self.now_ms().saturating_sub(HANDSHAKE_FRESH_MS);
        let old: Vec<u64> = waiting
            .by_number
            .iter()
            .filter(|(_, connection)| connection.may_go(before_ms))
            .map(|(number, _)| *number)
            .take(count)
            .collect();
        for number in &old {
            if let Some(connection) = waiting.by_number.remove(number) {
                connection.ends.cancel();
                self.metrics.handshakes_shed.inc();
            }
        }
        old.len()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.lock().by_number.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Connection {
    fn may_go(&self, before_ms: u64) -> bool {
        !self.busy.load(Ordering::Relaxed) && self.idle_since_ms.load(Ordering::Relaxed) <= before_ms
    }
}

/// One connection's place among them. Dropping it gives the place back.
pub struct Handshake {
    all: Arc<Handshakes>,
    number: u64,
    connection: Arc<Connection>,
}

impl Handshake {
    /// Resolves when it has to make room. Cancel-safe.
    pub async fn ends(&self) {
        self.connection.ends.cancelled().await;
    }

    /// A request has come; dropping what this returns says that it is answered, to the last byte of a body.
    #[must_use]
    pub fn busy(&self) -> Busy {
        self.connection.busy.store(true, Ordering::Relaxed);
        Busy { all: Arc::clone(&self.all), connection: Arc::clone(&self.connection) }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.waiting.lock().by_number.remove(&self.number);
    }
}

/// A request that is being answered.
pub struct Busy {
    all: Arc<Handshakes>,
    connection: Arc<Connection>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.connection.idle_since_ms.store(self.all.now_ms(), Ordering::Relaxed);
        self.connection.busy.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn all(max: usize) -> Arc<Handshakes> {
        Arc::new(Handshakes::new(max, Metrics::default()))
    }

    fn age(handshake: &Handshake) {
        handshake.connection.idle_since_ms.store(0, Ordering::Relaxed);
    }

    fn aged(all: &mut Arc<Handshakes>) {
        let all = Arc::get_mut(all).expect("nobody else has it yet");
        all.started = Instant::now().checked_sub(std::time::Duration::from_secs(60)).expect("booted before");
    }

    /// [O49] Above the bound the oldest makes room; one that is answered does not, nor one that has just come.
    #[test]
    fn the_oldest_makes_room() {
        let mut all = all(3);
        aged(&mut all);
        let fresh: Vec<_> = (0..5).map(|_| all.enter()).collect();
        assert_eq!((all.len(), all.shed(9)), (5, 0), "all have just come");
        let busy = fresh[0].busy();
        fresh.iter().for_each(age);
        let _next = all.enter();
        let ended: Vec<bool> = fresh.iter().map(|one| one.ends().now_or_never().is_some()).collect();
        assert_eq!(ended, [false, true, false, false, false]);
        drop(busy);
        assert_eq!(all.shed(9), 3, "the first one was answered just now");
        assert_eq!(all.metrics.handshakes_shed.get(), 4);
        drop(fresh);
        assert_eq!(all.len(), 1);
    }
}
