//! The embedded store after its process was killed, the power cut, or an operation failed, at any moment of what is no
//! append: snapshots, trims, rooms that go and come back, between appends that only the journal has. What should be there is what a log in memory shows after the same steps.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::Rng;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use ruang::ids::InstanceId;
use ruang::log::embedded::{DiskHook, DiskOperation, EmbeddedLog, OpenError, Options};
use ruang::log::memory::MemoryLog;
use ruang::log::record::StoredRecord;
use ruang::log::{Adoption, Log, LogError, UploadId};

use crate::log_crash::{Forgetful, Image};
use crate::log_support::*;

const STEPS: u64 = 24;

/// One call of the story of three rooms.
async fn step(log: &dyn Log, step: u64) -> Result<(), LogError> {
    let (a, b, c) = (&room("a"), &room("b"), &room("c"));
    let appended =
        async |name, number, texts: &[&str]| log.append(name, batch(name, 1, number, texts)).await.map(drop);
    let put = async |upload, index, text: &'static str| {
        log.put_chunk(a, UploadId(upload), index, text.into()).await
    };
    let adopted = async |upload, revision, through, chunks, bytes, drop: &[u64]| {
        let (upload, through, drop) = (UploadId(upload), at(through, 1_000), drop.to_vec());
        let adoption = Adoption { upload, revision, through, log_bytes: 9, chunks, bytes, drop };
        log.adopt(a, adoption).await.map(|_| ())
    };
    match step {
        0 => appended(a, 1, &["one", "two", "three", "four"]).await,
        1 => appended(b, 1, &["bee"; 3]).await,
        2 => appended(a, 2, &["five", "six", "seven", "eight"]).await,
        3 => put(1, 0, "left").await,
        4 => put(1, 1, "right").await,
        5 => adopted(1, 0, 5, 2, 9, &[]).await,
        6 => log.trim(a, 4).await.map(drop),
        7 => log.touch(a, Some(100)).await,
        8 => appended(a, 3, &["nine"]).await,
        9 => put(2, 0, "lost").await,
        10 => adopted(2, 0, 6, 1, 4, &[]).await, // somebody else was first
        11 => put(3, 0, "second").await,
        12 => adopted(3, 1, 9, 1, 6, &[]).await,
        13 => put(4, 0, "third").await,
        14 => adopted(4, 2, 10, 1, 5, &[1, 2]).await,
        15 => log.trim(a, 100).await.map(drop),
        16 => put(9, 0, "never adopted").await,
        17 => log.freeze(b, true).await.map(drop),
        18 => log.delete(a).await.map(drop),
        19 => appended(a, 1, &["anew"; 3]).await,
        20 => log.touch(b, Some(0)).await,
        21 => log.expire(b, 1_000).await.map(drop),
        22 => appended(b, 4, &["bee again"]).await,
        23 => log.delete(c).await.map(drop),
        _ => unreachable!("the story has {STEPS} steps"),
    }
}

/// Everything that the contract shows of a log.
async fn observe(log: &dyn Log) -> Result<String, LogError> {
    let mut seen = format!("{:?}", log.rooms(None, 10).await?);
    for name in ["a", "b", "c"].map(room) {
        let head = log.open(&name).await?;
        seen += &format!("\n{name:?} {head:?} {:?}", log.tombstone(&name).await?);
        let snapshots = head.map_or(Vec::new(), |head| head.snapshots);
        for snapshot in snapshots {
            for index in 0..snapshot.chunks {
                seen += &format!(" {:?}", log.chunk(&name, snapshot.upload, index).await?);
            }
        }
        for record in log.read(&name, 0, 100).await? {
            let StoredRecord::Intact { position, record } = record else { panic!("{record:?}") };
            seen += &format!(" {position} {:x}", crc32c::crc32c(&record.encoded));
        }
    }
    Ok(seen)
}

/// What is seen before the first step and after each.
async fn expected() -> Vec<String> {
    let (log, _) = MemoryLog::with_clock(clock(&Arc::new(AtomicU64::new(1_000))));
    let mut seen = vec![observe(&log).await.unwrap()];
    for index in 0..STEPS {
        step(&log, index).await.unwrap();
        seen.push(observe(&log).await.unwrap());
    }
    seen
}

/// How a store is opened in these tests.
#[derive(Clone, Copy, Default)]
struct Setting {
    /// So that it repairs quickly after an end.
    quick: bool,
    /// The journal has room for one or two batches and is moved all the time; else only when something asks for it.
    moves: bool,
}

const SETTINGS: [Setting; 3] = [
    Setting { quick: false, moves: false },
    Setting { quick: true, moves: false },
    Setting { quick: false, moves: true },
];

