//! Compaction beside everything that can go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ruang::clock::Clock;
use ruang::history::{self, CompactError, Outcome, Range, Retention, Start};
use ruang::ids::InstanceId;
use ruang::log::embedded::EmbeddedLog;
use ruang::log::memory::{Damage, MemoryLog};
use ruang::log::{Head, Log, LogError};

use crate::history_hooks::{Fate, Hooked};
use crate::history_support::*;
use crate::random_docs::{Random, seeds};

async fn head(writer: &Writer) -> Head {
    writer.log.open(&writer.room).await.unwrap().unwrap()
}

/// [H6] On random rooms, with random retention, by a clock that jumps two days back and forth: after
/// every trim the snapshots and the tail say what all records say, from each snapshot on, and claims
/// and generations too. Nothing is trimmed that the oldest snapshot does not cover.
#[tokio::test]
async fn snapshots_and_tail_say_what_all_records_say() {
    let (mut trims, mut snapshots) = (0, 0);
    for seed in seeds("snapshots_and_tail", 25) {
        println!("replay with RUANG_TEST_SEED={seed}");
        let mut random = Random::new(seed);
        let now_ms = Arc::new(AtomicU64::new(10_000_000_000));
        let clock: Clock = {
            let now_ms = Arc::clone(&now_ms);
            Arc::new(move || now_ms.load(Ordering::Relaxed))
        };
        let log: Arc<dyn Log> = Arc::new(MemoryLog::with_clock(clock).0);
        let mut writer = Writer::new(&log, "r");
        let mut crowd = Crowd::new(&mut random, 3);
        let retention = match seed % 4 {
            0 => NO_RETENTION,
            1 => Retention { age_ms: 3_600_000, bytes: u64::MAX },
            2 => Retention { age_ms: u64::MAX, bytes: 3_000 },
            _ => Retention::default(),
        };
        for round in 0..14 {
            let days = 2 * 24 * 3_600_000;
            now_ms.fetch_add(random.below(2 * days), Ordering::Relaxed);
            now_ms.fetch_sub(days, Ordering::Relaxed);
            let edits = 1 + random.index(12);
            writer.write(&crowd.edit(&mut random, edits)).await;
            let before = head(&writer).await;
            let done = compact(&log, &writer.room, retention).await;
            let head = head(&writer).await;
            let case = format!("round {round}, {retention:?}, {done:?}");
            if let Outcome::Written(written) = done.outcome {
                snapshots += 1;
                assert_eq!((written.through, written.log_bytes), (head.last, head.bytes), "{case}");
                assert_eq!(written.trimmed, Ok(head.base - before.base), "{case}");
                trims += u64::from(head.base > before.base);
            }
            assert!(head.base <= head.snapshots[0].through.seq && head.snapshots.len() <= 8, "{case}");
            writer.check(&case).await;
            for snapshot in &head.snapshots {
                let at_most = snapshot.through.seq;
                let until = at_most + random.below(head.last.seq - at_most + 1);
                writer.check_from(Start::Snapshot { at_most }, until, &case).await;
            }
        }
    }
    println!("{snapshots} snapshots, {trims} trims");
    assert!(trims > 50);
}

/// [H6] The same on the embedded store, which is closed and opened again in between.
#[tokio::test]
async fn the_embedded_store_says_the_same() {
    for seed in seeds("the_embedded_store", 3) {
        println!("replay with RUANG_TEST_SEED={seed}");
        let mut random = Random::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let open = || -> Arc<dyn Log> { Arc::new(EmbeddedLog::open(dir.path(), InstanceId(7)).unwrap()) };
        let mut writer = Writer::new(&open(), "r");
        let mut crowd = Crowd::new(&mut random, 3);
        for round in 0..6 {
            writer.write(&crowd.edit(&mut random, 10)).await;
            let written = writer.compact(NO_RETENTION).await;
            let head = head(&writer).await;
            assert_eq!((written.through, written.log_bytes), (head.last, head.bytes));
            assert_eq!(head.base > 0, round > 0);
            writer.check(&format!("round {round}")).await;
            writer.log.close().await;
            writer.log = memory().0; // lets go of the directory
            writer.log = open();
            writer.check(&format!("round {round}, opened again")).await;
        }
    }
}

