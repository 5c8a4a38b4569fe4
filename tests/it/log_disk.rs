//! Disks that fail, fill up or hang under an embedded store.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, TableDefinition};
use ruang::ids::InstanceId;
use ruang::log::embedded::{DiskHook, DiskOperation, EmbeddedLog, OpenError, Options};
use ruang::log::{Appended, Log, LogError};

use crate::log_support::*;

pub fn open_hooked(dir: &Path, hook: DiskHook) -> Result<EmbeddedLog, OpenError> {
    let clock = clock(&Arc::new(AtomicU64::new(1_000)));
    // A journal of this size is made quickly, and never full in most tests.
    let options = Options { clock, disk: Some(hook), journal_bytes: 256 << 10, ..Options::default() };
    EmbeddedLog::open_with(dir, InstanceId(0), options)
}

/// The same with a journal that holds one batch, and is moved at once: everything is in
/// motion.
pub fn open_restless(dir: &Path, hook: DiskHook) -> Result<EmbeddedLog, OpenError> {
    let options = Options {
        clock: clock(&Arc::new(AtomicU64::new(1_000))),
        disk: Some(hook),
        journal_bytes: 4_500,
        journal_idle: Duration::from_millis(3),
        ..Options::default()
    };
    EmbeddedLog::open_with(dir, InstanceId(0), options)
}

