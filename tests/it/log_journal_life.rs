//! The journal of the embedded store, and what is no append: deadlines, snapshots, rooms that go and come back.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ruang::ids::InstanceId;
use ruang::log::embedded::{EmbeddedLog, Options};
use ruang::log::{Adopted, Batch, Expects, Log, LogError, UploadId};
use tempfile::TempDir;

use crate::log_crash::{FILES, Image};
use crate::log_support::*;

/// A store whose journal is moved only when something asks for it, or when that much is in it.
fn open(dir: &Path, journal_bytes: usize) -> EmbeddedLog {
    let clock = clock(&Arc::new(AtomicU64::new(1_000)));
    let journal_idle = Duration::from_secs(3_600);
    let options = Options { clock, journal_bytes, journal_idle, ..Options::default() };
    EmbeddedLog::open_with(dir, InstanceId(0), options).unwrap()
}

fn killed(dir: &Path) -> TempDir {
    Image::of(dir, &AtomicU64::new(0)).unwrap().unpack(&dir.join("FORMAT"))
}

/// How much of the text stands in the files of the journal.
fn journal_has(dir: &Path, text: &str) -> usize {
    let files = &FILES[..2];
    let bytes: Vec<u8> = files.iter().flat_map(|name| fs::read(dir.join(name)).unwrap()).collect();
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// [L45] [L51] [L58] Deadline and bytes of what only the journal has are there after a kill, on top of what the database
/// has of the room.
#[tokio::test]
async fn a_deadline_in_the_journal_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 64 << 10);
    let name = room("a");
    let with = |number, ttl_ms| Batch { ttl_ms, ..batch(&name, 1, number, &["one", "two"]) };
    for (number, ttl_ms, deadline_ms) in
        [(1, None, None), (2, Some(50), Some(1_050)), (3, Some(0), Some(1_000)), (4, None, None)]
    {
        log.append(&name, with(number, ttl_ms)).await.unwrap();
        let seen = head(&log, &name).await;
        assert_eq!(seen.deadline_ms, deadline_ms, "batch {number}");
        let copy = killed(dir.path());
        let found = open(copy.path(), 64 << 10);
        assert_eq!(head(&found, &name).await, seen, "batch {number}");
        found.close().await;
        if number == 2 {
            snapshot(&log, &name, 1, 4).await;
            log.trim(&name, 3).await.unwrap();
            log.freeze(&name, true).await.unwrap();
        }
    }
    let seen = head(&log, &name).await;
    assert_eq!((seen.base, seen.revision, seen.frozen, seen.last.seq), (3, 1, true, 9));
}

/// [L46] [L60] [L61] A room goes, and comes back, while files of the journal still hold all that it had: a kill right after
/// each answer brings nothing back, and mixes nothing.
#[tokio::test]
async fn what_the_journal_still_holds_of_a_room_that_went_stays_gone() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 64 << 10);
    let name = room("a");
    let first = ["first life"; 8];
    append(&log, &name, 1, 1, &first).await;
    append(&log, &room("b"), 1, 1, &["bee"]).await;
    for (life, how) in [(1, "deleted"), (2, "expired"), (3, "deleted")] {
        match how {
            "deleted" => assert!(log.delete(&name).await.unwrap()),
            _ => {
                log.touch(&name, Some(0)).await.unwrap();
                assert!(log.expire(&name, 1_000).await.unwrap());
            }
        }
        assert!(journal_has(dir.path(), "life") > 0, "the journal has nothing of it any more");
        let copy = killed(dir.path());
        let found = open(copy.path(), 64 << 10);
        assert_eq!(found.open(&name).await, Ok(None), "life {life}");
        assert!(found.tombstone(&name).await.unwrap().is_some());
        assert_eq!(texts(&found, &room("b")).await, ["bee"]);
        found.close().await;
        // What expects no deletion is refused, also while nothing but the database knows of it.
        let late = Batch { expects: Expects::At(0), ..batch(&name, 3, 1, &["late"]) };
        assert!(matches!(log.append(&name, late).await, Err(LogError::Moved(_))));
        append(&log, &name, 1, 1, &["next life"]).await;
        let copy = killed(dir.path());
        let found = open(copy.path(), 64 << 10);
        assert_eq!(texts(&found, &name).await, ["next life"], "life {life}");
        assert!(append(&found, &name, 1, 1, &["next life"]).await.duplicate);
        found.close().await;
    }
}

/// [L45] Snapshots are adopted through what was answered last, and found to be so, while four rooms fill the journal all the
/// time: a change sees everything and is never put off for ever. Rooms that were made a moment ago take chunks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_see_all_that_was_answered_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(open(dir.path(), 12 << 10));
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|index| {
            let (log, done) = (Arc::clone(&log), Arc::clone(&done));
            tokio::spawn(async move {
                let name = room(&format!("writer {index}"));
                let mut number = 0;
                while !done.load(Ordering::SeqCst) {
                    number += 1;
                    append(&*log, &name, 1, number, &["x".repeat(500)]).await;
                }
                assert_eq!(texts(&*log, &name).await.len() as u64, number);
                number
            })
        })
        .collect();
    for number in 0..60 {
        let name = room(&format!("room {}", number / 3));
        let last = append(&*log, &name, 1, number + 1, &["one", "two"]).await.last.seq;
        let revision = number % 3;
        log.put_chunk(&name, UploadId(number), 0, "chunk".into()).await.unwrap();
        let adopted = adopt(&*log, &name, UploadId(number), revision, last, 1, 5).await;
        assert_eq!(adopted, Ok(Adopted::Done(revision + 1)));
        let base = log.trim(&name, u64::MAX).await.unwrap();
        let seen = head(&*log, &name).await;
        assert_eq!((seen.last.seq, seen.base), (last, base));
        if number % 3 == 2 {
            assert!(log.delete(&name).await.unwrap());
            assert_eq!(log.open(&name).await, Ok(None));
        }
    }
    done.store(true, Ordering::SeqCst);
    let mut appends = 0;
    for writer in writers {
        appends += writer.await.unwrap();
    }
    println!("{appends} appends of others meanwhile");
    assert!(appends > 60);
}
