//! The contract of `ruang::log::Log`, third part: trims.

use std::sync::atomic::Ordering;

use ruang::ids::RoomName;
use ruang::log::record::StoredRecord;
use ruang::log::{Adopted, Adoption, Log, UploadId};

use crate::log_support::*;

log_contract![
    nothing_is_trimmed_that_no_snapshot_covers,
    reads_begin_where_the_trim_ended,
    appends_and_retries_go_on_after_a_trim,
    large_trims_leave_what_is_above,
];

/// [L56] A trim goes no further than the oldest adopted snapshot, and never back.
async fn nothing_is_trimmed_that_no_snapshot_covers(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x"; 9]).await;
    assert_eq!(log.trim(&name, 5).await, Ok(0));
    log.put_chunk(&name, UploadId(99), 0, "x".into()).await.unwrap();
    assert_eq!(log.trim(&name, 5).await, Ok(0));
    snapshot(log, &name, 1, 4).await;
    snapshot(log, &name, 2, 8).await;
    for (through, base) in [(2, 2), (1, 2), (0, 2), (100, 4), (u64::MAX, 4)] {
        assert_eq!(log.trim(&name, through).await, Ok(base));
        assert_eq!(head(log, &name).await.base, base);
    }
    let left = read_from(log, &name, 4).await;
    assert_eq!(seqs(&left), [5, 6, 7, 8, 9, 10]);
    assert!(left.iter().all(|record| text(record) == "x"));
}

/// [L57] After a trim, reads give what is left, from the first one above it on; whoever asks for less sees so.
async fn reads_begin_where_the_trim_ended(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    let names: Vec<String> = (2..=20).map(|seq| seq.to_string()).collect();
    append(log, &name, 1, 1, &names).await;
    snapshot(log, &name, 1, 12).await;
    log.trim(&name, 12).await.unwrap();
    for (after, count_max, expected) in [
        (0, 100, 13..=20),
        (11, 3, 13..=15),
        (12, 3, 13..=15),
        (13, 3, 14..=16),
        (3, 1, 13..=13),
        (19, 9, 20..=20),
    ] {
        let page = log.read(&name, after, count_max).await.unwrap();
        assert_eq!(seqs(&page), expected.collect::<Vec<_>>(), "after {after}");
        assert!(page.iter().all(|record| text(record) == record.position().seq.to_string()));
    }
    assert_eq!(log.read(&name, 20, 10).await, Ok(vec![]));
    // All of it.
    snapshot(log, &name, 2, 20).await;
    drop_all_but_newest(log, &name).await;
    assert_eq!(log.trim(&name, 20).await, Ok(20));
    assert_eq!(log.read(&name, 0, 10).await, Ok(vec![]));
    assert_eq!(head(log, &name).await.last.seq, 20);
}

/// Adopts one more snapshot at the end of the room and drops what can be dropped, twice.
async fn drop_all_but_newest(log: &dyn Log, name: &RoomName) {
    for _ in 0..2 {
        let head = head(log, name).await;
        let upload = UploadId(1_000 + head.revision);
        log.put_chunk(name, upload, 0, "x".into()).await.unwrap();
        let drop = head.snapshots.iter().map(|snapshot| snapshot.revision).collect();
        let adoption = Adoption {
            upload,
            revision: head.revision,
            through: head.last,
            log_bytes: head.bytes,
            chunks: 1,
            bytes: 1,
            drop,
        };
        assert_eq!(log.adopt(name, adoption).await, Ok(Adopted::Done(head.revision + 1)));
    }
}

/// [L57] Counters go on, retries are recognised, and the genesis record is there for the retry that asks for it.
async fn appends_and_retries_go_on_after_a_trim(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    let first = append(log, &name, 1, 1, &["one", "two"]).await;
    let second = append(log, &name, 2, 1, &["three"]).await;
    snapshot(log, &name, 1, 4).await;
    assert_eq!(log.trim(&name, 4).await, Ok(4));
    assert_eq!(log.read(&name, 0, 10).await, Ok(vec![]));
    let again = append(log, &name, 1, 1, &["one", "two"]).await;
    assert!(again.duplicate && again.created == first.created && again.first == first.first);
    assert!(matches!(again.created, Some(StoredRecord::Intact { .. })));
    assert_eq!(append(log, &name, 2, 1, &["three"]).await.last, second.last);
    store.now_ms.store(500, Ordering::Relaxed);
    let next = append(log, &name, 1, 2, &["four"]).await;
    assert_eq!((next.first, next.created), (at(5, 1_000), None)); // the time does not go back either
    assert_eq!(seqs(&log.read(&name, 0, 10).await.unwrap()), [5]);
}

/// [L57] More than is freed at once: nothing above goes along, whatever comes meanwhile.
async fn large_trims_leave_what_is_above(store: Store) {
    let (log, name, other) = (&*store.log, room("a"), room("b"));
    append(log, &other, 1, 1, &["x"; 100]).await;
    for number in 1..=40 {
        append(log, &name, 1, number, &["x"; 256]).await;
    }
    snapshot(log, &name, 1, 3_000).await;
    snapshot(log, &name, 2, 9_000).await;
    assert_eq!(log.trim(&name, 2_999).await, Ok(2_999));
    assert_eq!(log.trim(&name, u64::MAX).await, Ok(3_000));
    for number in 41..=50 {
        append(log, &name, 1, number, &["y"]).await;
        let page = log.read(&name, 2_000, 100).await.unwrap();
        assert_eq!(seqs(&page), (3_001..=3_100).collect::<Vec<_>>());
        assert!(page.iter().all(|record| text(record) == "x"));
    }
    assert_eq!(head(log, &name).await.last.seq, 10_251);
    assert_eq!(log.read(&other, 0, 1_000).await.unwrap().len(), 101);
}