/// Appends as a room does: the same batch again until the answer is final. Checks that an answer
/// which says "nothing was stored" was true.
async fn append_until_stored(log: &EmbeddedLog, name: &str, number: u64, text: &str) -> Appended {
    let (name, mut in_doubt) = (room(name), false);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match log.append(&name, batch(&name, 1, number, &[text, text])).await {
            Ok(answer) => {
                assert!(in_doubt || !answer.duplicate, "it was stored, and the answer said it was not");
                return answer;
            }
            Err(LogError::Unknown(_)) => in_doubt = true,
            // This call stored nothing; an earlier one may have.
            Err(LogError::Full(_) | LogError::Unavailable(_)) => {}
            Err(error @ (LogError::Fatal(_) | LogError::Moved(_))) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// [L36] Appends are answered after the sync that covers them, never before.
#[tokio::test]
async fn ok_comes_after_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let hold = Arc::new(AtomicBool::new(false));
    let log = Arc::new(open_hooked(dir.path(), holding(&hold)).unwrap());
    for number in 1..=3 {
        hold.store(true, Ordering::SeqCst);
        let task = tokio::spawn({
            let log = Arc::clone(&log);
            async move { append(&*log, &room("a"), 1, number, &["x"]).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!task.is_finished());
        // Nor do readers see it.
        assert_eq!(texts(&*log, &room("a")).await.len() as u64, number - 1);
        hold.store(false, Ordering::SeqCst);
        task.await.unwrap();
    }
}

/// Syncs wait while it is set.
fn holding(hold: &Arc<AtomicBool>) -> DiskHook {
    let hold = Arc::clone(hold);
    Arc::new(move |operation| {
        while operation.is_sync() && hold.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    })
}

/// [L37] What arrives during a commit shares the next one: 200 rooms, a handful of syncs. A batch
/// in it that is refused, or whose room is damaged, does not spoil the others.
#[tokio::test]
async fn waiting_appends_share_one_commit() {
    const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    append(&log, &room("late"), 1, 9, &["x"]).await;
    append(&log, &room("damaged"), 1, 1, &["x"]).await;
    drop(log);
    {
        let database = Database::open(dir.path().join("log.redb")).unwrap();
        let meta = database.begin_read().unwrap().open_table(ROOMS).unwrap();
        let mut meta = meta.get("damaged").unwrap().unwrap().value().to_vec();
        meta[9] ^= 1;
        let transaction = database.begin_write().unwrap();
        transaction.open_table(ROOMS).unwrap().insert("damaged", meta.as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    let (hold, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (holding, counted) = (holding(&hold), Arc::clone(&syncs));
    let hook: DiskHook = Arc::new(move |operation| {
        counted.fetch_add(usize::from(operation.is_sync()), Ordering::SeqCst);
        holding(operation)
    });
    let log = Arc::new(open_hooked(dir.path(), hook).unwrap());
    let before = syncs.load(Ordering::SeqCst);
    hold.store(true, Ordering::SeqCst);
    let names =
        (0..200).map(|index| format!("room {index}")).chain(["late".to_owned(), "damaged".to_owned()]);
    let tasks = names.map(|name| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.append(&room(&name), batch(&room(&name), 1, 2, &["x"])).await })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    hold.store(false, Ordering::SeqCst);
    let mut fatal = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(answer) => assert!(!answer.duplicate),
            Err(LogError::Fatal(_)) => fatal += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(fatal, 2);
    let syncs = syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= 8, "{syncs} syncs for 200 appends");
    assert!(matches!(log.open(&room("damaged")).await, Err(LogError::Fatal(_))));
    assert_eq!(log.health().await, Ok(()));
}

/// [L37] Appends and changes that come in turns share commits all the same, and none waits for ever: thousands in the
/// queue at once.
#[tokio::test]
async fn waiting_changes_share_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (hold, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (holding, counted) = (holding(&hold), Arc::clone(&syncs));
    let hook: DiskHook = Arc::new(move |operation| {
        counted.fetch_add(usize::from(operation.is_sync()), Ordering::SeqCst);
        holding(operation)
    });
    let log = Arc::new(open_hooked(dir.path(), hook).unwrap());
    append(&*log, &room("a"), 1, 1, &["x"]).await;
    let before = syncs.load(Ordering::SeqCst);
    hold.store(true, Ordering::SeqCst);
    let mut tasks = Vec::new();
    for index in 0..2_000 {
        let one = Arc::clone(&log);
        tasks.push(tokio::spawn(async move {
            append(&*one, &room(&format!("room {index}")), 1, 1, &["x"]).await;
        }));
        let one = Arc::clone(&log);
        tasks.push(tokio::spawn(async move { one.touch(&room("a"), Some(index)).await.unwrap() }));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    hold.store(false, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    let syncs = syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= 40, "{syncs} syncs for 2,000 appends and 2,000 changes");
    assert_eq!(log.open(&room("a")).await.unwrap().unwrap().deadline_ms, Some(1_000 + 1_999));
}

/// [L38] Any single operation on the file may fail, in whatever way: the store opens the file again
/// by itself, answers truthfully, and nothing is lost or stored twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_operation_may_fail() {
    for (kind, length) in
        [(io::ErrorKind::Other, 1), (io::ErrorKind::StorageFull, 1), (io::ErrorKind::Other, 7)]
    {
        for open in [open_hooked, open_restless] {
            let mut nth = 0;
            loop {
                nth += 1;
                if !fail_operation(open, nth, length, kind).await {
                    break;
                }
            }
            println!("{kind:?}, {length} in a row: {nth} operations");
            assert!(nth > 9, "only {nth} operations");
        }
    }
}

type Open = fn(&Path, DiskHook) -> Result<EmbeddedLog, OpenError>;

/// Runs a few appends while operations `nth .. nth + length` fail. False if there were fewer.
async fn fail_operation(open: Open, nth: usize, length: usize, kind: io::ErrorKind) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let count = Arc::new(AtomicUsize::new(usize::MAX));
    let counter = Arc::clone(&count);
    let hook: DiskHook = Arc::new(move |_| match counter.load(Ordering::SeqCst) {
        usize::MAX => Ok(()), // not armed
        _ => {
            let now = counter.fetch_add(1, Ordering::SeqCst) + 1;
            if (nth..nth + length).contains(&now) { Err(kind.into()) } else { Ok(()) }
        }
    });
    let log = open(dir.path(), hook).unwrap();
    count.store(0, Ordering::SeqCst);
    for (number, text) in (1..).zip(["one", "two", "three"]) {
        append_until_stored(&log, "a", number, text).await;
    }
    let expected = ["one", "one", "two", "two", "three", "three"];
    let page = loop {
        match log.read(&room("a"), 0, 100).await {
            Ok(page) => break page,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await, // it was this read that failed
        }
    };
    assert_eq!(page[1..].iter().map(text).collect::<Vec<_>>(), expected, "operation {nth}");
    until_healthy(&log).await;
    let failed = count.load(Ordering::SeqCst) >= nth;
    count.store(usize::MAX, Ordering::SeqCst);
    drop(log);
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    assert_eq!(texts(&log, &room("a")).await, expected, "operation {nth}, opened again");
    failed
}

async fn until_healthy(log: &dyn Log) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = log.health().await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// [L38] A read that fails is told, and the file is opened again for those that come later, also if
/// many met the failure at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_recover_from_a_failing_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    for index in 0..300 {
        append(&log, &room(&format!("room {index}")), 1, 1, &["x".repeat(20_000)]).await;
    }
    drop(log);
    let fails = Arc::new(AtomicBool::new(false));
    let hook: DiskHook = Arc::new({
        let fails = Arc::clone(&fails);
        move |operation| match operation {
            DiskOperation::Read { .. } if fails.load(Ordering::SeqCst) => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        }
    });
    // Most pages must come from the disk.
    let options = Options { disk: Some(hook), cache_bytes: 1 << 20, ..Options::default() };
    let log = Arc::new(EmbeddedLog::open_with(dir.path(), InstanceId(0), options).unwrap());
    fails.store(true, Ordering::SeqCst);
    let tasks = (0..50).map(|index| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.read(&room(&format!("room {index}")), 0, 10).await })
    });
    let mut failed = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(page) => assert_eq!(page.len(), 2), // it was in the cache
            Err(LogError::Unavailable(_)) => failed += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(failed > 10, "only {failed} failed");
    fails.store(false, Ordering::SeqCst);
    until_healthy(&*log).await;
    for index in 0..300 {
        assert_eq!(texts(&*log, &room(&format!("room {index}"))).await.len(), 1);
    }
    append_until_stored(&log, "room 0", 2, "on").await;
}

