//! Disks that rot under an embedded store.

use std::fs;
use std::sync::Arc;

use rand::Rng;
use ruang::log::record::StoredRecord;
use ruang::log::{Log, UploadId};

use crate::log_disk::open_hooked;
use crate::log_support::*;

/// How many bits of the whole file are turned, one at a time.
const FLIPS: usize = 400;

/// [L40] Every bit of a stored record, with its position, may turn: that record is damaged, the
/// others are as they were.
#[tokio::test]
async fn each_flipped_bit_of_a_stored_record_is_detected() {
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    append(&log, &room("a"), 1, 1, &["one", "two", "three"]).await;
    let all = read_all(&log, &room("a")).await;
    let StoredRecord::Intact { record, position } = &all[2] else { panic!() };
    log.close().await;
    let len = 12 + record.encoded.len();
    assert_eq!(position.seq, 3);
    for bit in 0..len * 8 {
        let turn = |value: &mut Vec<u8>| value[bit / 8] ^= 1 << (bit % 8);
        rewrite_value(dir.path(), &room("a"), 3, turn);
        let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
        assert_eq!(texts(&log, &room("a")).await, ["one", "!", "three"], "bit {bit}");
        drop(log);
        rewrite_value(dir.path(), &room("a"), 3, turn);
    }
    for cut in 0..len {
        let mut whole = Vec::new();
        rewrite_value(dir.path(), &room("a"), 3, |value| {
            whole.clone_from(value);
            value.truncate(cut);
        });
        let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
        assert_eq!(texts(&log, &room("a")).await, ["one", "!", "three"], "cut to {cut}");
        drop(log);
        rewrite_value(dir.path(), &room("a"), 3, |value| *value = whole);
    }
}

/// [L40] Any bit of the database file may turn: an error or damage is told, no record of a room
/// goes missing in silence, no text is ever another one, and every call is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_the_file_invents_nothing() {
    let (_, mut random) = seeded();
    let dir = tempfile::tempdir().unwrap();
    let log = open_hooked(dir.path(), Arc::new(|_| Ok(()))).unwrap();
    for number in 1..=40 {
        append(&log, &room(&format!("room {}", number % 4)), 1, number, &[&format!("text {number}"); 3])
            .await;
    }
    // Half of one room is trimmed, and another one has gone.
    snapshot(&log, &room("room 1"), 1, 11).await;
    log.trim(&room("room 1"), 11).await.unwrap();
    append(&log, &room("gone"), 1, 1, &["text 9"]).await;
    log.delete(&room("gone")).await.unwrap();
    log.close().await;
    drop(log);
    let path = dir.path().join("log.redb");
    let good = fs::read(&path).unwrap();
    let journals = ["journal-0", "journal-1"].map(|name| dir.path().join(name));
    let journals = journals.map(|path| (fs::read(&path).unwrap(), path));
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    let (mut refused, mut told, mut same) = (0, 0, 0);
    for _ in 0..FLIPS {
        let mut bytes = good.clone();
        bytes[used[random.random_range(0..used.len())]] ^= 1 << random.random_range(0..8);
        fs::write(&path, bytes).unwrap();
        for (good, path) in &journals {
            fs::write(path, good).unwrap();
        }
        let Ok(log) = open_hooked(dir.path(), Arc::new(|_| Ok(()))) else {
            refused += 1;
            continue;
        };
        let mut seen = 0;
        for index in 0..4 {
            let Ok(page) = log.read(&room(&format!("room {index}")), 0, 1_000).await else { continue };
            // A name of a room may be lost, but no record of one that is there.
            let all = if index == 1 { 20 } else { 31 };
            assert!(page.is_empty() || page.len() == all, "{} records", page.len());
            for record in page {
                let StoredRecord::Intact { record, position } = record else { continue };
                seen += 1;
                if position.seq > 1 {
                    let text = String::from_utf8(record.update().to_vec()).unwrap();
                    let number: usize = text.strip_prefix("text ").unwrap().parse().unwrap();
                    assert_eq!(number % 4, index);
                }
            }
        }
        // Whatever appends meet, they are answered, and the store lives.
        for name in ["room 0", "new"] {
            let _ = log.append(&room(name), batch(&room(name), 2, 1, &["x"])).await;
        }
        let _ = log.chunk(&room("room 1"), UploadId(1), 0).await;
        let _ = log.put_chunk(&room("room 2"), UploadId(2), 0, "x".into()).await;
        let _ = log.trim(&room("room 1"), 20).await;
        let _ = log.delete(&room("room 3")).await;
        let _ = log.health().await;
        if seen == 113 { same += 1 } else { told += 1 }
    }
    println!(
        "400 flipped bits: {refused} refused at the opening, {told} told by reads, {same} without effect"
    );
}
