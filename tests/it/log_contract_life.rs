//! The contract of `ruang::log::Log`, fourth part: how rooms live and die.

use std::sync::atomic::Ordering;

use ruang::ids::RoomName;
use ruang::log::{Adopted, Batch, Expects, Log, LogError, Tombstone, UploadId};

use crate::log_support::*;

log_contract![
    appends_and_touches_set_the_deadline,
    a_room_expires_only_at_the_deadline_that_was_seen,
    an_expired_room_leaves_no_trace,
    a_deleted_room_leaves_a_tombstone,
    a_tombstone_survives_later_lives,
    a_new_life_begins_at_one,
    old_batch_numbers_do_not_confuse_a_new_life,
    a_room_that_goes_takes_no_other_along,
    freezing_is_remembered,
    a_large_room_goes_while_others_write,
    a_closed_log_changes_nothing,
    a_restart_keeps_what_lives_and_forgets_uploads,
];

async fn deadline(log: &dyn Log, name: &RoomName) -> Option<u64> {
    log.open(name).await.unwrap().unwrap().deadline_ms
}

async fn append_for(log: &dyn Log, name: &RoomName, number: u64, ttl_ms: Option<u64>) {
    let batch = Batch { ttl_ms, ..batch(name, 1, number, &["x"]) };
    log.append(name, batch).await.unwrap();
}

/// Fills a room with everything that one can have.
async fn furnish(log: &dyn Log, name: &RoomName) {
    append(log, name, 1, 5, &["old one", "old two"]).await;
    snapshot(log, name, 1, 2).await;
    log.trim(name, 1).await.unwrap();
    log.put_chunk(name, UploadId(2), 0, "open".into()).await.unwrap();
    assert!(log.freeze(name, true).await.unwrap());
}

/// A room under that name is absent in every way.
async fn assert_absent(log: &dyn Log, name: &RoomName) {
    assert_eq!(log.open(name).await, Ok(None));
    assert_eq!(log.read(name, 0, 10).await, Ok(vec![]));
    assert!(!log.rooms(None, 1_000).await.unwrap().contains(name));
    for upload in [1, 2] {
        assert_eq!(log.chunk(name, UploadId(upload), 0).await, Ok(None));
    }
    assert_eq!(log.freeze(name, true).await, Ok(false));
    assert_eq!(log.trim(name, 10).await, Ok(0));
    assert_eq!(log.touch(name, Some(1)).await, Ok(()));
    assert_eq!(log.expire(name, 0).await, Ok(false));
    assert_eq!(log.open(name).await, Ok(None));
}

/// [L58] The deadline is the store's time of the last append or touch, plus what it said; or there is none.
async fn appends_and_touches_set_the_deadline(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append_for(log, &name, 1, Some(500)).await;
    assert_eq!(deadline(log, &name).await, Some(1_500));
    store.now_ms.store(2_000, Ordering::Relaxed);
    // A batch that is answered again touches nothing.
    append_for(log, &name, 1, Some(500)).await;
    assert_eq!(deadline(log, &name).await, Some(1_500));
    append_for(log, &name, 2, Some(500)).await;
    assert_eq!(deadline(log, &name).await, Some(2_500));
    for (ttl_ms, expected) in
        [(Some(7), Some(2_007)), (None, None), (Some(u64::MAX), Some(u64::MAX)), (Some(0), Some(2_000))]
    {
        log.touch(&name, ttl_ms).await.unwrap();
        assert_eq!(deadline(log, &name).await, expected);
    }
    append_for(log, &name, 3, None).await;
    assert_eq!(deadline(log, &name).await, None);
    // A clock that goes back moves the deadline back.
    store.now_ms.store(10, Ordering::Relaxed);
    log.touch(&name, Some(5)).await.unwrap();
    assert_eq!(deadline(log, &name).await, Some(15));
    assert_eq!(log.touch(&room("absent"), Some(5)).await, Ok(()));
    assert_eq!(log.open(&room("absent")).await, Ok(None));
}

