//! [H1 to H12] The way through a room's history: walk, snapshots, compaction. docs/RULES.md has the
//! rules; what is pure is tested beside its code, in `src/history`.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says what it expects by failing"
)]

mod history_compaction;
mod history_hooks;
mod history_interleavings;
mod history_orders;
mod history_pages;
mod history_sim;
mod history_snapshots;
mod history_support;
mod random_docs;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use history_support::*;
use random_docs::{Random, seeds};
use ruang::history::{self, Folded, OnTrouble, Range, Start, Step, WalkError};
use ruang::log::memory::{Damage, MemoryLog};
use ruang::log::{Head, Log};

/// A random room, with this many bursts of edits and a snapshot after each.
async fn random_room(seed: u64, bursts: usize) -> Writer {
    let mut random = Random::new(seed);
    let (log, _) = memory();
    let mut writer = Writer::new(&log, "r");
    let mut crowd = Crowd::new(&mut random, 3);
    for _ in 0..bursts {
        writer.write(&crowd.edit(&mut random, 12)).await;
        writer.compact(Default::default()).await;
    }
    writer.write(&crowd.edit(&mut random, 12)).await;
    writer
}

async fn head(writer: &Writer) -> Head {
    writer.log.open(&writer.room).await.unwrap().unwrap()
}

/// [H1] Both ways of a walk, from each start, come to the same room at each position; a walk by steps
/// tells each record once and in order.
#[tokio::test]
async fn walks_agree_wherever_they_begin() {
    for seed in seeds("walks_agree", 6) {
        println!("replay with RUANG_TEST_SEED={seed}");
        let writer = random_room(seed, 3).await;
        let head = head(&writer).await;
        assert_eq!(head.snapshots.len(), 3);
        let starts = [Start::Genesis, Start::NEWEST].into_iter().chain(
            head.snapshots.iter().map(|snapshot| Start::Snapshot { at_most: snapshot.through.seq + 1 }),
        );
        for start in starts {
            let range = Range { start, until: u64::MAX, on_trouble: OnTrouble::SetAside };
            let mut walk = history::walk(&writer.log, &writer.room, range).await.unwrap().unwrap();
            let mut at = 0;
            while let Some(step) = walk.next().await.unwrap() {
                match step {
                    Step::Snapshot(snapshot, fold) => {
                        assert_eq!((at, fold.last()), (0, snapshot.through), "it comes first");
                        at = snapshot.through.seq;
                    }
                    Step::Record(record, folded, fold) => {
                        at += 1;
                        assert_eq!((record.position().seq, fold.last().seq), (at, at));
                        assert!(matches!(folded, Folded::New), "every record brings something");
                    }
                }
                if at % 7 == 0 {
                    let until = Range { start: Start::Snapshot { at_most: at }, until: at, ..range };
                    let there = walked(&writer.log, &writer.room, until).await.into_fold().unwrap();
                    assert_same(walk.fold().unwrap(), &there, &format!("{start:?}, record {at}"));
                }
            }
            assert_eq!(at, head.last.seq);
            writer.check_from(start, u64::MAX, &format!("{start:?}")).await;
        }
    }
}

/// [H1] A position that was trimmed is said to be, and an absent room is none.
#[tokio::test]
async fn what_is_trimmed_is_said_to_be() {
    let writer = random_room(1, 3).await;
    assert!(history::walk(&writer.log, &"other".parse().unwrap(), Range::ALL).await.unwrap().is_none());
    writer.compact(NO_RETENTION).await;
    let head = head(&writer).await;
    let base = head.snapshots[0].through.seq;
    assert_eq!(head.base, base);
    let refused = history::walk(&writer.log, &writer.room, Range::ALL).await;
    assert!(matches!(refused, Err(WalkError::Trimmed { base: at, wanted: 0 }) if at == base));
    let refused = history::walk(&writer.log, &writer.room, Range::to(base - 1)).await;
    let Err(error @ WalkError::Trimmed { .. }) = refused else { panic!("record {} is trimmed", base - 1) };
    println!("{error}");
    writer.check_from(Start::Snapshot { at_most: base }, base, "the base").await;
}

/// [H2] Damaged records are set aside by a walk in either way, with the same result; a walk that is
/// asked to stops before the first, with everything before it and nothing of it.
#[tokio::test]
async fn both_ways_set_aside_the_same() {
    for seed in seeds("both_ways", 10) {
        println!("replay with RUANG_TEST_SEED={seed}");
        let mut random = Random::new(seed);
        let (log, faults) = memory();
        let mut writer = Writer::new(&log, "r");
        let mut crowd = Crowd::new(&mut random, 3);
        writer.write(&crowd.edit(&mut random, 40)).await;
        let first = 2 + random.below(writer.last.seq - 2);
        assert!(faults.damage(&writer.room, first, Damage::Truncate(20)));
        let pages = fold(&log, &writer.room).await;
        assert_eq!(pages.set_aside()[0].position.seq, first);
        let mut steps = history::walk(&log, &writer.room, Range::ALL).await.unwrap().unwrap();
        let mut aside = Vec::new();
        while let Some(step) = steps.next().await.unwrap() {
            let Step::Record(_, folded, _) = step else { panic!("there is no snapshot") };
            aside.extend(match folded {
                Folded::SetAside(record) => Some(record),
                _ => None,
            });
        }
        assert_eq!(aside, pages.set_aside());
        assert_same(&steps.into_fold().unwrap(), &pages, "by steps");

        let stopping = Range { on_trouble: OnTrouble::Stop, ..Range::ALL };
        let stopped = walked(&log, &writer.room, stopping).await.into_fold().unwrap();
        assert_eq!(stopped.stopped().map(|record| record.position.seq), Some(first));
        let before = Range { start: Start::Genesis, ..Range::to(first - 1) };
        let before = walked(&log, &writer.room, before).await.into_fold().unwrap();
        assert_same(&stopped, &before, "stopped");
    }
}

