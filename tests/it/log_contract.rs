//! The contract of `ruang::log::Log`, held by every implementation. `log_stores` says on which ones
//! a test target runs it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ruang::log::LogError;
use ruang::log::memory::Damage;
use ruang::log::record::{Kind, StoredRecord};

use crate::log_support::*;

log_contract![
    what_was_answered_is_read,
    later_appends_stand_later,
    counters_have_no_holes_and_time_does_not_go_back,
    batches_of_many_instances_do_not_mix,
    a_refused_batch_leaves_nothing,
    a_repeated_batch_is_answered_again,
    a_repeated_first_batch_brings_the_genesis_record_again,
    an_older_batch_is_refused,
    batch_numbers_belong_to_room_and_instance,
    the_last_batches_of_sixteen_instances_are_remembered,
    only_the_first_append_writes_a_genesis_record,
    of_appends_at_once_one_creates_the_room,
    hostile_names_do_not_touch,
    a_damaged_record_is_returned_as_such,
    a_record_of_a_newer_version_ends_the_reading,
    reads_come_in_pages,
    rooms_are_listed_in_byte_order,
    absent_rooms_are_empty,
    the_head_is_the_newest_record,
    health_is_good_until_closed,
];

/// [L1] What an append answered is there for every read that starts later, byte for byte.
async fn what_was_answered_is_read(store: Store) {
    let name = room("a");
    let sent = batch(&name, 1, 1, &["one", "two", ""]);
    let answer = store.log.append(&name, sent.clone()).await.unwrap();
    assert!(!answer.duplicate);
    assert_eq!((answer.first, answer.last), (at(2, 1_000), at(4, 1_000)));
    let all = read_all(&*store.log, &name).await;
    assert_eq!(Some(&all[0]), answer.created.as_ref());
    assert_eq!(seqs(&all), [1, 2, 3, 4]);
    let expected = std::iter::once(&sent.genesis).chain(&sent.records);
    for (stored, sent) in all.iter().zip(expected) {
        assert!(matches!(stored, StoredRecord::Intact { record, .. } if record == sent));
    }
}

/// [L1] Positions grow with every append.
async fn later_appends_stand_later(store: Store) {
    let name = room("a");
    let mut last = at(0, 0);
    for number in 1..=20 {
        let answer = append(&*store.log, &name, 1, number, &["x", "y"]).await;
        assert!(answer.first > last && answer.last > answer.first);
        last = answer.last;
    }
}

/// [L2] Counters are 1, 2, 3 …; milliseconds follow the clock, but never back.
async fn counters_have_no_holes_and_time_does_not_go_back(store: Store) {
    let name = room("a");
    for (number, now_ms) in (1..).zip([1_000, 2_000, 500, 0, 1_999, 3_000, u64::MAX, 4_000]) {
        store.now_ms.store(now_ms, Ordering::Relaxed);
        append(&*store.log, &name, 1, number, &["x"]).await;
    }
    let all = read_all(&*store.log, &name).await;
    assert_eq!(seqs(&all), (1..=9).collect::<Vec<_>>());
    let ms: Vec<u64> = all.iter().map(|record| record.position().ms).collect();
    assert_eq!(ms, [1_000, 1_000, 2_000, 2_000, 2_000, 2_000, 3_000, u64::MAX, u64::MAX]);
    // Another room has its own time.
    assert_eq!(append(&*store.log, &room("b"), 1, 1, &["x"]).await.first, at(2, 4_000));
}

