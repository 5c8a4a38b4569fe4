//! When each update is due. Pure.
//!
//! The load is open: the schedule is fixed before the run and never waits for the server. A
//! latency counts from the moment the update was *due*, so that a server (or generator) that stalls
//! is charged for everything that it kept waiting, not only for what was under way.

use std::time::Duration;

/// Updates at equal distances over all rooms: the i-th goes to room `i mod rooms`, and within a
/// room to its writers in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) rooms: u32,
    /// Writers in each room.
    pub(super) writers: u32,
    /// Updates per second and room.
    pub(super) rate: f64,
}

/// One update: who writes it, and which of its author it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) room: u32,
    pub(super) writer: u32,
    pub(super) clock: u32,
}

impl Schedule {
    /// The i-th update of the run.
    pub(super) fn turn(&self, i: u64) -> Turn {
        let (room, round) = (i % u64::from(self.rooms), i / u64::from(self.rooms));
        let (writer, clock) = (round % u64::from(self.writers), round / u64::from(self.writers));
        Turn { room: room as u32, writer: writer as u32, clock: clock as u32 }
    }

    /// When the i-th update is due, from the start of the run.
    pub(super) fn due(&self, i: u64) -> Duration {
        Duration::from_nanos((i as f64 * self.interval_ns()) as u64)
    }

    /// When an update is due, in nanoseconds from the start of the run: `turn` turned around.
    #[inline]
    pub(super) fn due_ns(&self, turn: Turn) -> u64 {
        let round = u64::from(turn.clock) * u64::from(self.writers) + u64::from(turn.writer);
        ((round * u64::from(self.rooms) + u64::from(turn.room)) as f64 * self.interval_ns()) as u64
    }

    /// How many updates a run of `duration` has.
    pub(super) fn count(&self, duration: Duration) -> u64 {
        (duration.as_nanos() as f64 / self.interval_ns()) as u64
    }

    fn interval_ns(&self) -> f64 {
        1e9 / (self.rate * f64::from(self.rooms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_and_due_times_agree() {
        let schedule = Schedule { rooms: 3, writers: 4, rate: 20.0 };
        assert_eq!(schedule.count(Duration::from_secs(10)), 600);
        for i in [0, 1, 2, 3, 11, 12, 13, 599] {
            let (turn, due) = (schedule.turn(i), schedule.due(i));
            println!("update {i}: {turn:?} due at {due:?}");
            assert_eq!(schedule.due_ns(turn), due.as_nanos() as u64);
        }
        assert_eq!(schedule.turn(13), Turn { room: 1, writer: 0, clock: 1 });
    }

    #[test]
    fn a_writer_writes_at_its_share_of_the_rate() {
        let schedule = Schedule { rooms: 100, writers: 10, rate: 10.0 };
        let due = |clock| schedule.due_ns(Turn { room: 7, writer: 3, clock });
        println!("10 updates/s by 10 writers: one each {} ms", (due(1) - due(0)) / 1_000_000);
        assert_eq!((due(1) - due(0)) / 1_000, 1_000_000);
        assert_eq!((due(901) - due(900)) / 1_000, 1_000_000);
    }
}
