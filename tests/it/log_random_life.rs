//! Random histories of everything that the contract has, against a log in memory that never fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng;
use ruang::ids::InstanceId;
use ruang::log::embedded::{EmbeddedLog, Options};
use ruang::log::memory::MemoryLog;
use ruang::log::{Log, LogError};

use crate::log_author::{Author, HOUR, observed, step};
use crate::log_support::*;

/// [L4] [L50] to [L63] A log in memory whose replies are lost: whoever asks again gets where a log goes that answers.
#[tokio::test]
async fn a_memory_log_that_loses_replies_follows_one_that_does_not() {
    let (_, random) = seeded();
    let now_ms = Arc::new(AtomicU64::new(1_000));
    let ((log, faults), (model, _)) =
        (MemoryLog::with_clock(clock(&now_ms)), MemoryLog::with_clock(clock(&now_ms)));
    let mut author = Author::new(random);
    for index in 0..5_000 {
        match author.random.random_range(0..20) {
            0 => faults.lose_change_reply(0),
            1 => faults.lose_replies(1),
            2 => faults.fail_change(0, LogError::Full("full".to_owned())),
            _ => {}
        }
        step(&log, &model, &mut author, &now_ms).await;
        if index % 10 == 0 {
            assert_eq!(observed(&log).await, observed(&model).await);
        }
    }
    author.check_answers();
}

/// [L4] [L31] [L38] [L50] to [L63] An embedded log on a disk that fails now and then, closed and opened again, with slices of
/// two entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_log_follows_a_memory_log() {
    let (_, random) = seeded();
    let now_ms = Arc::new(AtomicU64::new(1_000));
    let dir = tempfile::tempdir().unwrap();
    let (fuse, disk) = fuse();
    let options = Options {
        clock: clock(&now_ms),
        disk: Some(disk),
        free_entries: 2,
        journal_bytes: 16 << 10, // so small that it is moved for want of space too
        journal_idle: Duration::from_millis(5),
        ..Options::default()
    };
    let mut log = EmbeddedLog::open_with(dir.path(), InstanceId(0), options.clone()).unwrap();
    let (model, _) = MemoryLog::with_clock(clock(&now_ms));
    let mut author = Author::new(random);
    for index in 0..1_500 {
        if author.random.random_bool(0.02) {
            fuse.store(author.random.random_range(0..30), Ordering::SeqCst);
        }
        step(&log, &model, &mut author, &now_ms).await;
        if author.random.random_bool(0.01) {
            fuse.store(u64::MAX, Ordering::SeqCst);
            log.close().await;
            drop(log);
            log = EmbeddedLog::open_with(dir.path(), InstanceId(0), options.clone()).unwrap();
            // What was not adopted went with the process; in the model it goes with the hour.
            now_ms.fetch_add(HOUR, Ordering::SeqCst);
            assert_eq!(observed(&log).await, observed(&model).await);
        }
        if index % 10 == 0 {
            assert_eq!(observed(&log).await, observed(&model).await);
        }
    }
    author.check_answers();
}