/// [L59] Compare and remove: a room that was touched since stays, and so does one whose time has not come.
async fn a_room_expires_only_at_the_deadline_that_was_seen(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append_for(log, &name, 1, None).await;
    assert_eq!(log.expire(&name, 0).await, Ok(false));
    append_for(log, &name, 2, Some(500)).await;
    for (now_ms, asked, gone) in
        [(1_499, 1_500, false), (9_000, 1_499, false), (9_000, 1_501, false), (1_500, 1_500, true)]
    {
        assert_eq!(log.open(&name).await.unwrap().unwrap().last.seq, 3);
        store.now_ms.store(now_ms, Ordering::Relaxed);
        assert_eq!(log.expire(&name, asked).await, Ok(gone));
    }
    assert_absent(log, &name).await;
    // Touched between the look and the removal.
    append_for(log, &name, 1, Some(10)).await;
    let seen = deadline(log, &name).await.unwrap();
    log.touch(&name, Some(20)).await.unwrap();
    store.now_ms.store(9_000, Ordering::Relaxed);
    assert_eq!(log.expire(&name, seen).await, Ok(false));
    assert_eq!(texts(log, &name).await, ["x"]);
}

/// [L59] After it expired, a room is absent in every way, and has no tombstone.
async fn an_expired_room_leaves_no_trace(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    furnish(log, &name).await;
    log.touch(&name, Some(0)).await.unwrap();
    assert_eq!(log.expire(&name, 1_000).await, Ok(true));
    assert_eq!(log.expire(&name, 1_000).await, Ok(false));
    assert_absent(log, &name).await;
    assert_eq!(log.tombstone(&name).await, Ok(None));
    // What brings content of an earlier life may come.
    let revived = Batch { expects: Expects::At(0), ..batch(&name, 1, 1, &["revived"]) };
    assert!(log.append(&name, revived).await.unwrap().created.is_some());
}

/// [L60] After it was deleted, a room is absent in every way, and its name has a tombstone, also if there was no room. It is no
/// older than the newest record that was deleted, whatever the clock says.
async fn a_deleted_room_leaves_a_tombstone(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    assert_eq!(log.tombstone(&name).await, Ok(None));
    furnish(log, &name).await;
    let last_ms = log.open(&name).await.unwrap().unwrap().last.ms;
    assert!(last_ms > 78);
    store.now_ms.store(77, Ordering::Relaxed);
    assert_eq!(log.delete(&name).await, Ok(true));
    assert_absent(log, &name).await;
    assert_eq!(log.tombstone(&name).await, Ok(Some(Tombstone { deleted_ms: last_ms })));
    store.now_ms.store(78, Ordering::Relaxed);
    assert_eq!(log.delete(&name).await, Ok(false));
    assert_eq!(log.tombstone(&name).await, Ok(Some(Tombstone { deleted_ms: 78 })));
    assert_eq!(log.delete(&room("never")).await, Ok(false));
    assert_eq!(log.tombstone(&room("never")).await, Ok(Some(Tombstone { deleted_ms: 78 })));
}

/// [L60] A tombstone outlives later lives of the room, and keeps content of earlier ones out of them.
async fn a_tombstone_survives_later_lives(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    furnish(log, &name).await;
    log.delete(&name).await.unwrap();
    let tombstone = log.tombstone(&name).await.unwrap();
    let old = |at| Batch { expects: Expects::At(at), ..batch(&name, 9, 1, &["from the old life"]) };
    assert!(matches!(log.append(&name, old(0)).await, Err(LogError::Moved(_))));
    append_for(log, &name, 1, Some(0)).await;
    assert_eq!(log.tombstone(&name).await.unwrap(), tombstone);
    assert!(matches!(log.append(&name, old(2)).await, Err(LogError::Moved(_))));
    append(log, &name, 1, 2, &["y"]).await;
    assert_eq!(texts(log, &name).await, ["x", "y"]);
    log.touch(&name, Some(0)).await.unwrap();
    assert_eq!(log.expire(&name, 1_000).await, Ok(true));
    assert_eq!(log.tombstone(&name).await.unwrap(), tombstone);
    assert!(matches!(log.append(&name, old(0)).await, Err(LogError::Moved(_))));
}

