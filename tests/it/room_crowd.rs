//! Rooms with many people.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ruang::limits::{ROUND_APPEND_MS, ROUND_SESSIONS_MIN};
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::log::record::StoredRecord;
use tokio::time::{Instant, sleep};

use super::harness::Server;

/// [L97] Where fan-out goes in rounds, edits that come soon after each other are stored together: there are no more batches
/// than pauses between them. All are stored, acked and shown, the last one too, behind which nothing comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_stores_in_few_batches() {
    const EDITS: usize = 300;
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let server = Server::start(Arc::clone(&log)).await;
    let mut crowd = join_all((0..ROUND_SESSIONS_MIN).map(|_| server.join("r"))).await;
    let mut author = server.join_for_acks("r").await;
    let began = Instant::now();
    for n in 0..EDITS {
        author.set(&format!("k{n}"), "v").await;
        sleep(Duration::from_micros(500)).await;
    }
    author.until("all acks", |author| author.acked > EDITS as u64).await;
    let took = began.elapsed();
    for client in &mut crowd[..3] {
        client.until_set(&format!("k{}", EDITS - 1), "v").await;
    }
    let records = log.read(&"r".parse().unwrap(), 0, EDITS + 10).await.unwrap();
    assert_eq!(records.len(), EDITS + 1, "genesis and all edits");
    let batches: HashSet<u64> = records
        .iter()
        .map(|stored| match stored {
            StoredRecord::Intact { record, .. } => record.metadata().unwrap().batch,
            StoredRecord::Damaged { .. } => panic!("{stored:?}"),
        })
        .collect();
    println!("{EDITS} edits in {} ms made {} batches", took.as_millis(), batches.len());
    let pauses = took.as_millis() / u128::from(ROUND_APPEND_MS);
    assert!(batches.len() as u128 <= pauses + 3, "{} batches in {took:?}", batches.len());
    server.stop().await;
}
