//! Databases that older versions of ruang wrote, which load for ever. `stores/v1` was written by the last version
//! whose rooms had no snapshots: a room `board` of two instances and a room `房間/é`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ruang::ids::InstanceId;
use ruang::log::embedded::{EmbeddedLog, Options};
use ruang::log::{Adopted, Adoption, Head, Log, UploadId};
use tempfile::TempDir;

use crate::log_support::*;

fn copy_of(version: &str) -> TempDir {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores").join(version);
    let dir = tempfile::tempdir().unwrap();
    for name in ["FORMAT", "log.redb"] {
        fs::copy(fixture.join(name), dir.path().join(name)).unwrap();
    }
    dir
}

fn open(dir: &TempDir) -> EmbeddedLog {
    let options = Options { clock: clock(&Arc::new(AtomicU64::new(5_000))), ..Options::default() };
    EmbeddedLog::open_with(dir.path(), InstanceId(0), options).unwrap()
}

fn bytes_of(name: &str, texts: &[&str]) -> u64 {
    let batch = batch(&room(name), 1, 1, texts);
    let records = batch.records.iter().chain([&batch.genesis]);
    records.map(|record| record.encoded.len() as u64).sum()
}

const BOARD: [&str; 6] = ["one", "two", "three", "four", "five", ""];

fn as_it_was() -> Head {
    Head {
        epoch: ruang::log::bus::Epoch::NONE,
        last: at(7, 1_700_000_060_000),
        base: 0,
        bytes: bytes_of("board", &BOARD),
        snapshots: vec![],
        revision: 0,
        deadline_ms: None,
        frozen: false,
    }
}

/// [L64] Rooms of a store of format 1 are read as they were: no snapshots, nothing trimmed, no deadline, their bytes
/// counted; and opening them changes nothing.
#[tokio::test]
async fn a_store_without_snapshots_loads() {
    let dir = copy_of("v1");
    for _ in 0..2 {
        let log = open(&dir);
        assert_eq!(log.rooms(None, 9).await.unwrap(), [room("board"), room("房間/é")]);
        assert_eq!(texts(&log, &room("board")).await, BOARD);
        assert_eq!(texts(&log, &room("房間/é")).await, ["other"]);
        assert_eq!(log.open(&room("board")).await, Ok(Some(as_it_was())));
        assert_eq!(log.tombstone(&room("board")).await, Ok(None));
        assert_eq!(log.chunk(&room("board"), UploadId(0), 0).await, Ok(None));
        log.close().await;
    }
}

/// [L64] Such rooms go on: retries are recognised, and whatever comes first (an append, a deadline, a snapshot), the bytes
/// are counted from the beginning.
#[tokio::test]
async fn rooms_of_a_store_without_snapshots_go_on() {
    let (name, before) = (room("board"), as_it_was());
    let dir = copy_of("v1");
    let log = open(&dir);
    assert!(append(&log, &name, 2, 4, &["three"]).await.duplicate);
    assert_eq!(log.open(&name).await, Ok(Some(before.clone())));
    append(&log, &name, 2, 5, &["six"]).await;
    let bytes = before.bytes + record(b"six").encoded.len() as u64;
    let after = Head { last: at(8, before.last.ms), bytes, ..before.clone() };
    assert_eq!(log.open(&name).await, Ok(Some(after)));
    // Numbers of rooms go on too.
    append(&log, &room("new"), 1, 1, &["x"]).await;
    assert_eq!(texts(&log, &room("房間/é")).await, ["other"]);

    let dir = copy_of("v1");
    let log = open(&dir);
    log.touch(&name, Some(10)).await.unwrap();
    assert_eq!(log.open(&name).await, Ok(Some(Head { deadline_ms: Some(5_010), ..before.clone() })));
    assert!(append(&log, &name, 1, 3, &["four", "five", ""]).await.duplicate);

    let dir = copy_of("v1");
    let log = open(&dir);
    log.put_chunk(&name, UploadId(1), 0, "x".into()).await.unwrap();
    let through = read_from(&log, &name, 2).await[0].position();
    let (upload, drop) = (UploadId(1), Vec::new());
    let adoption = Adoption { upload, revision: 0, through, log_bytes: 0, chunks: 1, bytes: 1, drop };
    assert_eq!(log.adopt(&name, adoption).await, Ok(Adopted::Done(1)));
    assert_eq!(log.trim(&name, 9).await, Ok(3));
    let after = log.open(&name).await.unwrap().unwrap();
    assert_eq!((after.bytes, after.base, after.snapshots.len()), (before.bytes, 3, 1));
    assert_eq!(texts(&log, &name).await, ["three", "four", "five", ""]);

    let dir = copy_of("v1");
    let log = open(&dir);
    assert_eq!(log.delete(&name).await, Ok(true));
    assert_eq!(log.open(&name).await, Ok(None));
    assert_eq!(texts(&log, &room("房間/é")).await, ["other"]);
}