/// [H1] A walk that is overtaken by a trim says so: by steps it tells the newer snapshot from which it
/// goes on; if the start that was asked for is gone, it ends.
#[tokio::test]
async fn a_walk_that_is_overtaken_begins_again() {
    let (log, _) = memory();
    let mut writer = Writer::new(&log, "r");
    writer.write(&keystrokes(1, 10)).await;
    writer.compact(Default::default()).await;
    writer.write(&keystrokes(2, 2_200)).await; // more than a page
    let begin = async |start| {
        let range = Range { start, ..Range::TO_HEAD };
        let mut walk = history::walk(&log, &writer.room, range).await.unwrap().unwrap();
        assert!(matches!(walk.next().await, Ok(Some(_))));
        assert!(matches!(walk.next().await, Ok(Some(Step::Record(..)))), "a page is read now");
        walk
    };
    let (mut newest, mut early) = (begin(Start::NEWEST).await, begin(Start::Snapshot { at_most: 11 }).await);
    writer.compact(NO_RETENTION).await;
    writer.write(&keystrokes(3, 5)).await;
    writer.compact(NO_RETENTION).await;
    let head = head(&writer).await;
    assert!(head.base > 2_200);

    let mut told = Vec::new();
    while let Some(step) = newest.next().await.unwrap() {
        if let Step::Snapshot(snapshot, _) = step {
            told.push(snapshot.through.seq);
        }
    }
    assert_eq!(told, [head.last.seq]);
    let truth = fold(&writer.truth, &writer.room).await;
    assert_same(&newest.into_fold().unwrap(), &truth, "overtaken");

    let end = loop {
        match early.next().await {
            Ok(Some(_)) => {}
            end => break end.err(),
        }
    };
    assert!(matches!(end, Some(WalkError::Trimmed { wanted: 11, .. })), "{end:?}");
}

/// [H1] A store that falls back while it is read: the walk begins again from what is left, by pages and by records,
/// and calls nothing damaged. Who served the room has the rest.
#[tokio::test]
async fn a_store_that_falls_back_under_a_walk_is_no_damage() {
    for (kept, by_records) in [(1, false), (1, true), (4, false), (4, true)] {
        let (log, faults) = memory();
        let mut writer = Writer::new(&log, "r");
        writer.write(&keystrokes(1, 9)).await;
        let mut walk = history::walk(&log, &writer.room, Range::TO_HEAD).await.unwrap().unwrap();
        if by_records {
            assert!(walk.next().await.unwrap().is_some());
        }
        faults.roll_back(&writer.room, kept);
        if by_records {
            // The page that was read before is still told.
            while walk.next().await.unwrap().is_some() {}
        } else {
            walk.to_end().await.unwrap();
            assert_eq!(walk.fold().unwrap().last().seq, kept);
        }
        assert_eq!(walk.fold().unwrap().set_aside(), []);
    }
}

/// [H1] A store that falls back behind what a walk has read, and that others write on in, has another log: the walk begins
/// again, from a snapshot or across pages, by pages and by records, and comes to what that one says.
#[tokio::test]
async fn a_walk_does_not_go_on_in_another_log() {
    for (first, seen, by_records) in [(9, 0, false), (9, 0, true), (2_200, 2_048, true), (2_200, 0, true)] {
        let case = format!("{first} records, {seen} seen, by records: {by_records}");
        let ms = AtomicU64::new(1_000);
        // No record is at the time of one that was lost.
        let (log, faults) = MemoryLog::for_instances(Arc::new(move || ms.fetch_add(1, Ordering::Relaxed)));
        let log: Arc<dyn Log> = Arc::new(log);
        let mut writer = Writer::new(&log, "r");
        writer.write(&keystrokes(1, 9)).await;
        let kept = writer.last.seq;
        writer.write(&keystrokes(2, first)).await;
        if seen == 0 {
            writer.compact(NO_RETENTION).await;
            writer.write(&keystrokes(3, 5)).await;
        }
        let mut walk = history::walk(&log, &writer.room, Range::TO_HEAD).await.unwrap().unwrap();
        for _ in 0..seen {
            assert!(walk.next().await.unwrap().is_some());
        }
        faults.roll_back(&writer.room, kept);
        // One run of blocks: what comes later of it is of no use without what comes first.
        let mut other = Writer::new(&log, "r");
        other.write(&keystrokes(4, first + 30)).await;
        if by_records {
            while walk.next().await.unwrap().is_some() {}
        } else {
            walk.to_end().await.unwrap();
        }
        assert_eq!(walk.fold().unwrap().set_aside(), [], "{case}");
        let found = walk.into_fold().unwrap();
        let there = walked(&log, &writer.room, Range::to(found.last().seq)).await.into_fold().unwrap();
        assert!(found.last().seq > kept, "{case}");
        assert_same(&found, &there, &case);
    }
}
