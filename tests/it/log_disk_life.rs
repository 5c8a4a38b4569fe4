//! Disks that fill up while a snapshot is on its way, and files that get shorter when rooms go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ruang::log::embedded::{DiskHook, DiskOperation};
use ruang::log::{Adopted, Log, LogError, UploadId};

use crate::log_disk::open_hooked;
use crate::log_support::*;

const CHUNK: usize = 256 << 10;

/// Repeats a call until it is answered well.
async fn until_done<T>(mut call: impl AsyncFnMut() -> Result<T, LogError>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match call().await {
            Ok(done) => return done,
            Err(error) => assert!(error.is_temporary() && Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// [L39] The disk fills up while a snapshot is written, and is full when it should be adopted: the old snapshot stays, with
/// its chunks; when there is space again, appends go on, and so does the upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_under_a_snapshot_leaves_the_old_one() {
    let (full, used) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let hook: DiskHook = Arc::new({
        let (full, used) = (Arc::clone(&full), Arc::clone(&used));
        move |operation| {
            let most = used.load(Ordering::SeqCst);
            let more = match operation {
                DiskOperation::Write { offset, data } => offset + data.len() as u64,
                DiskOperation::SetLen(len) => len,
                _ => 0, // the journal has its space
            };
            if !full.load(Ordering::SeqCst) {
                used.fetch_max(more, Ordering::SeqCst);
                return Ok(());
            }
            if more > most { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), hook).unwrap();
    let name = room("a");
    append(&log, &name, 1, 1, &["one", "two"]).await;
    snapshot(&log, &name, 1, 2).await;
    let before = head(&log, &name).await;
    full.store(true, Ordering::SeqCst);
    let mut stored = 0;
    let refused = loop {
        match log.put_chunk(&name, UploadId(2), stored, vec![7; CHUNK].into()).await {
            Ok(()) => stored += 1, // free pages within the file
            Err(error) => break error,
        }
        assert!(stored < 100, "the disk is not full");
    };
    assert!(matches!(refused, LogError::Full(_)), "{refused}");
    for _ in 0..10 {
        let adopted = adopt(&log, &name, UploadId(2), 1, 3, stored + 1, 9).await;
        assert!(matches!(adopted, Err(LogError::Full(_) | LogError::Fatal(_))), "{adopted:?}");
        let appended = log.append(&name, batch(&name, 1, 2, &["x".repeat(CHUNK)])).await;
        assert!(matches!(appended, Err(LogError::Full(_))), "{appended:?}");
        assert_eq!(head(&log, &name).await, before);
        assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(Some("snapshot 1".into())));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    full.store(false, Ordering::SeqCst);
    until_done(async || log.append(&name, batch(&name, 1, 2, &["x".repeat(CHUNK)])).await).await;
    until_done(async || log.put_chunk(&name, UploadId(2), stored, vec![7; CHUNK].into()).await).await;
    let (chunks, bytes) = (stored + 1, u64::from(stored + 1) * CHUNK as u64);
    let adopted = until_done(async || adopt(&log, &name, UploadId(2), 1, 3, chunks, bytes).await).await;
    assert_eq!(adopted, Adopted::Done(2));
    for index in 0..chunks {
        assert_eq!(log.chunk(&name, UploadId(2), index).await.unwrap().unwrap(), vec![7; CHUNK]);
    }
    assert_eq!(log.health().await, Ok(()));
}

/// [L67] When rooms go, the file goes back to about what it was, by itself, with nobody asking for anything.
#[tokio::test]
async fn the_file_gets_shorter_when_rooms_go() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    let len = || std::fs::metadata(dir.path().join("log.redb")).unwrap().len();
    append(&log, &room("stays"), 1, 1, &["x"]).await;
    let many = vec!["x".repeat(1_000); 100];
    for keep in [usize::MAX, usize::MAX, 10] {
        for index in 0..60 {
            append(&log, &room(&format!("room {index}")), 1, 1, &many).await;
        }
        let most = len();
        assert!(most > 6 << 20, "{most} bytes");
        for index in 0..60 {
            // Rooms that stay lie between those that go, and at the end of the file.
            if index % keep == 0 && keep < 60 {
                continue;
            }
            assert!(log.delete(&room(&format!("room {index}"))).await.unwrap());
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while len() > 2 << 20 {
            assert!(Instant::now() < deadline, "{} bytes stay of {most}", len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for index in (0..60).step_by(10) {
        assert_eq!(texts(&log, &room(&format!("room {index}"))).await, many);
    }
    assert_eq!(texts(&log, &room("stays")).await, ["x"]);
}
