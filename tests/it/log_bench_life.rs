//! Measurements of rooms that go, never run by themselves; see `log_bench`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase};
use ruang::ids::InstanceId;
use ruang::log::embedded::{EmbeddedLog, Options};
use ruang::log::{Batch, Log, UploadId};
use tempfile::TempDir;

use crate::log_support::*;

fn bench_dir() -> TempDir {
    std::env::var_os("RUANG_BENCH_DIR")
        .map_or_else(|| tempfile::tempdir().unwrap(), |dir| TempDir::new_in(dir).unwrap())
}

fn file_len(dir: &Path) -> u64 {
    fs::metadata(dir.join("log.redb")).unwrap().len()
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

async fn fill(log: &EmbeddedLog, name: &str, batches: u64, records: usize) {
    let name = room(name);
    let instance = rand::random_range(1..u64::from(u32::MAX));
    let batch = Batch { records: vec![record(&[7; 100]); records], ..batch(&name, instance, 1, &["x"]) };
    for number in 1..=batches {
        log.append(&name, Batch { number, ..batch.clone() }).await.unwrap();
    }
}

/// Another room's appends, one after the other, until told to stop.
fn spawn_writer(log: &Arc<EmbeddedLog>, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<Duration>> {
    let (log, stop) = (Arc::clone(log), Arc::clone(stop));
    tokio::spawn(async move {
        let name = room(&format!("writer {}", rand::random::<u64>()));
        let (mut times, mut number) = (Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let batch = Batch { records: vec![record(&[7; 100])], ..batch(&name, 1, number, &["x"]) };
            let before = Instant::now();
            log.append(&name, batch).await.unwrap();
            times.push(before.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times
    })
}

async fn beside<T>(log: &Arc<EmbeddedLog>, what: &str, work: impl Future<Output = T>) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    let writer = spawn_writer(log, &stop);
    let before = Instant::now();
    let done = work.await;
    let took = before.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut times = writer.await.unwrap();
    println!(
        "{what}: {took:.1?}; another room's {} appends: p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms",
        times.len(),
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        percentile(&mut times, 100),
    );
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_trims() {
    let dir = bench_dir();
    let log = Arc::new(EmbeddedLog::open(dir.path(), InstanceId(1)).unwrap());
    fill(&log, "large", 80, 256).await;
    let half_second = tokio::time::sleep(Duration::from_millis(500));
    beside(&log, "nothing", half_second).await;
    let name = room("large");
    let head = log.open(&name).await.unwrap().unwrap();
    beside(&log, "a snapshot of 8 MiB", async {
        for index in 0..32 {
            log.put_chunk(&name, UploadId(1), index, vec![7; 256 << 10].into()).await.unwrap();
        }
        adopt(&*log, &name, UploadId(1), 0, head.last.seq, 32, 8 << 20).await.unwrap();
    })
    .await;
    beside(&log, "a trim of 20,481 records, and what follows", async {
        let before = Instant::now();
        log.trim(&name, u64::MAX).await.unwrap();
        println!("answered in {:.2?}", before.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    })
    .await;
    beside(&log, "a deletion, and what follows", async {
        let before = Instant::now();
        log.delete(&name).await.unwrap();
        println!("answered in {:.2?}", before.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    })
    .await;
}

/// 10,000 rooms of 40 records and a snapshot each, 50 at a time.
async fn make_rooms(log: &Arc<EmbeddedLog>) {
    let tasks = (0..50).map(|part| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            for index in 0..200 {
                let name = format!("room {}", part * 200 + index);
                fill(&log, &name, 1, 40).await;
                log.put_chunk(&room(&name), UploadId(1), 0, vec![7; 3_000].into()).await.unwrap();
                adopt(&*log, &room(&name), UploadId(1), 0, 41, 1, 3_000).await.unwrap();
                log.touch(&room(&name), Some(0)).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// All rooms that have a deadline, 50 at a time, but for one of so many.
async fn expire_rooms(log: &Arc<EmbeddedLog>, keep: usize) {
    let mut names = log.rooms(None, 20_000).await.unwrap();
    let mut index = 0;
    names.retain(|_| {
        index += 1;
        index % keep != 0
    });
    let tasks = names.chunks(200).map(|names| {
        let (log, names) = (Arc::clone(log), names.to_vec());
        tokio::spawn(async move {
            for name in names {
                let Some(deadline) = head(&*log, &name).await.deadline_ms else { continue };
                assert!(log.expire(&name, deadline).await.unwrap());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_rooms_that_come_and_go() {
    let dir = bench_dir();
    let options = Options { disk: None, ..Options::default() };
    let log = Arc::new(EmbeddedLog::open_with(dir.path(), InstanceId(1), options).unwrap());
    fill(&log, "stays", 1, 100).await;
    println!("baseline: {} KiB", file_len(dir.path()) >> 10);
    for round in 0..4 {
        let before = Instant::now();
        make_rooms(&log).await;
        let len = file_len(dir.path()) >> 10;
        println!("round {round}: 10,000 rooms made in {:.1?}: {len} KiB", before.elapsed());
        let before = Instant::now();
        // In the last round, every tenth room stays.
        expire_rooms(&log, if round == 3 { 10 } else { usize::MAX }).await;
        println!("expired in {:.1?}: {} KiB", before.elapsed(), file_len(dir.path()) >> 10);
        tokio::time::sleep(Duration::from_secs(4)).await;
        println!("4 s later: {} KiB", file_len(dir.path()) >> 10);
    }
    log.close().await;
    drop(log);
    println!("closed: {} KiB", file_len(dir.path()) >> 10);
    let mut database = Database::open(dir.path().join("log.redb")).unwrap();
    let before = Instant::now();
    let stats = database.begin_write().unwrap();
    println!("allocated pages {} in {:.2?}", stats.stats().unwrap().allocated_pages(), before.elapsed());
    stats.abort().unwrap();
    let before = Instant::now();
    let compacted = database.compact().unwrap();
    println!("compact said {compacted} in {:.2?}: {} KiB", before.elapsed(), file_len(dir.path()) >> 10);
    drop(database.begin_read().unwrap());
}
