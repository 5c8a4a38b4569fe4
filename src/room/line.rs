//! A room's line to the rest of its instances: what it hears of the log, and what waits until the log
//! has been read up to there.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::order::{Place, place};
use super::read_on::ReadOn;
use super::seat::Seat;
use crate::ids::Position;
use crate::limits::BUS_HELD_RECORDS_MAX;
use crate::log::bus::{Follower, Heard, Seen, Stored};
use crate::log::{Appended, LogError, Tombstone};

type Reading = Pin<Box<dyn Future<Output = Result<ReadOn, LogError>> + Send>>;

/// See the module.
pub(super) struct Line {
    follower: Follower,
    /// Of the life that is served here: what a deletion of an earlier one has left.
    pub(super) tombstone: Option<Tombstone>,
    /// What there is to do, if anything: most rooms are quiet.
    work: Option<Box<Work>>,
}

#[derive(Default)]
struct Work {
    /// Heard, and not next: oldest first.
    ahead: VecDeque<Stored>,
    /// Records in `ahead`.
    ahead_records: usize,
    /// The append's answer, which comes before that of batches before it.
    reply: Option<Appended>,
    /// The page that is read, or was read last, was asked for when that answer was here: the log has the batch by then.
    reads_reply: bool,
    reading: Option<Reading>,
    /// When the log is to be read although nothing new is heard.
    read_at: Option<Instant>,
    /// There is more in the log than was read.
    more: bool,
    /// Who is still to be asked for what it has, and when the next ones are.
    ask: Vec<Arc<Seat>>,
    ask_at: Option<Instant>,
}

impl Line {
    pub(super) fn new(follower: Follower, tombstone: Option<Tombstone>, seen: Seen) -> Self {
        follower.note(seen);
        Self { follower, tombstone, work: None }
    }

    pub(super) fn hears(&self) -> bool {
        self.follower.hears()
    }

    pub(super) fn note(&self, seen: Seen) {
        self.follower.note(seen);
    }

    /// What is heard or read next. Cancel-safe.
    pub(super) async fn next(&mut self) -> FromLog {
        let reading = async {
            match self.work.as_mut().and_then(|work| work.reading.as_mut()) {
                Some(reading) => reading.await,
                None => pending().await,
            }
        };
        let news = tokio::select! {
            biased;
            read = reading => FromLog::Read(read),
            heard = self.follower.next() => FromLog::Heard(heard),
        };
        if let (FromLog::Read(_), Some(work)) = (&news, &mut self.work) {
            work.reading = None;
        }
        news
    }

    /// When the clock is of interest.
    pub(super) fn due(&self) -> Option<Instant> {
        let work = self.work.as_ref()?;
        [work.read_at, work.ask_at].into_iter().flatten().min()
    }

    /// Whether the log is to be read now.
    pub(super) fn is_read_due(&mut self, now: Instant) -> bool {
        let Some(work) = &mut self.work else { return false };
        work.read_at.take_if(|at| *at <= now).is_some()
    }