/// [L39] A full disk: appends are refused as "full" and leave nothing; reads go on; when there is
/// space again, the store says so and takes appends, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_survived_without_a_restart() {
    fill_disk(|operation, used| match operation {
        DiskOperation::Write { offset, .. } => offset >= used,
        DiskOperation::SetLen(len) => len > used,
        _ => false, // the journal has its space
    })
    .await;
}

/// [L39] The same where not even a byte that is there can be written again, as on file systems that
/// copy on write. Reads may have to wait there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_is_survived_without_a_restart() {
    fill_disk(|operation, _| {
        use DiskOperation::{JournalWrite, SetLen, Write};
        matches!(operation, Write { .. } | SetLen(_) | JournalWrite { .. })
    })
    .await;
}

/// Runs into a disk that refuses some operations, told how many bytes are in use, and out of it.
async fn fill_disk(refuses: fn(DiskOperation<'_>, u64) -> bool) {
    let (full, used) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let hook: DiskHook = Arc::new({
        let (full, used) = (Arc::clone(&full), Arc::clone(&used));
        move |operation| {
            let full = full.load(Ordering::SeqCst);
            if full && refuses(operation, used.load(Ordering::SeqCst)) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if let (false, DiskOperation::Write { offset, data }) = (full, operation) {
                used.fetch_max(offset + data.len() as u64, Ordering::SeqCst);
            }
            Ok(())
        }
    });
    let reads_go_on = !refuses(DiskOperation::Write { offset: 0, data: &[] }, 1);
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), hook).unwrap();
    let text = "x".repeat(20_000);
    append_until_stored(&log, "a", 1, &text).await;
    full.store(true, Ordering::SeqCst);
    let mut number = 2;
    while log.append(&room("a"), batch(&room("a"), 1, number, &[&text; 2])).await.is_ok() {
        number += 1; // free pages within the file
    }
    for _ in 0..20 {
        let refused = log.append(&room("a"), batch(&room("a"), 1, number, &[&text; 2])).await;
        assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
        assert!(matches!(log.health().await, Err(LogError::Full(_))) || !reads_go_on);
        if reads_go_on {
            assert_eq!(texts(&log, &room("a")).await.len() as u64, (number - 1) * 2);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    full.store(false, Ordering::SeqCst);
    until_healthy(&log).await;
    append_until_stored(&log, "a", number, "after").await;
    assert_eq!(log.health().await, Ok(()));
    let texts = texts(&log, &room("a")).await;
    assert_eq!(texts.len() as u64, number * 2);
    assert_eq!(texts[texts.len() - 2..], ["after", "after"]);
}

/// [L39] The same on a real file system of 32 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_really_full_disk_is_survived_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::tmpfs(dir.path(), "size=32m") else {
        println!("NOT RUN: this user may not mount a tmpfs; the simulated full disk ran");
        return;
    };
    let (store, ballast) = (dir.path().join("store"), dir.path().join("ballast"));
    fs::write(&ballast, vec![1; 12 << 20]).unwrap();
    let log = open_hooked(&store, Arc::new(|_| Ok(()))).unwrap();
    let text = "x".repeat(60_000);
    let mut number = 1;
    let refused = loop {
        match log.append(&room("a"), batch(&room("a"), 1, number, &[&text; 4])).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
        assert!(number < 1_000, "32 MiB hold more than 240");
    };
    assert!(matches!(refused, LogError::Full(_)), "{refused}");
    assert!(number > 10, "only {number} batches fit");
    for _ in 0..10 {
        let refused = log.append(&room("a"), batch(&room("a"), 1, number, &[&text; 4])).await;
        assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
        assert!(matches!(log.health().await, Err(LogError::Full(_))));
        assert_eq!(texts(&log, &room("a")).await.len() as u64, (number - 1) * 4);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fs::remove_file(&ballast).unwrap();
    append_until_stored(&log, "a", number, "after").await;
    append_until_stored(&log, "a", number + 1, "and on").await;
    drop(log);
    let log = open_hooked(&store, Arc::new(|_| Ok(()))).unwrap();
    let texts = texts(&log, &room("a")).await;
    assert_eq!(texts.len() as u64, (number - 1) * 4 + 4);
    assert_eq!(texts[texts.len() - 3..], ["after", "and on", "and on"]);
}
