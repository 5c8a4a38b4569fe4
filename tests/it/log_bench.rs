//! Measurements of the embedded store, never run by themselves:
//! `cargo test --release --test log -- --ignored --nocapture measure_`
//! in the directory `RUANG_BENCH_DIR` if that is set (a `tmpfs` measures no disk).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ruang::ids::InstanceId;
use ruang::log::embedded::{DiskHook, EmbeddedLog, Options};
use ruang::log::record::{Record, StoredRecord};
use ruang::log::{Batch, Log};
use tempfile::TempDir;

use crate::log_support::*;

const UPDATE_BYTES: usize = 100;
const SECONDS: Duration = Duration::from_secs(3);

fn bench_dir() -> TempDir {
    std::env::var_os("RUANG_BENCH_DIR")
        .map_or_else(|| tempfile::tempdir().unwrap(), |dir| TempDir::new_in(dir).unwrap())
}

fn open_counting(dir: &Path, quick: bool) -> (Arc<EmbeddedLog>, Arc<AtomicU64>) {
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&syncs);
    let hook: DiskHook = Arc::new(move |operation| {
        counted.fetch_add(u64::from(operation.is_sync()), Ordering::Relaxed);
        Ok(())
    });
    let quick_repair_bytes = if quick { 0 } else { u64::MAX };
    let options = Options { disk: Some(hook), quick_repair_bytes, ..Options::default() };
    (Arc::new(EmbeddedLog::open_with(dir, InstanceId(1), options).unwrap()), syncs)
}

fn prepared(name: &str, records: usize) -> Batch {
    Batch { records: vec![record(&[7; UPDATE_BYTES]); records], ..batch(&room(name), 1, 1, &["x"]) }
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

fn raw_sync(dir: &Path, bytes: usize, grow: bool) {
    let file = File::create(dir.join("raw")).unwrap();
    let data = vec![7; bytes];
    file.write_all_at(&vec![0; 64 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let (mut times, start, mut offset) = (Vec::new(), Instant::now(), if grow { 64 << 20 } else { 0 });
    while start.elapsed() < Duration::from_secs(2) {
        let before = Instant::now();
        file.write_all_at(&data, offset).unwrap();
        file.sync_data().unwrap();
        times.push(before.elapsed());
        offset += bytes as u64;
        if !grow {
            offset %= 60 << 20;
        }
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    let (median, tail) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!("fdatasync, {bytes} B, growing {grow}: {rate:.0}/s, p50 {median:.3} ms, p99 {tail:.3} ms");
}

/// Every room appends its next batch as soon as the last one is answered.
async fn appends(rooms: usize, records: usize, quick: bool) {
    let dir = bench_dir();
    let (log, syncs) = open_counting(dir.path(), quick);
    let tasks = (0..rooms).map(|index| {
        let (log, name) = (Arc::clone(&log), format!("room {index}"));
        tokio::spawn(async move {
            let (mut batch, mut times) = (prepared(&name, records), Vec::new());
            let (name, start) = (room(&name), Instant::now());
            while start.elapsed() < SECONDS {
                let before = Instant::now();
                log.append(&name, batch.clone()).await.unwrap();
                times.push(before.elapsed());
                batch.number += 1;
            }
            times
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let (count, seconds) = (times.len(), SECONDS.as_secs_f64());
    let syncs = syncs.load(Ordering::Relaxed);
    println!(
        "{rooms} rooms, batch {records}, quick repair {quick}: {:.0} updates/s, {:.0} batches/s, {:.0} syncs/s, \
         p50 {:.2} ms, p99 {:.2} ms, {} B on disk per update",
        (count * records) as f64 / seconds,
        count as f64 / seconds,
        syncs as f64 / seconds,
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        fs::metadata(dir.path().join("log.redb")).unwrap().len() / (count * records) as u64,
    );
}

async fn load(quick: bool) {
    let dir = bench_dir();
    let (log, _) = open_counting(dir.path(), quick);
    for number in 1..=400 {
        let batch = Batch { number, ..prepared("cold", 50) };
        log.append(&room("cold"), batch).await.unwrap();
    }
    let mut number = 0;
    while fs::metadata(dir.path().join("log.redb")).unwrap().len() < 200 << 20 {
        number += 1;
        let batch = Batch { number, ..prepared("filler", 256) };
        log.append(&room("filler"), batch).await.unwrap();
    }
    let copy = bench_dir();
    for name in ["FORMAT", "log.redb", "journal-0", "journal-1"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    drop(log);
    for (how, dir) in [("closed", &dir), ("killed", &copy)] {
        let before = Instant::now();
        let (log, _) = open_counting(dir.path(), quick);
        let opened = before.elapsed();
        let before = Instant::now();
        let records = log.read(&room("cold"), 0, 100_000).await.unwrap();
        let cold = before.elapsed();
        let (mut again, mut decode) = (Duration::MAX, Duration::MAX);
        for _ in 0..20 {
            let before = Instant::now();
            let records = log.read(&room("cold"), 0, 100_000).await.unwrap();
            again = again.min(before.elapsed());
            let before = Instant::now();
            for record in &records {
                let StoredRecord::Intact { record, .. } = record else { panic!() };
                Record::decode(record.encoded.clone()).unwrap();
            }
            decode = decode.min(before.elapsed());
        }
        println!(
            "quick repair {quick}, {how}: opened {} MiB in {opened:.2?}; read {} records in {cold:.2?}, \
             again in {again:.2?}, of that checking {decode:.2?}",
            fs::metadata(dir.path().join("log.redb")).unwrap().len() >> 20,
            records.len(),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_appends() {
    let dir = bench_dir();
    for (bytes, grow) in [(4_096, false), (4_096, true), (65_536, false), (65_536, true)] {
        raw_sync(dir.path(), bytes, grow);
    }
    for quick in [false, true] {
        for (rooms, records) in [(1, 1), (1, 16), (1, 64), (1, 256), (64, 1), (64, 16), (1_000, 1)] {
            appends(rooms, records, quick).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_loads() {
    for quick in [false, true] {
        load(quick).await;
    }
}