/// A room with two snapshots and a tail, whose next compaction trims.
async fn ripe(random: &mut Random, crowd: &mut Crowd, log: &Arc<dyn Log>) -> Writer {
    let mut writer = Writer::new(log, "r");
    for _ in 0..2 {
        writer.write(&crowd.edit(random, 4)).await;
        writer.compact(Default::default()).await;
    }
    writer.write(&crowd.edit(random, 4)).await;
    writer
}

/// [H8] Every call of a compaction fails in every way, or is the last one that its compactor makes: the
/// room is what it was, takes edits, and is compacted later.
#[tokio::test]
async fn every_step_may_fail_or_be_the_last() {
    let text = || "injected".to_owned();
    let fates = [
        Fate::Fail(LogError::Unavailable(text())),
        Fate::Fail(LogError::Full(text())),
        Fate::Fail(LogError::Unknown(text())),
        Fate::Fail(LogError::Moved(text())),
        Fate::Fail(LogError::Fatal(text())),
        Fate::LoseReply,
        Fate::CutBefore,
        Fate::CutAfter,
    ];
    let (mut cases, mut calls) = (0, Vec::new());
    for fate in fates {
        for at in 0.. {
            let mut random = Random::new(4);
            let mut crowd = Crowd::new(&mut random, 2);
            let (log, _) = memory();
            let mut writer = ripe(&mut random, &mut crowd, &log).await;
            let before = head(&writer).await;
            let hooked = Hooked::new(&log, at, fate.clone());
            let through: Arc<dyn Log> = Arc::clone(&hooked) as Arc<dyn Log>;
            let done = tokio::select! {
                done = history::compact(&through, &writer.room, NO_RETENTION) => Some(done),
                () = hooked.cut.notified() => None,
            };
            if hooked.calls() <= at {
                calls.clone_from(&hooked.names.lock());
                break; // it was never reached
            }
            cases += 1;
            let case = format!("{fate:?} at call {at} ({}): {done:?}", hooked.names.lock()[at]);
            writer.check(&case).await;
            let after = head(&writer).await;
            match done {
                Some(Ok(done)) if matches!(done.outcome, Outcome::Written(_)) => {}
                Some(_) => assert_eq!(after, before, "{case}"),
                None => assert!(after.base >= before.base, "{case}"),
            }
            writer.write(&crowd.edit(&mut random, 3)).await;
            writer.check(&case).await;
            let written = writer.compact(NO_RETENTION).await;
            assert_eq!(written.through, writer.last, "{case}");
            writer.check(&case).await;
            assert!(head(&writer).await.base > before.base, "{case}: the trim is made up for");
        }
    }
    println!("{cases} cases; the calls are {calls:?}");
    assert!(calls.ends_with(&["adopt", "trim"]) && calls.len() >= 8);
}

/// [H8] A store that is full takes no snapshot; the old one stays, and when there is space again edits
/// and compaction go on.
#[tokio::test]
async fn a_full_store_keeps_its_snapshots() {
    let mut random = Random::new(4);
    let mut crowd = Crowd::new(&mut random, 2);
    let (log, faults) = memory();
    let mut writer = ripe(&mut random, &mut crowd, &log).await;
    let before = head(&writer).await;
    faults.fail_change(0, LogError::Full("no space".to_owned()));
    let failed = history::compact(&log, &writer.room, NO_RETENTION).await;
    assert!(matches!(failed, Err(CompactError::Log(LogError::Full(_)))), "{failed:?}");
    assert_eq!(head(&writer).await, before);
    writer.check("full").await;
    writer.write(&crowd.edit(&mut random, 3)).await;
    writer.compact(NO_RETENTION).await;
    writer.check("space again").await;
}