    pub(super) fn is_reading(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.reading.is_some())
    }

    /// Begins to read. While that is under way it is done once more afterwards: the page may have been read before what is
    /// asked for now was stored.
    pub(super) fn read(&mut self, read: impl FnOnce() -> Reading) {
        let work = self.work();
        if work.reading.is_some() {
            work.more = true;
            return;
        }
        (work.more, work.read_at) = (false, None);
        (work.reading, work.reads_reply) = (Some(read()), work.reply.is_some());
    }

    pub(super) fn read_later(&mut self, at: Instant) {
        let work = self.work();
        work.read_at = Some(work.read_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// After a page: whether there is more.
    pub(super) fn go_on(&mut self, more: bool) {
        if let Some(work) = &mut self.work {
            work.more |= more;
        }
    }

    /// Whether to read on now. `in_flight`: a batch of our own is; the log cannot be read beyond it, and is not read before the
    /// answer tells where it stands.
    pub(super) fn wants_more(&mut self, in_flight: bool) -> bool {
        let Some(work) = &mut self.work else { return false };
        if work.more && in_flight && work.reply.is_none() {
            return false;
        }
        let wants = std::mem::take(&mut work.more);
        if !wants && work.is_done() {
            self.work = None;
        }
        wants
    }

    /// Keeps an answer until it is next; the log is read at `read_at` if it is not by then.
    pub(super) fn hold(&mut self, reply: Appended, read_at: Instant) {
        let work = self.work();
        (work.reply, work.reads_reply) = (Some(reply), false);
        self.read_later(read_at);
    }

    /// Where the batch begins whose answer is kept. All before it is to be read, also the genesis record of an earlier try of
    /// the same batch, whose other records the store has lost.
    pub(super) fn held_from(&self) -> Option<Position> {
        self.work.as_ref()?.reply.as_ref().map(Appended::begins)
    }

    /// Whether the log that was read just now, to its end, should have had the batch whose answer is kept; if it should not,
    /// it is read again.
    pub(super) fn has_read_reply(&mut self) -> bool {
        let Some(work) = self.work.as_mut().filter(|work| work.reply.is_some()) else { return false };
        work.more |= !work.reads_reply;
        work.reads_reply
    }

    /// The answer that was kept, if its turn has come, or has passed.
    pub(super) fn take_reply(&mut self, committed: Position) -> Option<Appended> {
        let work = self.work.as_mut()?;
        let reply = work.reply.take_if(|reply| reply.begins().seq <= committed.seq + 1);
        if reply.is_some() {
            work.read_at = None;
        }
        reply
    }

    /// Keeps a batch until it is next. If there is no room, it is read from the log later.
    pub(super) fn keep(&mut self, stored: Stored) {
        let work = self.work();
        if work.ahead_records + stored.records.len() > BUS_HELD_RECORDS_MAX {
            work.more = true;
            return;
        }
        work.ahead_records += stored.records.len();
        work.ahead.push_back(stored);
    }

    /// The batch that was kept first, unless it still has to wait.
    pub(super) fn take_next(&mut self, seen: Seen) -> Option<Stored> {
        let work = self.work.as_mut()?;
        let waits = place(seen, work.ahead.front()?) == Place::Gap;
        if waits {
            // What was read ends before it.
            work.more = true;
            return None;
        }
        let stored = work.ahead.pop_front()?;
        work.ahead_records -= stored.records.len();
        Some(stored)
    }

    /// What was heard beyond the end of the log is of a log that is no more.
    pub(super) fn forget_ahead(&mut self) {
        if let Some(work) = &mut self.work {
            (work.ahead, work.ahead_records) = (VecDeque::new(), 0);
        }
    }

    /// These are to be asked for what they have, `count` now and then.
    pub(super) fn ask(&mut self, seats: Vec<Arc<Seat>>, at: Instant) {
        let work = self.work();
        (work.ask, work.ask_at) = (seats, Some(at));
    }

    /// Those whose turn it is to be asked.
    pub(super) fn take_asked(&mut self, now: Instant, count: usize, next: Instant) -> Vec<Arc<Seat>> {
        let Some(work) = &mut self.work else { return Vec::new() };
        if work.ask_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let rest = work.ask.split_off(count.min(work.ask.len()));
        let asked = std::mem::replace(&mut work.ask, rest);
        work.ask_at = (!work.ask.is_empty()).then_some(next);
        asked
    }

    /// The log has begun anew: nothing that was heard of the old one counts.
    pub(super) fn begin_again(&mut self, tombstone: Option<Tombstone>, seen: Seen) {
        self.tombstone = tombstone;
        self.work = None;
        self.note(seen);
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }
}

/// What a line has for its room.
pub(super) enum FromLog {
    Heard(Heard),
    Read(Result<ReadOn, LogError>),
}

impl Work {
    fn is_done(&self) -> bool {
        let waits = self.reply.is_some() || !self.ahead.is_empty();
        !waits && self.reading.is_none() && self.read_at.is_none() && self.ask_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::bus::Epoch;

    fn at(seq: u64, ms: u64) -> Position {
        Position { seq, ms }
    }

    fn answer(begins: Position) -> Appended {
        let (first, last) = (begins, begins);
        Appended { created: None, before: None, first, last, epoch: Epoch(1), duplicate: false }
    }

    fn pending_read() -> Reading {
        Box::pin(pending())
    }

    /// [R28] The bus tells that it has lost something while the log is read, which was asked before that was stored: it is read
    /// once more afterwards, and then no more.
    #[tokio::test]
    async fn what_is_lost_during_a_read_is_read_afterwards() {
        let read = || -> Reading { Box::pin(std::future::ready(Ok(ReadOn::Trimmed))) };
        let mut line = Line::new(Follower::silent(), None, Seen::default());
        for (told, times) in [("once", 1), ("three times", 3), ("never", 0)] {
            line.read(read);
            (0..times).for_each(|_| line.read(|| unreachable!("one page at a time")));
            assert!(matches!(line.next().await, FromLog::Read(Ok(_))));
            println!("told {told} during a read");
            assert_eq!(line.wants_more(false), times > 0);
        }
    }

    /// [R29, R30] Only a log that was asked for when an answer was here has to have its batch: any other is read again.
    #[tokio::test]
    async fn an_older_page_need_not_have_the_batch() {
        let mut line = Line::new(Follower::silent(), None, Seen::default());
        assert!(!line.has_read_reply(), "nothing is waited for");
        line.read(pending_read);
        line.hold(answer(at(4, 1)), Instant::now());
        line.read(pending_read);
        assert!(!line.has_read_reply(), "the page was asked for before");
        assert!(line.wants_more(true), "so another one is");

        let mut line = Line::new(Follower::silent(), None, Seen::default());
        line.hold(answer(at(4, 1)), Instant::now());
        line.read(pending_read);
        assert!(line.has_read_reply());
        assert!(line.take_reply(at(3, 1)).is_some());
        assert!(!line.has_read_reply(), "it was taken in");
    }
}
