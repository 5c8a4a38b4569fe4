//! The journal of the embedded store: what it must not lose, invent or hide.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redb::{Database, ReadableDatabase, TableDefinition};
use ruang::ids::InstanceId;
use ruang::log::embedded::{DiskHook, DiskOperation, EmbeddedLog, OpenError, Options};
use ruang::log::{Log, LogError};
use tempfile::TempDir;

use crate::log_disk::{open_hooked, open_restless};
use crate::log_support::*;

/// Where frames begin.
const FRAMES_AT: usize = 4_096;

fn open(dir: &Path) -> Result<EmbeddedLog, OpenError> {
    open_hooked(dir, Arc::new(|_| Ok(())))
}

/// A store whose journal is small and never moved by itself.
fn open_small(dir: &Path) -> EmbeddedLog {
    open_small_hooked(dir, None)
}

fn open_small_hooked(dir: &Path, disk: Option<DiskHook>) -> EmbeddedLog {
    let clock = clock(&Arc::new(AtomicU64::new(1_000)));
    let journal_idle = Duration::from_secs(3_600);
    let options = Options { clock, disk, journal_bytes: 8 << 10, journal_idle, ..Options::default() };
    EmbeddedLog::open_with(dir, InstanceId(0), options).unwrap()
}

/// What a kill leaves.
const KEPT: [&str; 4] = ["FORMAT", "journal-0", "journal-1", "log.redb"];

/// The directory as a kill would leave it now.
fn killed(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in KEPT {
        fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// The same once nothing is moved into the database any more: a copy of a file that is being written is none that a kill leaves.
fn killed_at_rest(dir: &Path) -> TempDir {
    let same = |a: &Path, b: &Path| {
        KEPT.iter().all(|name| fs::read(a.join(name)).unwrap() == fs::read(b.join(name)).unwrap())
    };
    let mut copy = killed(dir);
    loop {
        std::thread::sleep(Duration::from_millis(5));
        let again = killed(dir);
        if same(copy.path(), again.path()) {
            return copy;
        }
        copy = again;
    }
}

/// Three commits of three rooms that only the journal has, and a fourth one's that the database has.
async fn killed_with_three_commits() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = open_small(dir.path());
    append(&log, &room("old"), 1, 1, &["zero"]).await;
    drop(log);
    let log = open_small(dir.path());
    append(&log, &room("a"), 1, 1, &["one", "two"]).await;
    append(&log, &room("b"), 1, 1, &["three"]).await;
    append(&log, &room("c"), 1, 1, &["four", "five"]).await;
    killed(dir.path())
}

const EXPECTED: [(&str, &[&str]); 4] =
    [("old", &["zero"]), ("a", &["one", "two"]), ("b", &["three"]), ("c", &["four", "five"])];

/// What became of the store: everything there, something told as damaged, or refused. Panics if
/// something is gone or invented in silence.
async fn outcome(dir: &Path) -> &'static str {
    let log = match open(dir) {
        Ok(log) => log,
        Err(OpenError::Damaged { .. }) => return "refused",
        Err(error) => panic!("{error}"),
    };
    let mut told = false;
    for (name, expected) in EXPECTED {
        let all = read_all(&log, &room(name)).await;
        told |= kind(&all[0]).is_none(); // the genesis record
        let found: Vec<_> = all[1..].iter().map(text).collect();
        assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            told |= found == "!";
            assert!(found == expected || found == "!", "{name}: {found}");
        }
    }
    if told { "told" } else { "same" }
}

/// A copy of the store, with a file of its journal changed.
fn changed(dir: &Path, file: &str, bytes: &[u8]) -> TempDir {
    let copy = killed(dir);
    fs::write(copy.path().join(file), bytes).unwrap();
    copy
}

/// [L40] Every bit of a journal may turn, that of the last commit too: the store is refused, or the
/// record is told at its position, or nothing was hurt. Nothing that was answered goes in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flipped_bit_of_the_journal_goes_unnoticed() {
    let dir = killed_with_three_commits().await;
    let good = fs::read(dir.path().join("journal-0")).unwrap();
    let end = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(end > FRAMES_AT, "the journal has something");
    let (mut refused, mut told, mut same) = (0, 0, 0);
    // Each bit of the second half of a byte in turn, so that all positions within bytes are tried.
    for at in (0..32).chain(FRAMES_AT..end) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let copy = changed(dir.path(), "journal-0", &bytes);
        match outcome(copy.path()).await {
            "refused" => refused += 1,
            "told" => told += 1,
            _ => same += 1,
        }
    }
    println!("{refused} refused, {told} told by reads, {same} without effect");
    // Without effect: paddings, the mark of the last commit.
    assert!(refused > 200 && told > 100 && same < 80, "{refused} {told} {same}");
}

