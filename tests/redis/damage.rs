//! What others write under our keys, and what is gone from there.

use ruang::ids::RoomName;
use ruang::log::record::StoredRecord;
use ruang::log::{Expects, Log, LogError, UploadId};

use crate::log_support::{append, batch, head, read_all, room, seqs, text, texts};
use crate::rig::single::Single;
use crate::rig::store::{adopt_at, entries, log_key};

fn meta_key(name: &RoomName) -> String {
    log_key(name).replace(":log", ":meta")
}

/// [L82] Entries that somebody adds by hand, of whatever form and wherever, are passed over; the room's records are read
/// and appended as before.
#[tokio::test]
async fn entries_of_others_are_passed_over() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    let key = log_key(&name);
    append(&log, &name, 1, 1, &["one", "two"]).await;
    for entry in [&["*", "foo", "bar"][..], &["*", "e", "junk"], &["*", "e", "x", "f", "y"]] {
        let _: String = server.ask(&[&["XADD", &key], entry].concat());
    }
    append(&log, &name, 1, 2, &["three"]).await;
    // In the next record's place, and far beyond it.
    let last = head(&log, &name).await.last;
    let taken = format!("{}-{}", last.ms + 3_600_000, last.seq + 1);
    let _: String = server.ask(&["XADD", &key, &taken, "e", "junk"]);
    append(&log, &name, 1, 3, &["four", "five"]).await;
    let _: String = server.ask(&["XADD", &key, &format!("{}-900", last.ms + 7_200_000), "e", "junk"]);
    append(&log, &name, 1, 4, &["six"]).await;
    assert_eq!(texts(&log, &name).await, ["one", "two", "three", "four", "five", "six"]);
    assert_eq!(seqs(&read_all(&log, &name).await), [1, 2, 3, 4, 5, 6, 7]);
    // Another opening, which remembers no place, from each counter on.
    let other = server.log().await;
    for after in 0..7 {
        let read = other.read(&name, after, 100).await.unwrap();
        assert_eq!(seqs(&read), (after + 1..=7).collect::<Vec<_>>());
        assert!(read.iter().all(|record| matches!(record, StoredRecord::Intact { .. })));
    }
    // Trims go no further than they should, with such entries around them.
    let through = read_all(&other, &name).await[3].position();
    adopt_at(&other, &name, 1, through).await;
    for through in [2, 3, 4, 9] {
        let base = other.trim(&name, through).await.unwrap();
        println!("asked to trim through {through}: {base}");
        assert!(base <= through.min(4));
        let left = server.log().await.read(&name, base, 100).await.unwrap();
        assert_eq!(seqs(&left), (base + 1..=7).collect::<Vec<_>>());
        assert!(left.iter().all(|record| matches!(record, StoredRecord::Intact { .. })));
    }
}

/// [L82] A stream under the name of a room that does not exist does not keep the room from being made.
#[tokio::test]
async fn a_foreign_stream_makes_no_room_and_prevents_none() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    let _: String = server.ask(&["XADD", &log_key(&name), "*", "foo", "bar"]);
    assert_eq!(log.open(&name).await, Ok(None));
    assert_eq!(log.rooms(None, 10).await, Ok(vec![]));
    append(&log, &name, 1, 1, &["one"]).await;
    assert_eq!(texts(&log, &name).await, ["one"]);
    // One that leaves no room for more ids is told.
    let name = room("b");
    let _: String =
        server.ask(&["XADD", &log_key(&name), "18446744073709551615-18446744073709551615", "f", "x"]);
    let refused = log.append(&name, batch(&name, 1, 1, &["one"])).await;
    println!("{refused:?}");
    assert!(matches!(&refused, Err(LogError::Fatal(why)) if why.contains(&log_key(&name))));
    assert_eq!(log.open(&name).await, Ok(None));
}

/// [L8] [L82] Entries that are gone are told at their counters; the records around them, appends and other rooms are not
/// affected.
#[tokio::test]
async fn missing_entries_are_told() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    for number in 1..=5 {
        append(&log, &name, 1, number, &[number.to_string()]).await;
    }
    append(&log, &room("b"), 1, 1, &["other"]).await;
    let all = entries(&server, &log_key(&name));
    for index in [0, 2, 3, 5] {
        let _: u64 = server.ask(&["XDEL", &log_key(&name), &all[index].0]);
    }
    for log in [&log, &server.log().await] {
        let read = log.read(&name, 0, 100).await.unwrap();
        assert_eq!(seqs(&read), [1, 2, 3, 4, 5, 6]);
        assert_eq!(read.iter().map(text).collect::<Vec<_>>(), ["!", "1", "!", "!", "4", "!"]);
        assert_eq!(seqs(&log.read(&name, 3, 2).await.unwrap()), [4, 5]);
    }
    append(&log, &name, 1, 6, &["6"]).await;
    assert_eq!(text(&log.read(&name, 6, 1).await.unwrap()[0]), "6");
    assert_eq!(texts(&log, &room("b")).await, ["other"]);
    // A retry of the batch that made the room is answered, with what is left of the genesis record.
    let name = room("c");
    append(&log, &name, 1, 1, &["one"]).await;
    let first = entries(&server, &log_key(&name))[0].0.clone();
    let _: u64 = server.ask(&["XDEL", &log_key(&name), &first]);
    let again = append(&log, &name, 1, 1, &["one"]).await;
    assert!(again.duplicate && matches!(again.created, Some(StoredRecord::Damaged { .. })));
}

