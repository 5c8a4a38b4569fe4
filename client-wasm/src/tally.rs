//! Which edits of this client the server has not decided on.
//!
//! Each edit is numbered. A message carries all edits up to a number; the server counts a connection's messages and
//! acknowledges them in order. What was sent and not acknowledged when a connection ends is carried again by the Step2 of
//! the next one, and counted until that is acknowledged.

use std::collections::VecDeque;

/// The count of one client.
#[derive(Debug, Default)]
pub struct Tally {
    /// For each edit, the clock of this client behind it; one that only deletes has that of the edit before.
    ends: Vec<u32>,
    /// So many of them, from the first, are decided.
    decided: usize,
    /// Messages of this connection that are not acknowledged: number, and the edits up to which it carries.
    in_flight: VecDeque<(u64, usize)>,
    /// Step2 and Update messages sent in this connection.
    sent: u64,
}

/// The server acknowledges more than it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Tally {
    /// Edits that are not decided.
    #[must_use]
    pub fn unsaved(&self) -> usize {
        self.ends.len() - self.decided
    }

    /// Edits of an earlier life of this page, in its store, of which it had no ack.
    pub fn restore(&mut self, edits: usize) {
        let end = self.ends.last().copied().unwrap_or(0);
        self.ends.resize(self.ends.len() + edits, end);
    }

    /// An edit was made; this client's next clock is `end`.
    pub fn edited(&mut self, end: u32) {
        self.ends.push(end);
    }

    /// A connection begins.
    pub fn opened(&mut self) {
        self.sent = 0;
        self.in_flight.clear();
    }

    /// The server says that it has this client's clocks up to `clock`: what it has lost is not decided any more.
    pub fn server_has(&mut self, clock: u32) {
        self.decided = self.decided.min(self.ends.partition_point(|&end| end <= clock));
    }

    /// A message goes out that carries everything: what was sent before may have been left out for a gap, so only this
    /// one's ack counts.
    pub fn sent_all(&mut self) {
        self.in_flight.clear();
        self.sent_newest();
    }

    /// A message goes out that carries the newest edit; those before it are sent.
    pub fn sent_newest(&mut self) {
        self.sent += 1;
        self.in_flight.push_back((self.sent, self.ends.len()));
    }

    /// How many edits message number `message` carries.
    #[must_use]
    pub fn carried_by(&self, message: u64) -> usize {
        let mut before = self.decided;
        for &(number, edits) in &self.in_flight {
            if number == message {
                return edits.saturating_sub(before);
            }
            before = before.max(edits);
        }
        0
    }

    /// The server has decided on the first `messages` messages of this connection.
    ///
    /// # Errors
    /// [`TooMany`]: there were not so many.
    pub fn acked(&mut self, messages: u64) -> Result<(), TooMany> {
        if messages > self.sent {
            return Err(TooMany);
        }
        while let Some(&(number, edits)) = self.in_flight.front().filter(|(number, _)| *number <= messages) {
            debug_assert!(number <= self.sent, "numbered as they went out");
            self.decided = self.decided.max(edits);
            self.in_flight.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(tally: &mut Tally) {
        tally.opened();
        tally.sent_all();
    }

    /// [C2] Each edit counts until the ack of the message that carries it.
    #[test]
    fn edits_count_until_they_are_acked() {
        let mut tally = Tally::default();
        connected(&mut tally);
        tally.acked(1).unwrap();
        for end in [1, 2, 3] {
            tally.edited(end);
            tally.sent_newest();
        }
        assert_eq!((tally.unsaved(), tally.carried_by(3), tally.carried_by(9)), (3, 1, 0));
        tally.acked(3).unwrap();
        assert_eq!(tally.unsaved(), 1);
        tally.acked(2).unwrap();
        assert_eq!(tally.unsaved(), 1, "an older ack takes nothing back");
        tally.acked(4).unwrap();
        assert_eq!(tally.unsaved(), 0);
        assert_eq!(tally.acked(5), Err(TooMany));
    }

    /// [C2] A lost ack, edits made offline, and edits of an earlier life of the page count until the Step2 that
    /// carries them is acked, once each.
    #[test]
    fn what_a_lost_connection_leaves_is_counted_on() {
        let mut tally = Tally::default();
        tally.restore(2);
        connected(&mut tally);
        tally.edited(4);
        tally.sent_newest();
        assert_eq!(tally.unsaved(), 3);
        tally.opened(); // no ack came
        tally.edited(5);
        assert_eq!(tally.unsaved(), 4);
        tally.sent_all();
        tally.acked(1).unwrap();
        assert_eq!(tally.unsaved(), 0);
    }

    /// [C2] What the server has lost is unsaved again, also if an ack of it is still on its way.
    #[test]
    fn what_the_server_lost_is_unsaved_again() {
        let mut tally = Tally::default();
        connected(&mut tally);
        for end in [1, 2, 2, 3] {
            tally.edited(end);
            tally.sent_newest();
        }
        tally.acked(4).unwrap();
        assert_eq!(tally.unsaved(), 1);
        tally.server_has(1);
        assert_eq!(tally.unsaved(), 3, "the delete behind the lost edit too");
        tally.sent_all();
        tally.acked(5).unwrap();
        assert_eq!(tally.unsaved(), 3, "the ack of a message that was left out");
        tally.acked(6).unwrap();
        assert_eq!(tally.unsaved(), 0);
    }
}