fn open(dir: &Path, setting: Setting, hook: Option<DiskHook>) -> EmbeddedLog {
    try_open(dir, setting, hook).unwrap()
}

fn try_open(dir: &Path, setting: Setting, hook: Option<DiskHook>) -> Result<EmbeddedLog, OpenError> {
    let options = Options {
        clock: clock(&Arc::new(AtomicU64::new(1_000))),
        disk: hook,
        quick_repair_bytes: if setting.quick { 0 } else { u64::MAX },
        free_entries: 2, // so that all that goes goes in several slices
        journal_bytes: if setting.moves { 5_500 } else { 16 << 10 },
        journal_idle: Duration::from_millis(if setting.moves { 3 } else { 3_600_000 }),
        ..Options::default()
    };
    EmbeddedLog::open_with(dir, InstanceId(0), options)
}

/// How many entries each table has.
fn count_entries(dir: &Path) -> BTreeMap<&'static str, u64> {
    const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
    const LOG: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("log");
    const CHUNKS: TableDefinition<'_, (u64, u64, u32), &[u8]> = TableDefinition::new("chunks");
    const UPLOADS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("uploads");
    const REMOVALS: TableDefinition<'_, (u64, u8, u64), u32> = TableDefinition::new("removals");
    let database = Database::open(dir.join("log.redb")).unwrap();
    let tables = database.begin_read().unwrap();
    BTreeMap::from([
        ("rooms", tables.open_table(ROOMS).unwrap().len().unwrap()),
        ("log", tables.open_table(LOG).unwrap().iter().unwrap().count() as u64),
        ("chunks", tables.open_table(CHUNKS).unwrap().iter().unwrap().count() as u64),
        ("uploads", tables.open_table(UPLOADS).unwrap().len().unwrap()),
        ("removals", tables.open_table(REMOVALS).unwrap().len().unwrap()),
    ])
}

/// Waits until everything that is to go is freed, and checks that nothing is left of what nobody can see.
async fn check_nothing_leaks(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let log = open(dir, Setting::default(), None);
        let mut expected =
            BTreeMap::from([("rooms", 0), ("log", 0), ("chunks", 0), ("uploads", 0), ("removals", 0)]);
        for name in log.rooms(None, 10).await.unwrap() {
            let head = log.open(&name).await.unwrap().unwrap();
            *expected.get_mut("rooms").unwrap() += 1;
            // A room that was trimmed keeps its first record, unseen.
            *expected.get_mut("log").unwrap() += head.last.seq - head.base + u64::from(head.base > 0);
            let chunks: u32 = head.snapshots.iter().map(|snapshot| snapshot.chunks).sum();
            *expected.get_mut("chunks").unwrap() += u64::from(chunks);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        log.close().await;
        drop(log);
        let found = count_entries(dir);
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "there is {found:?}, and there should be {expected:?}");
    }
}

/// Opens an image: all that was answered is so, the step under way is done or not; `leaks`: what is to go
/// goes, and appends go on.
async fn check(format: &Path, image: &Image, expected: &[String], leaks: bool) {
    let dir = image.unpack(format);
    let log = open(dir.path(), Setting::default(), None);
    let seen = observe(&log).await.unwrap();
    let (from, to) = (image.answered, (image.answered_after + 1).min(STEPS));
    let may = &expected[usize::try_from(from).unwrap()..=usize::try_from(to).unwrap()];
    assert!(may.contains(&seen), "after {from} steps:\n{seen}\nexpected\n{}", may.join("\nor\n"));
    if !leaks {
        return;
    }
    drop(log);
    check_nothing_leaks(dir.path()).await;
    let log = open(dir.path(), Setting::default(), None);
    assert_eq!(observe(&log).await.unwrap(), seen, "after what was to go is freed");
    append(&log, &room("a"), 2, 1, &["on"]).await;
}

async fn check_all(dir: &Path, images: &[Image]) {
    assert!(images.len() > 100, "only {} images", images.len());
    let expected = expected().await;
    for (index, image) in images.iter().enumerate() {
        // Every fourth is followed to the end: it takes several openings.
        check(&dir.join("FORMAT"), image, &expected, index % 4 == 0).await;
    }
    println!("{} images opened", images.len());
}

/// Plays the story on a disk that notes images, and gives what is on it nothing else to do in the end.
async fn play(dir: &Path, setting: Setting, answered: &AtomicU64, hook: DiskHook) {
    let log = open(dir, setting, Some(hook));
    for index in 0..STEPS {
        step(&log, index).await.unwrap();
        answered.store(index + 1, Ordering::SeqCst);
        if index % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await; // some of what is to go, not all
        }
    }
    log.close().await;
}