/// [L81] Values of another type under our keys: each call says which key and which command, nothing is changed, and other
/// rooms are not affected.
#[tokio::test]
async fn wrong_types_name_key_and_command() {
    let server = Single::start(&[]);
    let log = server.log().await;
    append(&log, &room("good"), 1, 1, &["x"]).await;
    for (name, part) in [("a", "meta"), ("b", "log"), ("c", "tomb")] {
        let name = room(name);
        let key = log_key(&name).replace(":log", &format!(":{part}"));
        let _: u64 = server.ask(&["RPUSH", &key, "x"]);
        let answers = match part {
            "meta" => vec![
                log.append(&name, batch(&name, 1, 1, &["x"])).await.map(drop),
                log.open(&name).await.map(drop),
                log.read(&name, 0, 1).await.map(drop),
                log.put_chunk(&name, UploadId(1), 0, "x".into()).await,
                log.touch(&name, None).await,
                log.freeze(&name, true).await.map(drop),
                log.trim(&name, 1).await.map(drop),
            ],
            "log" => vec![log.append(&name, batch(&name, 1, 1, &["x"])).await.map(drop)],
            _ => vec![log.tombstone(&name).await.map(drop)],
        };
        for answer in answers {
            println!("{answer:?}");
            let prefix = key.trim_end_matches(part);
            assert!(
                matches!(&answer, Err(LogError::Fatal(why)) if why.contains("WRONGTYPE") && why.contains(prefix))
            );
        }
        let value: Vec<String> = server.ask(&["LRANGE", &key, "0", "-1"]);
        assert_eq!(value, ["x"]);
    }
    assert_eq!(texts(&log, &room("good")).await, ["x"]);
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert_eq!(keys.len(), 5, "{keys:?}");
}

/// [L95] A room that lost its records, or what was known of it, is not begun anew over what is left: who appends is told
/// that it is not what it was, and what is left is a room again, under another epoch.
#[tokio::test]
async fn a_room_that_lost_a_key_is_not_begun_anew() {
    let server = Single::start(&[]);
    let log = server.log().await;
    let (no_log, no_meta) = (room("a"), room("b"));
    for name in [&no_log, &no_meta] {
        append(&log, name, 1, 1, &["one", "two"]).await;
    }
    let _: u64 = server.ask(&["DEL", &log_key(&no_log), &meta_key(&no_meta)]);
    for name in [&no_log, &no_meta] {
        for expects in [Expects::Anything, Expects::Present] {
            let next = ruang::log::Batch { expects, ..batch(name, 1, 2, &["three"]) };
            let refused = log.append(name, next).await;
            println!("{refused:?}");
            assert_eq!(refused.is_ok(), expects == Expects::Present, "mended by then");
            assert!(matches!(refused, Ok(_) | Err(LogError::Moved(_))));
        }
        let head = log.open(name).await.unwrap().unwrap();
        assert_eq!(head.last.seq, 4);
    }
    let read = log.read(&no_log, 0, 10).await.unwrap();
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), ["!", "!", "!", "three"]);
    assert_eq!(texts(&log, &no_meta).await, ["one", "two", "three"]);
}

/// [L83] A room's entry that others have spoilt, or a newer ruang has written, is refused by every call and stays as it is.
#[tokio::test]
async fn a_spoilt_entry_is_refused() {
    let server = Single::start(&[]);
    let log = server.log().await;
    for (name, field, value, said) in
        [("a", "v", "2", "newer ruang"), ("b", "s", "many", "damaged"), ("c", "k", "1:2", "damaged")]
    {
        let name = room(name);
        append(&log, &name, 1, 1, &["one"]).await;
        let _: u64 = server.ask(&["HSET", &meta_key(&name), field, value]);
        let before = entries(&server, &log_key(&name)).len();
        let mut answers = vec![log.open(&name).await.map(drop), log.read(&name, 0, 9).await.map(drop)];
        if field != "k" {
            answers.push(log.append(&name, batch(&name, 1, 2, &["x"])).await.map(drop));
        }
        for answer in answers {
            println!("{answer:?}");
            assert!(
                matches!(&answer, Err(LogError::Fatal(why)) if why.contains(&meta_key(&name)) || why.contains(&log_key(&name)))
            );
        }
        let open = log.open(&name).await.unwrap_err().to_string();
        assert!(open.contains(said), "{open}");
        assert_eq!(entries(&server, &log_key(&name)).len(), before);
    }
}

/// [L8] A snapshot whose chunks are gone is not there, and nothing else changes: readers fall back to the records.
#[tokio::test]
async fn a_snapshot_that_is_gone_is_not_there() {
    let server = Single::start(&[]);
    let (log, name) = (server.log().await, room("a"));
    let last = append(&log, &name, 1, 1, &["one"]).await.last;
    adopt_at(&log, &name, 7, last).await;
    assert!(log.chunk(&name, UploadId(7), 0).await.unwrap().is_some());
    let _: u64 = server.ask(&["DEL", &log_key(&name).replace(":log", ":snap:1-0000000000000007")]);
    assert_eq!(log.chunk(&name, UploadId(7), 0).await, Ok(None));
    assert_eq!(texts(&log, &name).await, ["one"]);
    append(&log, &name, 1, 2, &["two"]).await;
    assert_eq!(log.open(&name).await.unwrap().unwrap().snapshots.len(), 1);
}
