//! The thread that writes updates when they are due.
//!
//! A thread of its own and not a task: a runtime that is busy receiving would write late, and its
//! timers have the grain of a millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use super::LoadError;
use super::client::Client;
use super::crowd::Crowd;
use super::outgoing::Outgoing;
use super::world::{Timing, World, histogram};

/// A running schedule.
pub(super) struct Pacer {
    thread: JoinHandle<Paced>,
    stop: Arc<AtomicBool>,
}

/// What a schedule came to.
pub(super) struct Paced {
    pub(super) updates: u64,
    /// Microseconds between due and written, 99th percentile: the generator's own part in the
    /// latencies.
    pub(super) late_p99_us: u64,
}

impl Pacer {
    /// Starts the schedule now: `duration` of it, of which `warmup` is not measured.
    pub(super) fn start(crowd: &Crowd, warmup: Duration, duration: Duration) -> Self {
        let timing = Timing { start: Instant::now() + Duration::from_millis(50), warmup };
        let timing = *crowd.world.timing.get_or_init(|| timing);
        let (world, stop) = (Arc::clone(&crowd.world), Arc::new(AtomicBool::new(false)));
        let rooms = 0..crowd.shape.rooms;
        let writers: Vec<_> = rooms
            .flat_map(|room| (0..crowd.shape.writers).map(move |writer| (room, writer)))
            .map(|(room, writer)| Arc::clone(crowd.writer(room, writer)))
            .collect();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || pace(&world, &writers, timing, duration, &stopped));
        Self { thread, stop }
    }

    /// Whether everything was written.
    pub(super) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the schedule early.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What was written. Waits for the end of the schedule.
    pub(super) fn finish(self) -> Result<Paced, LoadError> {
        self.thread.join().map_err(|_| LoadError::Bug("the pacer's thread panicked".into()))
    }
}

fn pace(
    world: &World,
    writers: &[Arc<Client>],
    timing: Timing,
    duration: Duration,
    stop: &AtomicBool,
) -> Paced {
    let schedule = world.schedule;
    let count = schedule.count(duration);
    let mut late = histogram();
    let mut touched: Vec<usize> = Vec::new();
    let mut i = 0;
    while i < count && !stop.load(Ordering::Relaxed) {
        let due = timing.start + schedule.due(i);
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            sleep(wait.min(Duration::from_millis(100)));
            continue;
        }
        let now = Instant::now().saturating_duration_since(timing.start);
        while i < count && schedule.due(i) <= now {
            let turn = schedule.turn(i);
            let at = (turn.room * schedule.writers + turn.writer) as usize;
            writers[at].write(world, turn.clock + 1);
            late.saturating_record((now - schedule.due(i)).as_micros() as u64);
            if touched.last() != Some(&at) {
                touched.push(at);
            }
            i += 1;
        }
        for at in touched.drain(..) {
            if writers[at].outgoing.lock().pending() > 0 {
                Outgoing::flush(&writers[at], world);
            }
        }
    }
    Paced { updates: i, late_p99_us: late.value_at_quantile(0.99) }
}