/// [L65] Killed before any operation on the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_changes_whole_and_leaks_nothing() {
    for setting in SETTINGS {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), setting, None));
        let (answered, images) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let path = dir.path().to_path_buf();
        let hook: DiskHook = {
            let (answered, images) = (Arc::clone(&answered), Arc::clone(&images));
            Arc::new(move |operation| {
                // Only who may write the database can copy what a kill would leave: the thread that moves, or the
                // writing thread while that does nothing.
                let moving = std::thread::current().name() == Some("ruang-log-move");
                let journal = matches!(
                    operation,
                    DiskOperation::JournalRead { .. }
                        | DiskOperation::JournalWrite { .. }
                        | DiskOperation::JournalSync { .. }
                        | DiskOperation::JournalDirectorySync { .. }
                );
                if moving || !journal || !setting.moves {
                    images.lock().push(Image::of(&path, &answered)?);
                }
                Ok(())
            })
        };
        play(dir.path(), setting, &answered, hook).await;
        let mut images = std::mem::take(&mut *images.lock());
        images.dedup();
        check_all(dir.path(), &images).await;
    }
}

/// [L65] The power cut before any operation, whatever the disk made of what was not synced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_leaves_changes_whole_and_leaks_nothing() {
    for setting in SETTINGS {
        let (seed, _) = seeded();
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), setting, None));
        let disk = Arc::new(Mutex::new(Forgetful::new(seed, dir.path(), (0.7, 0.7))));
        let answered = Arc::new(AtomicU64::new(0));
        let hook: DiskHook = {
            let (disk, answered) = (Arc::clone(&disk), Arc::clone(&answered));
            Arc::new(move |operation| {
                disk.lock().before(operation, answered.load(Ordering::SeqCst));
                Ok(())
            })
        };
        play(dir.path(), setting, &answered, hook).await;
        let images = std::mem::take(&mut disk.lock().images);
        check_all(dir.path(), &images).await;
    }
}

/// [L66] Any operation on the file may fail, in whatever way: each answer is true, each step is repeated until it is done,
/// uploads live on, and in the end all is as if nothing had failed. Each run looks at every fifth operation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_operation_of_a_change_may_fail() {
    let (_, mut random) = seeded();
    let expected = expected().await;
    for (kind, length, stride) in
        [(io::ErrorKind::Other, 1, 5), (io::ErrorKind::StorageFull, 1, 11), (io::ErrorKind::Other, 7, 11)]
    {
        for moves in [false, true] {
            let setting = Setting { quick: false, moves };
            let mut nth = random.random_range(1..=stride);
            while fail_operation(setting, nth, length, kind, &expected).await {
                nth += stride;
            }
            assert!(nth > 50, "only {nth} operations");
        }
    }
}

/// Plays the story while operations `nth .. nth + length` fail. False if there were fewer.
async fn fail_operation(
    setting: Setting,
    nth: usize,
    length: usize,
    kind: io::ErrorKind,
    expected: &[String],
) -> bool {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), setting, None));
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let hook: DiskHook = Arc::new(move |_| {
        let now = counter.fetch_add(1, Ordering::SeqCst) + 1;
        if (nth..nth + length).contains(&now) { Err(kind.into()) } else { Ok(()) }
    });
    let Ok(log) = try_open(dir.path(), setting, Some(hook)) else {
        return true; // an opening that fails says so; log_directory.rs has more of it
    };
    for index in 0..STEPS {
        repeat(&log, index, &expected[usize::try_from(index).unwrap()..][..2]).await;
    }
    let failed = count.load(Ordering::SeqCst) >= nth;
    log.close().await;
    drop(log);
    check_nothing_leaks(dir.path()).await;
    let log = open(dir.path(), Setting::default(), None);
    assert_eq!(observe(&log).await.unwrap(), expected[usize::try_from(STEPS).unwrap()], "operation {nth}");
    failed
}

/// Takes one step until it is done; `expected`: before and after it.
async fn repeat(log: &dyn Log, index: u64, expected: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = step(log, index).await;
        let seen = loop {
            match observe(log).await {
                Ok(seen) => break seen,
                Err(error) => assert!(error.is_temporary() && Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        match answer {
            Ok(()) => return assert_eq!(seen, expected[1], "step {index}"),
            Err(LogError::Unknown(_)) => assert!(expected.contains(&seen), "step {index}: {seen}"),
            Err(error) => {
                assert!(error.is_temporary(), "step {index}: {error}");
                // An earlier try may have been done.
                assert!(expected.contains(&seen), "step {index}: {seen}");
            }
        }
        assert!(Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