/// [L3] Ten instances append to one room at once: each batch stands in one piece.
async fn batches_of_many_instances_do_not_mix(store: Store) {
    let name = room("a");
    let tasks = (1..=10_u64).map(|instance| {
        let (log, name) = (Arc::clone(&store.log), name.clone());
        tokio::spawn(async move {
            for number in 1..=5 {
                let text = format!("{instance}.{number}");
                append(&*log, &name, instance, number, &[text.as_str(); 4]).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let texts = texts(&*store.log, &name).await;
    assert_eq!(texts.len(), 200);
    for four in texts.chunks(4) {
        assert!(four.iter().all(|text| *text == four[0]), "{four:?}");
    }
}

/// [L3] [L12] A batch that breaks a bound is refused for ever and leaves nothing, not even a room.
async fn a_refused_batch_leaves_nothing(store: Store) {
    let name = room("a");
    let good = || batch(&name, 1, 1, &["x"]);
    let mut spoilt = record(b"spoilt").encoded.to_vec();
    spoilt[20] ^= 1;
    let mut bad = vec![good(), good(), good(), good()];
    bad[0].records.clear();
    bad[1].records = vec![record(b"x"); 257];
    bad[2].number = 0;
    bad[3].records[0].encoded = spoilt.into();
    for bad in bad {
        let refused = store.log.append(&name, bad).await;
        assert!(matches!(refused, Err(LogError::Fatal(_))), "{refused:?}");
    }
    assert_eq!(store.log.open(&name).await, Ok(None));
    assert_eq!(store.log.rooms(None, 10).await, Ok(vec![]));
    append(&*store.log, &name, 1, 1, &["x"; 256]).await;
}

/// [L4] The same batch again is answered with the same positions and stored once.
async fn a_repeated_batch_is_answered_again(store: Store) {
    let name = room("a");
    append(&*store.log, &name, 1, 1, &["one"]).await;
    let first = append(&*store.log, &name, 1, 2, &["two", "three"]).await;
    append(&*store.log, &name, 2, 1, &["other"]).await;
    store.now_ms.store(9_000, Ordering::Relaxed);
    for _ in 0..3 {
        let again = append(&*store.log, &name, 1, 2, &["two", "three"]).await;
        assert!(again.duplicate && again.created.is_none());
        assert_eq!((again.first, again.last), (first.first, first.last));
    }
    assert_eq!(texts(&*store.log, &name).await, ["one", "two", "three", "other"]);
}

/// [L4] Whoever lost the answer to the append that made the room still learns of its generation.
async fn a_repeated_first_batch_brings_the_genesis_record_again(store: Store) {
    let name = room("a");
    let first = append(&*store.log, &name, 1, 1, &["one"]).await;
    let again = append(&*store.log, &name, 1, 1, &["one"]).await;
    assert!(first.created.is_some() && again.duplicate);
    assert_eq!(first.created, again.created);
}

/// [L5] A number below the last one is a bug of the caller: refused, nothing stored.
async fn an_older_batch_is_refused(store: Store) {
    let name = room("a");
    append(&*store.log, &name, 1, 3, &["three"]).await;
    append(&*store.log, &name, 1, 7, &["seven"]).await;
    let late = store.log.append(&name, batch(&name, 1, 3, &["three"])).await;
    assert!(matches!(late, Err(LogError::Fatal(_))), "{late:?}");
    assert_eq!(texts(&*store.log, &name).await, ["three", "seven"]);
}

/// [L5] The same number in another room or of another instance is another batch.
async fn batch_numbers_belong_to_room_and_instance(store: Store) {
    for (name, instance) in [("a", 1), ("b", 1), ("a", 2), ("b", 2)] {
        assert!(!append(&*store.log, &room(name), instance, 1, &["x"]).await.duplicate);
    }
    assert_eq!(texts(&*store.log, &room("a")).await.len(), 2);
}

/// [L5] Sixteen instances may be in doubt about their last batch at the same time.
async fn the_last_batches_of_sixteen_instances_are_remembered(store: Store) {
    let name = room("a");
    for instance in 1..=16 {
        append(&*store.log, &name, instance, 1, &["x"]).await;
    }
    for instance in 1..=16 {
        assert!(append(&*store.log, &name, instance, 1, &["x"]).await.duplicate);
    }
}

/// [L6] The genesis record comes first and once.
async fn only_the_first_append_writes_a_genesis_record(store: Store) {
    let name = room("a");
    let first = append(&*store.log, &name, 1, 1, &["x"]).await;
    assert_eq!(first.created.map(|created| created.position()), Some(at(1, 1_000)));
    assert!(append(&*store.log, &name, 1, 2, &["y"]).await.created.is_none());
    assert!(append(&*store.log, &name, 2, 1, &["z"]).await.created.is_none());
    let kinds: Vec<_> = read_all(&*store.log, &name).await.iter().map(kind).collect();
    assert_eq!(kinds, [Kind::Genesis, Kind::Update, Kind::Update, Kind::Update].map(Some));
}

/// [L6] Two instances find the room absent at the same moment: one creates it, both learn how.
async fn of_appends_at_once_one_creates_the_room(store: Store) {
    for round in 0..30 {
        let name = room(&format!("room {round}"));
        let one = store.log.append(&name, batch(&name, 1, 1, &["one"]));
        let two = store.log.append(&name, batch(&name, 2, 1, &["two"]));
        let (one, two) = tokio::join!(one, two);
        let created: Vec<_> =
            [one.unwrap(), two.unwrap()].into_iter().filter_map(|answer| answer.created).collect();
        assert_eq!(created.len(), 1);
        let all = read_all(&*store.log, &name).await;
        let genesis: Vec<_> = all.iter().filter(|record| kind(record) == Some(Kind::Genesis)).collect();
        assert_eq!(genesis, [&created[0]]);
        assert_eq!(seqs(&all), [1, 2, 3]);
    }
}

/// [L7] Names are bytes: no pattern, separator, prefix or length makes two of them meet.
async fn hostile_names_do_not_touch(store: Store) {
    let (long, longer) = ("x".repeat(127), "x".repeat(128));
    let names = [
        "*",
        ":",
        "{}",
        "{a}",
        "a",
        "b",
        "a:b",
        "a:",
        ":b",
        "ab",
        "a/b",
        "a%2Fb",
        "..",
        ".",
        "/",
        "../a",
        "?",
        "[ab]",
        "\\",
        " ",
        "a ",
        " a",
        "A",
        "é",
        "e\u{301}",
        "房間",
        "rooms",
        "FORMAT",
        "log",
        "\u{10ffff}",
        &long,
        &longer,
    ];
    for (index, name) in names.iter().enumerate() {
        let name = room(name);
        append(&*store.log, &name, 1, 1, &[name.as_str()]).await;
        // A second one under half of the names, so that neighbours differ in length.
        if index % 2 == 0 {
            append(&*store.log, &name, 1, 2, &["again"]).await;
        }
    }
    for (index, name) in names.iter().enumerate() {
        let expected: &[&str] = if index % 2 == 0 { &[name, "again"] } else { &[name] };
        assert_eq!(texts(&*store.log, &room(name)).await, expected, "{name}");
    }
    assert_eq!(store.log.rooms(None, 100).await.unwrap().len(), names.len());
}

/// [L8] Damage is told at its position, whatever it is; the records around it are not affected,
/// and the room goes on.
async fn a_damaged_record_is_returned_as_such(mut store: Store) {
    let name = room("a");
    append(&*store.log, &name, 1, 1, &["one", "two", "three", "four"]).await;
    append(&*store.log, &room("b"), 1, 1, &["other"]).await;
    store.damage(&name, 3, Damage::FlipBit(8 * 12 + 3)).await;
    store.damage(&name, 5, Damage::Truncate(0)).await;
    assert_eq!(texts(&*store.log, &name).await, ["one", "!", "three", "!"]);
    let all = read_all(&*store.log, &name).await;
    assert_eq!(seqs(&all), [1, 2, 3, 4, 5]);
    assert!(all.iter().all(|record| record.position().ms == 1_000));
    append(&*store.log, &name, 1, 2, &["five"]).await;
    assert_eq!(texts(&*store.log, &name).await, ["one", "!", "three", "!", "five"]);
    assert_eq!(texts(&*store.log, &room("b")).await, ["other"]);
    // Also the genesis record, when its append is repeated.
    store.damage(&room("b"), 1, Damage::Truncate(5)).await;
    let again = append(&*store.log, &room("b"), 1, 1, &["other"]).await;
    assert!(
        matches!(again.created, Some(StoredRecord::Damaged { position, .. }) if position == at(1, 1_000))
    );
}

/// [L9] What a newer ruang says must be understood is never skipped.
async fn a_record_of_a_newer_version_ends_the_reading(mut store: Store) {
    let name = room("a");
    append(&*store.log, &name, 1, 1, &["one", "two"]).await;
    store
        .rewrite(&name, 3, |bytes| {
            bytes[4] = 2;
            *bytes = sealed(std::mem::take(bytes)).to_vec();
        })
        .await;
    assert_eq!(store.log.read(&name, 0, 2).await.unwrap().len(), 2);
    let error = store.log.read(&name, 0, 10).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LogError::Fatal(_)));
    assert!(
        text.contains("newer version of ruang") && text.contains("1000-3") && !text.contains('\n'),
        "{text}"
    );
}

/// [L10] Up to so many records above a counter, oldest first; fewer only at the end.
async fn reads_come_in_pages(store: Store) {
    let name = room("a");
    append(&*store.log, &name, 1, 1, &["x"; 9]).await;
    append(&*store.log, &room("b"), 1, 1, &["y"; 9]).await;
    for (after, count_max, expected) in [
        (0, 100, 1..=10),
        (0, 4, 1..=4),
        (4, 4, 5..=8),
        (8, 4, 9..=10),
        (9, usize::MAX, 10..=10),
        (9, 1, 10..=10),
    ] {
        let page = store.log.read(&name, after, count_max).await.unwrap();
        assert_eq!(seqs(&page), expected.collect::<Vec<_>>());
    }
    for (after, count_max) in [(10, 5), (11, 5), (u64::MAX, 5), (0, 0)] {
        assert_eq!(store.log.read(&name, after, count_max).await, Ok(vec![]));
    }
}

/// [L11] Pages of names in byte order, which is not that of letters.
async fn rooms_are_listed_in_byte_order(store: Store) {
    let mut names: Vec<_> = ["b", "a", "B", "aa", "é", "~", "10", "9", "a:b"].map(room).to_vec();
    for name in &names {
        append(&*store.log, name, 1, 1, &["x"]).await;
    }
    names.sort_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
    assert_eq!(store.log.rooms(None, 100).await.unwrap(), names);
    let mut paged = store.log.rooms(None, 2).await.unwrap();
    while let Some(last) = paged.last().cloned() {
        let page = store.log.rooms(Some(&last), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, names);
    // From between two names.
    assert_eq!(store.log.rooms(Some(&room("aaa")), 1).await.unwrap(), [room("b")]);
}

/// [L10] [L11] A room that does not exist has no head, no records and no name.
async fn absent_rooms_are_empty(store: Store) {
    assert_eq!(store.log.open(&room("a")).await, Ok(None));
    assert_eq!(store.log.read(&room("a"), 0, 10).await, Ok(vec![]));
    assert_eq!(store.log.rooms(None, 10).await, Ok(vec![]));
}

/// [L11] `open` gives the position of the newest record.
async fn the_head_is_the_newest_record(store: Store) {
    let name = room("a");
    for number in 1..=3 {
        let answer = append(&*store.log, &name, 1, number, &["x", "y"]).await;
        assert_eq!(last(&*store.log, &name).await, Some(answer.last));
    }
}

/// [L13] Health is asked without writing; after `close` every call fails for ever.
async fn health_is_good_until_closed(store: Store) {
    let (log, name) = (&store.log, room("a"));
    assert_eq!(log.health().await, Ok(()));
    assert_eq!(log.open(&name).await, Ok(None));
    append(&**log, &name, 1, 1, &["x"]).await;
    log.close().await;
    log.close().await;
    let closed = [
        log.health().await,
        log.open(&name).await.map(drop),
        log.read(&name, 0, 1).await.map(drop),
        log.rooms(None, 1).await.map(drop),
        log.append(&name, batch(&name, 1, 2, &["y"])).await.map(drop),
    ];
    for answer in closed {
        assert!(matches!(answer, Err(LogError::Fatal(_))), "{answer:?}");
    }
}
