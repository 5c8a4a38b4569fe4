//! People at work while servers come and go: each room has one writer, who repeats a batch under its number until it
//! is stored, as rooms do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ruang::ids::RoomName;
use ruang::log::Log;
use ruang::log::redis::{RedisLog, RedisOptions};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::log_support::{batch, texts};
use crate::rig::PATIENCE;

/// A log as `ruang serve` opens it.
pub async fn open(url: &str) -> Arc<RedisLog> {
    let address = url.parse().unwrap_or_else(|why| panic!("{url}: {why}"));
    Arc::new(
        RedisLog::open(&address, RedisOptions::default()).await.unwrap_or_else(|why| panic!("{url}: {why}")),
    )
}

/// What a room holds, when it can be read again: connections for reads come back apart from those for writes.
pub async fn texts_soon(log: &RedisLog, room: &RoomName) -> Vec<String> {
    let started = Instant::now();
    while let Err(error) = log.read(room, 0, 1).await {
        assert!(error.is_temporary() && started.elapsed() < PATIENCE, "{room:?}: {error}");
        sleep(Duration::from_millis(10)).await;
    }
    texts(log, room).await
}

pub struct Traffic {
    log: Arc<RedisLog>,
    writers: Vec<Writer>,
    stop: CancellationToken,
}

struct Writer {
    room: RoomName,
    stored: Arc<AtomicU64>,
    /// How many batches it has stored, and how often it had to ask again.
    task: JoinHandle<(u64, u64)>,
}

impl Traffic {
    pub fn start(log: &Arc<RedisLog>, rooms: impl IntoIterator<Item = RoomName>) -> Self {
        let stop = CancellationToken::new();
        let writers = rooms.into_iter().map(|room| {
            let stored = Arc::new(AtomicU64::new(0));
            let task = tokio::spawn(write(Arc::clone(log), room.clone(), Arc::clone(&stored), stop.clone()));
            Writer { room, stored, task }
        });
        Self { log: Arc::clone(log), writers: writers.collect(), stop }
    }

    /// Waits until each writer has stored some more.
    pub async fn go_on(&self, more: u64) {
        for writer in &self.writers {
            let from = writer.stored.load(Ordering::Relaxed);
            let started = Instant::now();
            while writer.stored.load(Ordering::Relaxed) < from + more {
                assert!(started.elapsed() < PATIENCE, "{:?} does not go on from {from}", writer.room);
                assert!(!writer.task.is_finished(), "{:?}: the writer has failed", writer.room);
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Ends the writers, and checks that each room holds what its writer stored: all, once, in order.
    pub async fn end(self) {
        self.stop.cancel();
        let (mut all, mut again) = (0, 0);
        for writer in self.writers {
            let (stored, repeated) = writer.task.await.unwrap();
            let expected: Vec<_> = (1..=stored).map(|number| number.to_string()).collect();
            let found = texts_soon(&self.log, &writer.room).await;
            assert!(found == expected, "{:?}: {} of {stored}: {found:?}", writer.room, found.len());
            (all, again) = (all + stored, again + repeated);
        }
        println!("{all} batches stored, {again} tries without success");
    }
}

async fn write(
    log: Arc<RedisLog>,
    room: RoomName,
    stored: Arc<AtomicU64>,
    stop: CancellationToken,
) -> (u64, u64) {
    let mut again = 0;
    for number in 1.. {
        let sent = batch(&room, 1, number, &[number.to_string()]);
        let mut pause = Duration::from_millis(10);
        while let Err(error) = log.append(&room, sent.clone()).await {
            assert!(error.is_temporary(), "{room:?}: {error}");
            again += 1;
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        stored.store(number, Ordering::Relaxed);
        if stop.is_cancelled() {
            return (number, again);
        }
        sleep(Duration::from_millis(1)).await;
    }
    unreachable!("numbers do not end")
}
