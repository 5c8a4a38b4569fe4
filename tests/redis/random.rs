//! Random histories of everything that the contract has, on a Redis that fails now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;
use ruang::log::memory::MemoryLog;
use ruang::log::redis::{RedisLog, RedisOptions};
use ruang::log::{Durability, Log};

use crate::log_author::{Author, HOUR, observed, step};
use crate::log_support::{clock, seeded};
use crate::rig::single::{FSYNC, Single};

/// [L4] [L31] [L50] to [L63] [L85] [L88] A log on Redis whose connections are cut, whose scripts are forgotten, and whose
/// server is killed and started again, follows a log in memory to which nothing happens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_log_follows_a_memory_log() {
    let (_, random) = seeded();
    let now_ms = Arc::new(AtomicU64::new(1_000));
    let mut server = Single::start(FSYNC);
    let options = RedisOptions { clock: Some(clock(&now_ms)), ..RedisOptions::default() };
    let open = async |server: &Single| server.try_log(options.clone()).await.unwrap();
    let mut log: RedisLog = open(&server).await;
    assert_eq!(log.durability(), Durability::Fsync);
    let (model, _) = MemoryLog::with_clock(clock(&now_ms));
    let mut author = Author::new(random);
    for index in 0..1_500 {
        match author.random.random_range(0..200) {
            0 => server.restart(),
            1..3 => drop(server.ask::<u64>(&["CLIENT", "KILL", "TYPE", "normal"])),
            3..6 => drop(server.ask::<String>(&["SCRIPT", "FLUSH"])),
            6..8 => {
                log.close().await;
                log = open(&server).await;
                // What was not adopted went with the process; in the model it goes with the hour.
                now_ms.fetch_add(HOUR, Ordering::SeqCst);
                assert_eq!(observed(&log).await, observed(&model).await);
            }
            _ => {}
        }
        step(&log, &model, &mut author, &now_ms).await;
        if index % 10 == 0 {
            assert_eq!(observed(&log).await, observed(&model).await);
        }
    }
    author.check_answers();
    assert_eq!(observed(&log).await, observed(&model).await);
}