/// [L35] [L40] A journal that was cut off, at whatever length, or is gone, or is another one, is
/// refused.
#[tokio::test]
async fn a_truncated_journal_is_refused() {
    let dir = killed_with_three_commits().await;
    for file in ["journal-0", "journal-1"] {
        let good = fs::read(dir.path().join(file)).unwrap();
        for len in (0..good.len()).step_by(61).chain([good.len() - 1]) {
            let copy = changed(dir.path(), file, &good[..len]);
            assert_eq!(outcome(copy.path()).await, "refused", "{file} cut to {len}");
        }
        let copy = killed(dir.path());
        fs::remove_file(copy.path().join(file)).unwrap();
        assert_eq!(outcome(copy.path()).await, "refused", "{file} is gone");
        let copy = changed(dir.path(), file, &vec![7; good.len()]);
        assert_eq!(outcome(copy.path()).await, "refused", "{file} is overwritten");
    }
    let copy = killed(dir.path());
    fs::copy(dir.path().join("journal-0"), copy.path().join("journal-1")).unwrap();
    assert_eq!(outcome(copy.path()).await, "refused", "the same file twice");
    assert_eq!(outcome(dir.path()).await, "same");
}

/// [L31] [L42] A commit that was never finished, whatever part of it got to the disk, is no damage: the
/// store opens without it, and what is written next is not mixed up with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_commit_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_small(dir.path());
    append(&log, &room("a"), 1, 1, &["one"]).await;
    let before = fs::read(dir.path().join("journal-0")).unwrap();
    append(&log, &room("a"), 1, 2, &["two"]).await;
    let after = fs::read(dir.path().join("journal-0")).unwrap();
    let last = before.iter().rposition(|byte| *byte != 0).unwrap();
    let end = after.iter().rposition(|byte| *byte != 0).unwrap();
    // Without the mark behind it, which is written when the commit is finished.
    for cut in (last - 40..end - 32).step_by(3) {
        let mut bytes = before.clone();
        bytes[..cut].copy_from_slice(&after[..cut]);
        let copy = changed(dir.path(), "journal-0", &bytes);
        let log = open(copy.path()).unwrap();
        let found = texts(&log, &room("a")).await;
        assert!(found == ["one"] || found == ["one", "two"], "cut at {cut}: {found:?}");
        for number in 3..6 {
            append(&log, &room("a"), 1, number, &["on"]).await;
        }
        let copy = killed(copy.path());
        drop(log);
        let log = open(copy.path()).unwrap();
        let expected: Vec<_> = found.iter().map(String::as_str).chain(["on"; 3]).collect();
        assert_eq!(texts(&log, &room("a")).await, expected, "cut at {cut}");
    }
}

/// [L1] [L10] [L41] Readers see one log while everything moves: all that was answered, each record once,
/// no holes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_log_while_it_is_moved() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(open_restless(dir.path(), Arc::new(|_| Ok(()))).unwrap());
    let (answered, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let reader = tokio::spawn({
        let (log, answered, done) = (Arc::clone(&log), Arc::clone(&answered), Arc::clone(&done));
        async move {
            let mut looks = 0;
            while !done.load(Ordering::SeqCst) {
                let least = answered.load(Ordering::SeqCst);
                let head = log.open(&room("a")).await.unwrap().map_or(0, |head| head.last.seq);
                let page = log.read(&room("a"), 0, 10_000).await.unwrap();
                let names = log.rooms(None, 10).await.unwrap();
                assert!(head >= least && page.len() as u64 >= head, "{least} answered, head {head}");
                assert!(seqs(&page).into_iter().eq(1..=page.len() as u64));
                // The room may have been made between the two looks.
                assert!(names.len() == 1 || page.is_empty());
                looks += 1;
            }
            looks
        }
    });
    for number in 1..=300 {
        let answer = append(&*log, &room("a"), 1, number, &["x"]).await;
        answered.store(answer.last.seq, Ordering::SeqCst);
        // Some are repeated: retries are recognised wherever the batch stands.
        if number % 7 == 0 {
            let again = append(&*log, &room("a"), 1, number, &["x"]).await;
            assert!(again.duplicate && again.last == answer.last);
        }
    }
    done.store(true, Ordering::SeqCst);
    let looks = reader.await.unwrap();
    println!("{looks} looks while 300 batches were appended");
    assert!(looks > 10, "only {looks} looks");
}

/// [L34] [L44] A store of format 1 opens with everything in it and becomes one of format 2, which an older
/// ruang refuses.
#[tokio::test]
async fn a_store_of_format_1_becomes_format_2() {
    let dir = tempfile::tempdir().unwrap();
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores/v1-b");
    for name in ["FORMAT", "log.redb"] {
        fs::copy(golden.join(name), dir.path().join(name)).unwrap();
    }
    // An upgrade that was cut off leaves one file.
    fs::write(dir.path().join("journal-0"), b"half").unwrap();
    for round in 0..2 {
        let log = open(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("FORMAT")).unwrap(), "ruang store, format 2\n");
        assert_eq!(texts(&log, &room("a/b")).await, ["three"]);
        let expected: &[&str] =
            if round == 0 { &["one", "two", "four"] } else { &["one", "two", "four", "five"] };
        assert_eq!(texts(&log, &room("a")).await, expected);
        let number = 2 + round;
        assert!(append(&log, &room("a"), 1, number, &["four"]).await.duplicate);
        append(&log, &room("a"), 1, number + 1, &["five"]).await;
        assert_eq!(log.rooms(None, 10).await.unwrap(), [room("a"), room("a/b")]);
        log.close().await;
    }
}