/// [H8] Several compactors at once, and edits meanwhile: one snapshot of each revision is adopted, the
/// others are lost, and the room is what its records say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_compactors_at_once() {
    let mut outcomes = (0, 0);
    for seed in seeds("several_compactors", 20) {
        println!("replay with RUANG_TEST_SEED={seed}");
        let mut random = Random::new(seed);
        let mut crowd = Crowd::new(&mut random, 2);
        let (log, _) = memory();
        let mut writer = ripe(&mut random, &mut crowd, &log).await;
        for round in 0..5 {
            let all: Vec<_> = (0..3)
                .map(|_| {
                    let (log, room) = (Arc::clone(&log), writer.room.clone());
                    tokio::spawn(async move { history::compact(&log, &room, NO_RETENTION).await })
                })
                .collect();
            writer.write(&crowd.edit(&mut random, 4)).await;
            for one in all {
                match one.await.unwrap() {
                    Ok(done) if matches!(done.outcome, Outcome::Written(_)) => outcomes.0 += 1,
                    Ok(done) => {
                        assert!(matches!(done.outcome, Outcome::Lost | Outcome::Nothing), "{done:?}");
                        outcomes.1 += 1;
                    }
                    // One that was overtaken by a trim while it read a base.
                    Err(error) => panic!("{error}"),
                }
            }
            writer.check(&format!("round {round}")).await;
        }
    }
    println!("{outcomes:?} written and not");
    assert!(outcomes.0 > 0 && outcomes.1 > 0);
}

/// [H5] A record that is damaged, or that cannot be folded, stops compaction right before it: the room
/// stays writable, everything from that record on stays, and what is before it may be covered.
#[tokio::test]
async fn a_record_that_cannot_be_folded_stops_compaction() {
    let nonsense = update_record(b"\xff\xff\xff").encoded;
    let gap = update_record(b"\x01\x01\x4d\x05\x04\x01\x05notes\x05hello\x00").encoded;
    for case in ["damaged", "refused by the gate", "incomplete"] {
        let mut random = Random::new(11);
        let mut crowd = Crowd::new(&mut random, 2);
        let (log, faults) = memory();
        let mut writer = ripe(&mut random, &mut crowd, &log).await;
        writer.write(&crowd.edit(&mut random, 12)).await;
        let covered = head(&writer).await.snapshots.last().unwrap().through.seq;
        let bad = covered + 3;
        assert!(bad < writer.last.seq);
        let spoilt = match case {
            "damaged" => faults.damage(&writer.room, bad, Damage::FlipBit(200)),
            "incomplete" => faults.rewrite(&writer.room, bad, |bytes| *bytes = gap.to_vec()),
            _ => faults.rewrite(&writer.room, bad, |bytes| *bytes = nonsense.to_vec()),
        };
        assert!(spoilt, "{case}");
        let done = compact(&log, &writer.room, NO_RETENTION).await;
        let Outcome::Written(written) = done.outcome else { panic!("{case}: what is before it is covered") };
        assert_eq!(written.through.seq, bad - 1, "{case}");
        let stopped = done.stopped.expect("it is told");
        println!("{}: {}", stopped.position, stopped.why);
        assert_eq!(stopped.position.seq, bad, "{case}");
        // From here on nothing is new for it, whatever comes.
        for _ in 0..3 {
            writer.write(&crowd.edit(&mut random, 5)).await;
            let done = compact(&log, &writer.room, NO_RETENTION).await;
            assert_eq!(done.outcome, Outcome::Nothing, "{case}");
            assert_eq!(done.stopped.map(|record| record.position.seq), Some(bad), "{case}");
        }
        assert!(head(&writer).await.base < bad, "{case}");
        let tail = log.read(&writer.room, bad - 1, 10_000).await.unwrap();
        assert_eq!(tail.len() as u64, writer.last.seq - bad + 1, "{case}: it is all there");
        let room = walked(&log, &writer.room, Range::TO_HEAD).await.into_fold().unwrap();
        assert_eq!(room.set_aside()[0].position.seq, bad, "{case}");
        assert_eq!(room.last(), writer.last, "{case}");
    }
}

/// [H9] A frozen room is not compacted, also if it is frozen while a snapshot is written.
#[tokio::test]
async fn frozen_rooms_are_not_compacted() {
    let mut random = Random::new(4);
    let mut crowd = Crowd::new(&mut random, 2);
    let (log, faults) = memory();
    let writer = ripe(&mut random, &mut crowd, &log).await;
    let revision = head(&writer).await.revision;
    let held = faults.hold_changes();
    let compacting = {
        let (log, room) = (Arc::clone(&log), writer.room.clone());
        tokio::spawn(async move { history::compact(&log, &room, NO_RETENTION).await })
    };
    held.arrived(1).await; // its first chunk
    let freezing = {
        let (log, room) = (Arc::clone(&log), writer.room.clone());
        tokio::spawn(async move { log.freeze(&room, true).await })
    };
    held.arrived(2).await;
    held.release();
    assert_eq!(freezing.await.unwrap(), Ok(true));
    let raced = compacting.await.unwrap().unwrap().outcome;
    println!("frozen while it was written: {raced:?}");
    assert!(matches!(raced, Outcome::Frozen | Outcome::Written(_)));
    let revision = if raced == Outcome::Frozen { revision } else { revision + 1 };
    assert_eq!(compact(&log, &writer.room, NO_RETENTION).await.outcome, Outcome::Frozen);
    assert_eq!(head(&writer).await.revision, revision);
    assert_eq!(log.freeze(&writer.room, false).await, Ok(true));
    let thawed = compact(&log, &writer.room, NO_RETENTION).await.outcome;
    assert!(matches!(thawed, Outcome::Written(_) | Outcome::Nothing));
}

