//! What all clients of one run share: the rooms and their writers, the schedule, and the counters.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::author::Author;
use super::bytes::Malformed;
use super::memo::Memo;
use super::schedule::Schedule;
use super::target::Family;

/// One run: some rooms on one server.
pub(super) struct World {
    pub(super) rooms: Vec<Room>,
    pub(super) schedule: Schedule,
    /// Set when the schedule starts; until then nothing has a latency.
    pub(super) timing: OnceLock<Timing>,
    pub(super) shards: Shards,
    /// Runs what a full socket leaves to be written later.
    pub(super) runtime: tokio::runtime::Handle,
}

/// When the schedule began, and how much of it only warms up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) start: Instant,
    pub(super) warmup: Duration,
}

/// One room and what is written into it.
pub(super) struct Room {
    pub(super) name: String,
    /// What stands before each message about it in the Hocuspocus family.
    prefix: Vec<u8>,
    pub(super) authors: Vec<Author>,
    writer_of: HashMap<u64, u32>,
    /// For each writer, how many blocks it has written.
    sent: Vec<AtomicU32>,
}

impl Room {
    pub(super) fn new(name: String, authors: Vec<Author>) -> Self {
        let writer_of = authors.iter().zip(0..).map(|(author, at)| (author.client, at)).collect();
        let sent = authors.iter().map(|_| AtomicU32::new(0)).collect();
        let prefix = Family::Hocuspocus.prefix(&name);
        Self { name, prefix, authors, writer_of, sent }
    }

    /// A message to this room's clients, without the name that may stand before it.
    #[inline]
    pub(super) fn body<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        payload.strip_prefix(&self.prefix[..]).unwrap_or(payload)
    }

    /// How many blocks `writer` has written.
    pub(super) fn sent(&self, writer: u32) -> u32 {
        self.sent[writer as usize].load(Ordering::Acquire)
    }

    pub(super) fn set_sent(&self, writer: u32, clock: u32) {
        self.sent[writer as usize].store(clock, Ordering::Release);
    }

    /// Adds the runs of blocks in `update` that are by this room's writers to `runs`.
    pub(super) fn find_runs(&self, update: &[u8], runs: &mut Vec<Run>) -> Result<(), Malformed> {
        super::scan::blocks(update, |client, from, to| {
            let Some(&writer) = self.writer_of.get(&client) else { return };
            match runs.last_mut() {
                Some(last) if last.writer == writer && last.to == from => last.to = to,
                _ => runs.push(Run { writer, from, to }),
            }
        })
    }
}

/// The clocks `from .. to` of one writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) writer: u32,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// Counters in as many parts as there are threads, so that threads do not wait for each other.
pub(super) struct Shards(Vec<Mutex<Shard>>);

/// More than a load generator has threads; with more, they share.
const SHARDS: usize = 16;

/// The counters of one thread, and its memory of what it parsed last.
pub(super) struct Shard {
    /// Microseconds from due to received, since the last progress line.
    pub(super) latency: Histogram<u64>,
    /// Microseconds from due to joined.
    pub(super) join: Histogram<u64>,
    /// Updates received by clients that did not write them.
    pub(super) deliveries: u64,
    /// WebSocket frames that carried them.
    pub(super) frames: u64,
    /// Reads of a socket that brought something.
    pub(super) reads: u64,
    pub(super) bytes: u64,
    /// One per room.
    pub(super) memos: Vec<Memo>,
}

/// Microseconds to an hour, three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are valid")
}

/// What the shards counted, together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) deliveries: u64,
    pub(super) frames: u64,
    pub(super) reads: u64,
    pub(super) bytes: u64,
}

impl Shards {
    pub(super) fn new(rooms: usize) -> Self {
        let shard = || Shard {
            latency: histogram(),
            join: histogram(),
            deliveries: 0,
            frames: 0,
            reads: 0,
            bytes: 0,
            memos: (0..rooms).map(|_| Memo::default()).collect(),
        };
        Self((0..SHARDS).map(|_| Mutex::new(shard())).collect())
    }

    /// This thread's shard.
    pub(super) fn mine(&self) -> &Mutex<Shard> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        let at = MINE.with(|mine| {
            if mine.get() == usize::MAX {
                mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
            }
            mine.get()
        });
        &self.0[at]
    }

    pub(super) fn counts(&self) -> Counts {
        self.0.iter().fold(Counts::default(), |sum, shard| {
            let shard = shard.lock();
            Counts {
                deliveries: sum.deliveries + shard.deliveries,
                frames: sum.frames + shard.frames,
                reads: sum.reads + shard.reads,
                bytes: sum.bytes + shard.bytes,
            }
        })
    }

    /// The latencies since this was last asked.
    pub(super) fn take_latency(&self) -> Histogram<u64> {
        let mut sum = histogram();
        for shard in &self.0 {
            let mut shard = shard.lock();
            sum.add(&shard.latency).expect("the bounds are the same");
            shard.latency.reset();
        }
        sum
    }

    /// All join times so far.
    pub(super) fn join(&self) -> Histogram<u64> {
        let mut sum = histogram();
        for shard in &self.0 {
            sum.add(&shard.lock().join).expect("the bounds are the same");
        }
        sum
    }
}
