//! Disks that rot under snapshots, tombstones and what is to go. (Records are in `log_damage`.)

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableTable, TableDefinition};
use ruang::log::embedded::EmbeddedLog;
use ruang::log::{Adopted, Batch, Expects, Log, LogError, UploadId};

use crate::log_disk::open_hooked;
use crate::log_support::*;

/// A function that changes a value of some table of a closed store, given as bytes.
macro_rules! entry {
    ($dir:expr, $table:expr, $key:expr) => {
        |change: &mut dyn FnMut(&mut Vec<u8>)| {
            let database = Database::open($dir.join("log.redb")).unwrap();
            let transaction = database.begin_write().unwrap();
            {
                let mut table = transaction.open_table($table).unwrap();
                let mut value = table.get($key).unwrap().unwrap().value().to_vec();
                change(&mut value);
                table.insert($key, value.as_slice()).unwrap();
            }
            transaction.commit().unwrap();
        }
    };
}

/// What is seen with each bit of a value turned in its turn, and with it cut to each length; with every so many of them.
async fn for_each_damage(
    dir: &Path,
    stride: usize,
    rewrite: impl Fn(&mut dyn FnMut(&mut Vec<u8>)),
    mut look: impl AsyncFnMut(&EmbeddedLog),
) {
    let mut whole = Vec::new();
    rewrite(&mut |value| whole.clone_from(value));
    let turned = (0..whole.len() * 8).map(|bit| {
        let mut value = whole.clone();
        value[bit / 8] ^= 1 << (bit % 8);
        value
    });
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    for damaged in turned.chain(cut).step_by(stride) {
        rewrite(&mut |value| value.clone_from(&damaged));
        let log = open_hooked(dir, Arc::new(|_| Ok(()))).unwrap();
        look(&log).await;
        log.close().await;
    }
    rewrite(&mut |value| value.clone_from(&whole));
}

/// [L40] Bits of a room's entry, with snapshots and deadline, may turn (each one in `rooms.rs`): that room cannot be used, the others can;
/// nothing of it is trimmed or freed, and its name can be deleted.
#[tokio::test]
async fn a_flipped_bit_of_a_rooms_entry_closes_that_room_only() {
    const ROOMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rooms");
    let dir = tempfile::tempdir().unwrap();
    let name = room("a");
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    append(&log, &name, 1, 1, &["one", "two", "three"]).await;
    append(&log, &room("b"), 1, 1, &["other"]).await;
    snapshot(&log, &name, 1, 3).await;
    log.trim(&name, 2).await.unwrap();
    log.touch(&name, Some(0)).await.unwrap();
    let before = log.open(&name).await.unwrap();
    log.close().await;
    drop(log);
    for_each_damage(dir.path(), 31, entry!(dir.path(), ROOMS, "a"), async |log| {
        let answers = [
            log.open(&name).await.map(drop),
            log.read(&name, 0, 9).await.map(drop),
            log.append(&name, batch(&name, 1, 2, &["x"])).await.map(drop),
            log.chunk(&name, UploadId(1), 0).await.map(drop),
            log.put_chunk(&name, UploadId(2), 0, "x".into()).await,
            adopt(log, &name, UploadId(1), 1, 4, 1, 10).await.map(drop),
            log.trim(&name, 3).await.map(drop),
            log.touch(&name, None).await,
            log.freeze(&name, true).await.map(drop),
            log.expire(&name, 1_000).await.map(drop),
        ];
        assert!(answers.iter().all(|answer| matches!(answer, Err(LogError::Fatal(_)))), "{answers:?}");
        assert_eq!(texts(log, &room("b")).await, ["other"]);
        assert_eq!(log.health().await, Ok(()));
    })
    .await;
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    assert_eq!(log.open(&name).await.unwrap(), before);
    log.close().await;
    drop(log);
    entry!(dir.path(), ROOMS, "a")(&mut |value| value[3] ^= 1);
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    assert_eq!(log.delete(&name).await, Ok(true));
    assert_eq!(log.open(&name).await, Ok(None));
    assert!(log.tombstone(&name).await.unwrap().is_some());
}