/// [L61] The next life of a name begins with a genesis record at counter 1, and inherits nothing.
async fn a_new_life_begins_at_one(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    for life in 0..4_u32 {
        furnish(log, &name).await;
        if life % 2 == 0 {
            assert_eq!(log.delete(&name).await, Ok(true));
        } else {
            log.touch(&name, Some(0)).await.unwrap();
            let seen = deadline(log, &name).await.unwrap();
            assert_eq!(log.expire(&name, seen).await, Ok(true));
        }
        let answer = append(log, &name, 3, 1, &["new"]).await;
        assert_eq!(answer.created.unwrap().position().seq, 1);
        let head = log.open(&name).await.unwrap().unwrap();
        let expected = batch(&name, 3, 1, &["new"]);
        let bytes = expected.genesis.encoded.len() + expected.records[0].encoded.len();
        assert_eq!((head.last.seq, head.base, head.bytes), (2, 0, bytes as u64));
        assert_eq!((head.revision, head.snapshots.len()), (0, 0));
        assert_eq!((head.deadline_ms, head.frozen), (None, false));
        for upload in [1, 2] {
            assert_eq!(log.chunk(&name, UploadId(upload), 0).await, Ok(None));
        }
        assert_eq!(log.trim(&name, 10).await, Ok(0));
        assert_eq!(texts(log, &name).await, ["new"]);
        assert_eq!(log.delete(&name).await, Ok(true));
    }
}

/// [L61] What an instance stored in an earlier life says nothing about its batches in this one.
async fn old_batch_numbers_do_not_confuse_a_new_life(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 9, &["old"]).await;
    append(log, &name, 2, 9, &["old"]).await;
    log.delete(&name).await.unwrap();
    // A lower number is not "older", and the same number is not "again".
    let answer = append(log, &name, 1, 3, &["new"]).await;
    assert!(!answer.duplicate && answer.created.is_some());
    let answer = append(log, &name, 2, 9, &["newer"]).await;
    assert_eq!((answer.duplicate, answer.first.seq), (false, 3));
    assert_eq!(texts(log, &name).await, ["new", "newer"]);
}

/// [L62] Removals, trims and tombstones of one name touch no other, whatever the names look like.
async fn a_room_that_goes_takes_no_other_along(store: Store) {
    let log = &*store.log;
    let long = "x".repeat(128);
    let names = [
        "*",
        ":",
        "a",
        "a*",
        "a:",
        "a:b",
        "ab",
        "a b",
        "?",
        "[a]",
        "{a}",
        "%",
        "_",
        "\\",
        "..",
        "A",
        "é",
        "e\u{301}",
        "房間",
        "\u{10ffff}",
        "rooms",
        "1",
        "removals",
        &long,
        &long[1..],
    ];
    for name in names {
        furnish(log, &room(name)).await;
    }
    for (index, gone) in names.iter().enumerate() {
        let gone = room(gone);
        if index % 2 == 0 {
            assert_eq!(log.delete(&gone).await, Ok(true));
        } else {
            log.touch(&gone, Some(0)).await.unwrap();
            assert_eq!(log.expire(&gone, 1_000).await, Ok(true));
        }
        assert_absent(log, &gone).await;
        for name in &names[index + 1..] {
            let name = room(name);
            let head = log.open(&name).await.unwrap().unwrap();
            assert_eq!((head.last.seq, head.base, head.revision, head.frozen), (3, 1, 1, true));
            assert_eq!(texts(log, &name).await, ["old one", "old two"]);
            assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(Some("snapshot 1".into())));
            assert_eq!(log.chunk(&name, UploadId(2), 0).await, Ok(Some("open".into())));
            assert_eq!(log.tombstone(&name).await, Ok(None));
        }
    }
    assert_eq!(log.rooms(None, 100).await, Ok(vec![]));
}