/// [H6] A base that is damaged is no base: before anything is trimmed on the strength of a snapshot, that
/// snapshot is read.
#[tokio::test]
async fn a_damaged_base_is_not_trimmed_to() {
    let mut random = Random::new(4);
    let mut crowd = Crowd::new(&mut random, 2);
    let (log, faults) = memory();
    let mut writer = ripe(&mut random, &mut crowd, &log).await;
    writer.compact(Default::default()).await;
    writer.write(&crowd.edit(&mut random, 4)).await;
    let snapshots = head(&writer).await.snapshots;
    // Old enough to be the base is all but the last; the newest of those is damaged.
    let retention = Retention { age_ms: u64::MAX, bytes: head(&writer).await.bytes - snapshots[1].log_bytes };
    assert!(faults.rewrite_chunk(&writer.room, snapshots[1].upload, 0, |bytes| bytes.truncate(40)));
    let done = compact(&log, &writer.room, retention).await;
    assert!(matches!(done.outcome, Outcome::Written(_)));
    assert_eq!(done.damaged.iter().map(|it| it.revision).collect::<Vec<_>>(), [snapshots[1].revision]);
    let head = head(&writer).await;
    assert_eq!(head.base, snapshots[0].through.seq, "the older one is the base");
    assert!(!head.snapshots.iter().any(|kept| kept.revision == snapshots[1].revision));
    writer.check("a damaged base").await;
}

/// [H8] A room that is absent, or goes away meanwhile, is nothing to compact.
#[tokio::test]
async fn absent_rooms_are_nothing_to_compact() {
    let mut random = Random::new(4);
    let mut crowd = Crowd::new(&mut random, 2);
    let (log, faults) = memory();
    let room = "other".parse().unwrap();
    assert_eq!(compact(&log, &room, NO_RETENTION).await.outcome, Outcome::Absent);
    let writer = ripe(&mut random, &mut crowd, &log).await;
    let held = faults.hold_changes();
    let compacting = {
        let (log, room) = (Arc::clone(&log), writer.room.clone());
        tokio::spawn(async move { history::compact(&log, &room, NO_RETENTION).await })
    };
    held.arrived(1).await;
    faults.forget_room(&writer.room);
    held.release();
    let done = compacting.await.unwrap();
    assert_eq!(done.unwrap().outcome, Outcome::Absent, "gone meanwhile");
    assert_eq!(log.open(&writer.room).await, Ok(None), "it stays away");
}

/// [H3] Objects with several keys, as positions of cards are, come out of the engine in another order each
/// time. A board full of them is compacted all the same, and `verify` finds nothing.
#[tokio::test]
async fn objects_with_several_keys_are_compacted() {
    use yrs::{Any, Map, Transact};
    let (log, _) = memory();
    let mut writer = Writer::new(&log, "r");
    let doc = yrs::Doc::with_client_id(7);
    let positions = doc.get_or_insert_map("itemPositions");
    let moves = (0..600).map(|n| {
        let mut transaction = doc.transact_mut();
        let place = format!(r#"{{"x":{n},"y":{},"width":{},"height":{}}}"#, 2 * n, 3 * n, 4 * n);
        let place = Any::from_json(&place).unwrap();
        positions.insert(&mut transaction, format!("item-{}", n % 200), place);
        transaction.encode_update_v1()
    });
    let moves: Vec<Vec<u8>> = moves.collect();
    writer.write(&moves).await;
    let written = writer.compact(NO_RETENTION).await;
    println!("200 objects of four keys: a snapshot of {} bytes", written.bytes);
    assert_eq!(written.through.seq, 601);
}