/// [L40] Every bit of a tombstone may turn: it is never taken for none, so nothing of an earlier life comes in.
#[tokio::test]
async fn each_flipped_bit_of_a_tombstone_is_detected() {
    const TOMBSTONES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tombstones");
    let dir = tempfile::tempdir().unwrap();
    let name = room("a");
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    log.delete(&name).await.unwrap();
    log.close().await;
    drop(log);
    for_each_damage(dir.path(), 1, entry!(dir.path(), TOMBSTONES, "a"), async |log| {
        let told = log.tombstone(&name).await;
        assert!(matches!(told, Err(LogError::Fatal(_))), "{told:?}");
        let old = Batch { expects: Expects::At(0), ..batch(&name, 1, 1, &["old"]) };
        assert!(matches!(log.append(&name, old).await, Err(LogError::Moved(_))));
    })
    .await;
}

/// [L40] Every bit of a stored chunk may turn: that chunk comes back damaged or short, never as another one, and no other
/// one is affected. (Who reads a snapshot checks it.)
#[tokio::test]
async fn a_flipped_bit_of_a_chunk_stays_in_that_chunk() {
    const CHUNKS: TableDefinition<'_, (u64, u64, u32), &[u8]> = TableDefinition::new("chunks");
    let dir = tempfile::tempdir().unwrap();
    let name = room("a");
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    append(&log, &name, 1, 1, &["one"]).await;
    for (index, text) in ["zero", "one", "two"].into_iter().enumerate() {
        log.put_chunk(&name, UploadId(7), u32::try_from(index).unwrap(), text.into()).await.unwrap();
    }
    assert_eq!(adopt(&log, &name, UploadId(7), 0, 2, 3, 10).await, Ok(Adopted::Done(1)));
    log.close().await;
    drop(log);
    let mut intact = 0;
    for_each_damage(dir.path(), 1, entry!(dir.path(), CHUNKS, (1, 7, 1)), async |log| {
        let chunk = log.chunk(&name, UploadId(7), 1).await.unwrap().unwrap();
        intact += usize::from(chunk == "one");
        assert!(chunk.len() <= 3);
        for (index, text) in [(0, "zero"), (2, "two")] {
            assert_eq!(log.chunk(&name, UploadId(7), index).await, Ok(Some(text.into())));
        }
    })
    .await;
    assert_eq!(intact, 32); // the bits of the checksum itself
}

/// [L40] What is queued to be freed may be damaged: then it is not freed, and nothing that lives is.
#[tokio::test]
async fn a_damaged_removal_frees_nothing_that_lives() {
    const REMOVALS: TableDefinition<'_, (u64, u8, u64), u32> = TableDefinition::new("removals");
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    append(&log, &room("a"), 1, 1, &["one", "two"]).await;
    snapshot(&log, &room("a"), 1, 2).await;
    log.close().await;
    drop(log);
    let database = Database::open(dir.path().join("log.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut removals = transaction.open_table(REMOVALS).unwrap();
        // Of other rooms, as their keys would be after a bit of them turned.
        for (what, argument) in [(0, 3), (1, 1), (2, 0), (3, 0)] {
            let sum = [3, what, argument]
                .iter()
                .fold(0, |crc, part: &u64| crc32c::crc32c_append(crc, &part.to_le_bytes()));
            removals.insert((1, u8::try_from(what).unwrap(), argument), sum).unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(database);
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    for number in 2..10 {
        append(&log, &room("a"), 1, number, &["on"]).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(texts(&log, &room("a")).await.len(), 10);
    assert_eq!(log.chunk(&room("a"), UploadId(1), 0).await, Ok(Some("snapshot 1".into())));
}

/// [L40] The count of room numbers may be damaged: a new room never gets the number of one that is there.
#[tokio::test]
async fn a_damaged_count_of_rooms_makes_no_two_rooms_one() {
    const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    append(&log, &room("a"), 1, 1, &["one"]).await;
    append(&log, &room("b"), 1, 1, &["two"]).await;
    log.close().await;
    drop(log);
    let database = Database::open(dir.path().join("log.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(COUNTERS).unwrap().insert("rooms", 0).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    append(&log, &room("c"), 1, 1, &["three"]).await;
    for (name, text) in [("a", "one"), ("b", "two"), ("c", "three")] {
        assert_eq!(texts(&log, &room(name)).await, [text]);
    }
}