/// [L38] A sync of the journal fails, and the disk has forgotten what it was to keep: what is answered
/// afterwards is there after a power cut all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_of_the_journal_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let hook: DiskHook = Arc::new({
        let (fails, path) = (Arc::clone(&fails), dir.path().join("journal-0"));
        move |operation| {
            if matches!(operation, DiskOperation::JournalSync { .. }) && fails.swap(false, Ordering::SeqCst) {
                // What was written since the last sync is gone, and the system calls it clean.
                let mut bytes = fs::read(&path)?;
                bytes[FRAMES_AT..].fill(0);
                fs::write(&path, bytes)?;
                return Err(std::io::ErrorKind::Other.into());
            }
            Ok(())
        }
    });
    let log = open_hooked(dir.path(), hook).unwrap();
    fails.store(true, Ordering::SeqCst);
    append(&log, &room("a"), 1, 1, &["one"]).await;
    assert!(!fails.load(Ordering::SeqCst), "no sync failed");
    append(&log, &room("a"), 1, 2, &["two"]).await;
    let copy = killed(dir.path());
    drop(log);
    assert_eq!(texts(&open(copy.path()).unwrap(), &room("a")).await, ["one", "two"]);
}

/// [L1] [L38] At a start each file of the journal is made anew and put into the place of the old one; then the directory does
/// not say that it has it. What is answered afterwards is there after a kill all the same, whichever file it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_place_is_not_sure_takes_no_frames() {
    for failing in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let log = open_small(dir.path());
        append(&log, &room("a"), 1, 1, &["text 1"]).await;
        drop(log);
        let fails = Arc::new(AtomicBool::new(true));
        let hook: DiskHook = Arc::new({
            let fails = Arc::clone(&fails);
            move |operation| {
                let placed = operation == DiskOperation::JournalDirectorySync { file: failing };
                if placed && fails.swap(false, Ordering::SeqCst) {
                    return Err(std::io::ErrorKind::Other.into());
                }
                Ok(())
            }
        });
        let log = open_small_hooked(dir.path(), Some(hook));
        assert!(!fails.load(Ordering::SeqCst), "the directory was not synced");
        let mut expected = vec!["text 1".to_owned()];
        for number in 2..=30 {
            expected.push(format!("text {number}"));
            append(&log, &room("a"), 1, number, &expected[expected.len() - 1..]).await;
            if number % 4 == 0 {
                let found = texts(&open(killed_at_rest(dir.path()).path()).unwrap(), &room("a")).await;
                println!("file {failing}: after {number} texts a kill leaves {}", found.len());
                assert_eq!(found, expected);
            }
        }
    }
}

/// [L8] [L43] The database is damaged where a room of the journal belongs: that room is refused, its
/// records stay in the journal, and all others go on, also after the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_one_room_does_not_hold_up_the_journal() {
    const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
    let dir = tempfile::tempdir().unwrap();
    let log = open_small(dir.path());
    for name in ["a", "b", "c", "d", "e"] {
        append(&log, &room(name), 1, 1, &["one"]).await;
    }
    drop(log);
    let log = open_small(dir.path());
    for name in ["a", "b", "c", "d", "e"] {
        append(&log, &room(name), 1, 2, &["two"]).await;
    }
    let copy = killed(dir.path());
    drop(log);
    {
        let database = Database::open(copy.path().join("log.redb")).unwrap();
        let meta = database.begin_read().unwrap().open_table(ROOMS).unwrap().get("c").unwrap();
        let mut meta = meta.unwrap().value().to_vec();
        meta[9] ^= 1;
        let transaction = database.begin_write().unwrap();
        transaction.open_table(ROOMS).unwrap().insert("c", meta.as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    for round in 0..3 {
        let log = open(copy.path()).unwrap();
        for name in ["a", "b", "d", "e"] {
            assert_eq!(texts(&log, &room(name)).await.len(), 2 + round, "{name}");
            append(&log, &room(name), 2, 1 + round as u64, &["on"]).await;
        }
        let refused = log.append(&room("c"), batch(&room("c"), 2, 1, &["on"])).await;
        assert!(matches!(refused, Err(LogError::Fatal(_))), "{refused:?}");
        // Changes go on too, but rooms that went now would come back out of the journal.
        log.touch(&room("a"), Some(7)).await.unwrap();
        assert_eq!(log.open(&room("a")).await.unwrap().unwrap().deadline_ms, Some(1_007));
        for name in ["b", "c"] {
            let refused = log.delete(&room(name)).await;
            assert!(matches!(refused, Err(LogError::Fatal(_))), "{refused:?}");
        }
        assert!(matches!(log.touch(&room("c"), None).await, Err(LogError::Fatal(_))));
        assert!(matches!(log.read(&room("c"), 0, 10).await, Err(LogError::Fatal(_))));
        assert_eq!(log.health().await, Ok(()));
    }
}