/// [L63] A frozen room says so, until it is thawed; nothing else of it changes.
async fn freezing_is_remembered(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append_for(log, &name, 1, Some(5)).await;
    let before = log.open(&name).await.unwrap().unwrap();
    for frozen in [true, true, false, false, true] {
        assert_eq!(log.freeze(&name, frozen).await, Ok(true));
        let head = log.open(&name).await.unwrap().unwrap();
        assert_eq!(head, ruang::log::Head { frozen, ..before.clone() });
    }
    append_for(log, &name, 2, None).await;
    assert!(log.open(&name).await.unwrap().unwrap().frozen);
    assert_eq!(log.freeze(&room("absent"), true).await, Ok(false));
}

/// [L59] [L62] A room of more than is freed at once is gone at once; others write on, and a new life under its name does
/// not see the old one.
async fn a_large_room_goes_while_others_write(store: Store) {
    let (log, name, other) = (&*store.log, room("a"), room("b"));
    for number in 1..=30 {
        append(log, &name, 1, number, &["old"; 256]).await;
    }
    for index in 0..20 {
        log.put_chunk(&name, UploadId(1), index, vec![7; 256 << 10].into()).await.unwrap();
    }
    assert_eq!(adopt(log, &name, UploadId(1), 0, 100, 20, 20 << 18).await, Ok(Adopted::Done(1)));
    assert_eq!(log.delete(&name).await, Ok(true));
    for number in 1..=200 {
        append(log, &other, 1, number, &["x"]).await;
        append(log, &name, 1, number, &["new"]).await;
        if number % 40 == 1 {
            assert_eq!(texts(log, &name).await, vec!["new"; usize::try_from(number).unwrap()]);
            assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(None));
        }
    }
    assert_eq!(texts(log, &other).await.len(), 200);
}

/// [L13] After `close` every call fails for ever.
async fn a_closed_log_changes_nothing(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    furnish(log, &name).await;
    log.close().await;
    let answers = [
        log.put_chunk(&name, UploadId(3), 0, "x".into()).await,
        log.chunk(&name, UploadId(1), 0).await.map(drop),
        adopt(log, &name, UploadId(2), 1, 3, 1, 4).await.map(drop),
        log.trim(&name, 9).await.map(drop),
        log.touch(&name, None).await,
        log.freeze(&name, false).await.map(drop),
        log.expire(&name, 0).await.map(drop),
        log.delete(&name).await.map(drop),
        log.tombstone(&name).await.map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(LogError::Fatal(_))), "{answer:?}");
    }
}

/// [L31] [L55] [L63] Where a log outlives its process: snapshots, trims, deadlines, tombstones and frozen rooms are there
/// afterwards; uploads that nobody adopted are not, and cannot be adopted.
async fn a_restart_keeps_what_lives_and_forgets_uploads(mut store: Store) {
    let (name, deleted) = (room("a"), room("deleted"));
    furnish(&*store.log, &name).await;
    store.log.touch(&name, Some(9)).await.unwrap();
    store.log.delete(&deleted).await.unwrap();
    let before = store.log.open(&name).await.unwrap();
    if !store.reopen().await {
        return; // what `memory` keeps ends with it, and `durability` says so
    }
    let log = &*store.log;
    assert_eq!(log.open(&name).await.unwrap(), before);
    let before = before.unwrap();
    assert_eq!((before.base, before.revision, before.deadline_ms, before.frozen), (1, 1, Some(1_009), true));
    assert_eq!(seqs(&log.read(&name, 0, 10).await.unwrap()), [2, 3]);
    assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(Some("snapshot 1".into())));
    assert_eq!(log.tombstone(&deleted).await, Ok(Some(Tombstone { deleted_ms: 1_000 })));
    assert_eq!(log.chunk(&name, UploadId(2), 0).await, Ok(None));
    let refused = adopt(log, &name, UploadId(2), 1, 3, 1, 4).await;
    assert!(matches!(refused, Err(LogError::Fatal(_))), "{refused:?}");
}
