//! The contract of `ruang::log::Log`, second part: what batches expect, and snapshots.

use std::sync::atomic::Ordering;

use ruang::ids::RoomName;
use ruang::log::{Adopted, Adoption, Batch, Expects, Log, LogError, UploadId};

use crate::log_support::*;

log_contract![
    a_batch_for_a_room_that_is_there_makes_none,
    a_batch_for_a_counter_is_stored_at_that_counter_only,
    a_retry_is_answered_before_what_it_expects,
    the_head_counts_bytes,
    a_snapshot_comes_back_byte_for_byte,
    an_upload_is_not_seen_before_it_is_adopted,
    chunks_are_replaced_until_they_are_adopted,
    an_absent_room_takes_no_snapshot,
    of_two_writers_one_is_adopted,
    of_adoptions_at_once_one_is_adopted,
    a_repeated_adoption_is_answered_again,
    an_adoption_that_does_not_fit_changes_nothing,
    dropped_snapshots_are_gone_but_not_the_newest_of_before,
    a_room_keeps_so_many_snapshots,
    uploads_that_nobody_adopts_go,
    an_upload_that_went_begins_anew,
    a_snapshot_of_another_life_is_not_adopted,
];

/// Appends with something to expect.
async fn expecting(
    log: &dyn Log,
    name: &RoomName,
    instance: u64,
    number: u64,
    expects: Expects,
) -> Result<ruang::log::Appended, LogError> {
    log.append(name, Batch { expects, ..batch(name, instance, number, &["x"]) }).await
}

fn moved<T: std::fmt::Debug>(answer: Result<T, LogError>) {
    assert!(matches!(answer, Err(LogError::Moved(_))), "{answer:?}");
}

fn fatal<T: std::fmt::Debug>(answer: Result<T, LogError>) {
    assert!(matches!(answer, Err(LogError::Fatal(_))), "{answer:?}");
}

/// [L50] A batch that expects the room to be there stores nothing where it is not, and makes no room.
async fn a_batch_for_a_room_that_is_there_makes_none(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    moved(expecting(log, &name, 1, 1, Expects::Present).await);
    assert_eq!(log.open(&name).await, Ok(None));
    append(log, &name, 1, 1, &["x"]).await;
    let answer = expecting(log, &name, 1, 2, Expects::Present).await.unwrap();
    assert_eq!((answer.first.seq, answer.created), (3, None));
    assert!(log.delete(&name).await.unwrap());
    moved(expecting(log, &name, 1, 3, Expects::Present).await);
    moved(expecting(log, &name, 1, 2, Expects::Present).await); // what is known of batches died too
}

/// [L50] A batch that expects a counter is stored right behind it, or not at all; 0 is the absent room.
async fn a_batch_for_a_counter_is_stored_at_that_counter_only(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    moved(expecting(log, &name, 1, 1, Expects::At(1)).await);
    let answer = expecting(log, &name, 1, 1, Expects::At(0)).await.unwrap();
    assert_eq!(answer.created.map(|created| created.position().seq), Some(1));
    for wrong in [0, 1, 3, u64::MAX] {
        moved(expecting(log, &name, 2, 1, Expects::At(wrong)).await);
    }
    assert_eq!(expecting(log, &name, 2, 1, Expects::At(2)).await.unwrap().first.seq, 3);
    moved(expecting(log, &name, 1, 2, Expects::At(2)).await);
    assert_eq!(texts(log, &name).await.len(), 2);
    // `Last` is the same, but does not ask whether the name had another life that was deleted.
    for wrong in [0, 2, 4, u64::MAX] {
        moved(expecting(log, &name, 1, 3, Expects::Last(wrong)).await);
    }
    assert_eq!(expecting(log, &name, 1, 3, Expects::Last(3)).await.unwrap().first.seq, 4);
    log.delete(&name).await.unwrap();
    moved(expecting(log, &name, 1, 4, Expects::At(0)).await);
    moved(expecting(log, &name, 1, 5, Expects::Last(4)).await);
    assert!(expecting(log, &name, 1, 6, Expects::Last(0)).await.unwrap().created.is_some());
    assert_eq!(expecting(log, &name, 1, 7, Expects::Last(2)).await.unwrap().first.seq, 3);
}

/// [L50] A retry of a batch that is stored is answered, whatever has become of what it expected.
async fn a_retry_is_answered_before_what_it_expects(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    let first = expecting(log, &name, 1, 1, Expects::At(0)).await.unwrap();
    append(log, &name, 2, 1, &["y"]).await;
    let again = expecting(log, &name, 1, 1, Expects::At(0)).await.unwrap();
    assert!(again.duplicate && again.created == first.created && again.first == first.first);
    // Under another name there may be a tombstone from before.
    let late = room("late");
    log.delete(&late).await.unwrap();
    moved(expecting(log, &late, 1, 1, Expects::At(0)).await);
    append(log, &late, 1, 1, &["x"]).await;
    moved(expecting(log, &late, 1, 2, Expects::At(2)).await);
    assert!(expecting(log, &late, 1, 1, Expects::At(0)).await.unwrap().duplicate);
}

/// [L51] The head counts the bytes of all records, those that are trimmed too.
async fn the_head_counts_bytes(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    let mut bytes = 0;
    for number in 1..=3 {
        let batch = batch(&name, 1, number, &["one", "", "three"]);
        bytes += batch.records.iter().map(|record| record.encoded.len()).sum::<usize>();
        bytes += if number == 1 { batch.genesis.encoded.len() } else { 0 };
        log.append(&name, batch.clone()).await.unwrap();
        log.append(&name, batch).await.unwrap();
        assert_eq!(head(log, &name).await.bytes, bytes as u64);
    }
    snapshot(log, &name, 7, 6).await;
    log.trim(&name, 6).await.unwrap();
    assert_eq!(head(log, &name).await.bytes, bytes as u64);
}

/// [L52] An adopted snapshot stands in the head as it was announced, and its chunks come back byte for byte.
async fn a_snapshot_comes_back_byte_for_byte(store: Store) {
    let (log, name, upload) = (&*store.log, room("a"), UploadId(u64::MAX));
    let last = append(log, &name, 1, 1, &["x"; 4]).await.last;
    let chunks = [vec![1; 256 << 10], vec![], vec![3; 1]];
    for (index, chunk) in (0..).zip(&chunks) {
        log.put_chunk(&name, upload, index, chunk.clone().into()).await.unwrap();
    }
    let bytes = chunks.iter().map(Vec::len).sum::<usize>() as u64;
    let adoption =
        Adoption { upload, revision: 0, through: last, log_bytes: 77, chunks: 3, bytes, drop: vec![] };
    assert_eq!(log.adopt(&name, adoption).await, Ok(Adopted::Done(1)));
    let head = head(log, &name).await;
    assert_eq!((head.revision, head.snapshots.len(), head.base), (1, 1, 0));
    let known = head.snapshots[0];
    assert_eq!((known.revision, known.upload, known.through), (1, upload, last));
    assert_eq!((known.log_bytes, known.chunks, known.bytes), (77, 3, bytes));
    for (index, chunk) in (0..).zip(chunks) {
        assert_eq!(log.chunk(&name, upload, index).await.unwrap().unwrap(), chunk);
    }
    assert_eq!(log.chunk(&name, upload, 3).await, Ok(None));
}

/// [L52] Nothing of an upload shows before it is adopted, but to who asks for that upload.
async fn an_upload_is_not_seen_before_it_is_adopted(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x"]).await;
    let before = head(log, &name).await;
    log.put_chunk(&name, UploadId(1), 0, "one".into()).await.unwrap();
    assert_eq!(head(log, &name).await, before);
    assert_eq!(log.trim(&name, 2).await, Ok(0));
    assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(Some("one".into())));
    for (other, upload) in [(&name, 2), (&room("b"), 1), (&room("a "), 1)] {
        assert_eq!(log.chunk(other, UploadId(upload), 0).await, Ok(None));
    }
}

/// [L52] Writing a chunk again replaces it, up to the adoption; a chunk has bounds.
async fn chunks_are_replaced_until_they_are_adopted(store: Store) {
    let (log, name, upload) = (&*store.log, room("a"), UploadId(5));
    append(log, &name, 1, 1, &["x"]).await;
    for text in ["a long one", "b", "", "four"] {
        log.put_chunk(&name, upload, 0, text.into()).await.unwrap();
        assert_eq!(log.chunk(&name, upload, 0).await, Ok(Some(text.into())));
    }
    fatal(log.put_chunk(&name, upload, 1, vec![0; (256 << 10) + 1].into()).await);
    fatal(log.put_chunk(&name, upload, 1_024, "x".into()).await);
    assert_eq!(adopt(log, &name, upload, 0, 2, 1, 4).await, Ok(Adopted::Done(1)));
    fatal(log.put_chunk(&name, upload, 0, "late".into()).await);
    assert_eq!(log.chunk(&name, upload, 0).await, Ok(Some("four".into())));
}

/// [L52] Snapshots are of rooms that exist; trims of others do nothing.
async fn an_absent_room_takes_no_snapshot(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    moved(log.put_chunk(&name, UploadId(1), 0, "x".into()).await);
    moved(adopt(log, &name, UploadId(1), 0, 1, 1, 1).await);
    assert_eq!(log.trim(&name, 10).await, Ok(0));
    assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(None));
    assert_eq!(log.open(&name).await, Ok(None));
}

/// [L53] Two writers began at one revision: the second is told so, and its upload is gone.
async fn of_two_writers_one_is_adopted(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x"; 5]).await;
    for upload in [1, 2] {
        log.put_chunk(&name, UploadId(upload), 0, "x".into()).await.unwrap();
    }
    assert_eq!(adopt(log, &name, UploadId(1), 0, 4, 1, 1).await, Ok(Adopted::Done(1)));
    let before = head(log, &name).await;
    assert_eq!(adopt(log, &name, UploadId(2), 0, 6, 1, 1).await, Ok(Adopted::Lost(1)));
    assert_eq!(head(log, &name).await, before);
    assert_eq!(log.chunk(&name, UploadId(2), 0).await, Ok(None));
    assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(Some("x".into())));
    // Nor does it come back under the right revision, unless it is written again.
    fatal(adopt(log, &name, UploadId(2), 1, 6, 1, 1).await);
    log.put_chunk(&name, UploadId(2), 0, "again".into()).await.unwrap();
    assert_eq!(adopt(log, &name, UploadId(2), 1, 6, 1, 5).await, Ok(Adopted::Done(2)));
    assert_eq!(log.chunk(&name, UploadId(2), 0).await, Ok(Some("again".into())));
}

/// [L53] The same with eight at the same moment.
async fn of_adoptions_at_once_one_is_adopted(store: Store) {
    let name = room("a");
    append(&*store.log, &name, 1, 1, &["x"]).await;
    for upload in 0..8 {
        store.log.put_chunk(&name, UploadId(upload), 0, "x".into()).await.unwrap();
    }
    let tasks = (0..8).map(|upload| {
        let (log, name) = (std::sync::Arc::clone(&store.log), name.clone());
        tokio::spawn(async move { adopt(&*log, &name, UploadId(upload), 0, 2, 1, 1).await })
    });
    let mut done = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap().unwrap() {
            Adopted::Done(revision) => {
                assert_eq!(revision, 1);
                done += 1;
            }
            Adopted::Lost(revision) => assert_eq!(revision, 1),
        }
    }
    assert_eq!(done, 1);
    let head = head(&*store.log, &name).await;
    assert_eq!((head.revision, head.snapshots.len()), (1, 1));
    let mut left = 0;
    for upload in 0..8 {
        left += usize::from(store.log.chunk(&name, UploadId(upload), 0).await.unwrap().is_some());
    }
    assert_eq!(left, 1);
}

/// [L53] Whoever lost the answer to an adoption asks again, is answered the same, and loses nothing.
async fn a_repeated_adoption_is_answered_again(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x"; 5]).await;
    log.put_chunk(&name, UploadId(1), 0, "x".into()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(adopt(log, &name, UploadId(1), 0, 4, 1, 1).await, Ok(Adopted::Done(1)));
    }
    snapshot(log, &name, 2, 5).await;
    assert_eq!(adopt(log, &name, UploadId(1), 0, 4, 1, 1).await, Ok(Adopted::Done(1)));
    assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(Some("x".into())));
    assert_eq!(head(log, &name).await.revision, 2);
}

/// [L54] Chunks that are missing or others than announced, and a `through` outside of what it may be: refused for
/// ever, and nothing changed.
async fn an_adoption_that_does_not_fit_changes_nothing(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x"; 9]).await;
    snapshot(log, &name, 1, 5).await;
    for (upload, indices) in [(2, &[0, 1][..]), (3, &[0, 2]), (4, &[1])] {
        for index in indices {
            log.put_chunk(&name, UploadId(upload), *index, "four".into()).await.unwrap();
        }
    }
    let before = head(log, &name).await;
    for (upload, through, chunks, bytes) in [
        (2, 6, 1, 4),        // more chunks than announced
        (2, 6, 3, 12),       // fewer
        (2, 6, 2, 7),        // other bytes
        (2, 6, 0, 0),        // none
        (3, 6, 2, 8),        // a hole
        (3, 6, 3, 8),        // the same
        (4, 6, 1, 4),        // the first is missing
        (9, 6, 1, 4),        // no such upload
        (2, 4, 2, 8),        // below the newest snapshot
        (2, 11, 2, 8),       // above the newest record
        (2, 0, 2, 8),        // nothing
        (2, u64::MAX, 2, 8), // nonsense
    ] {
        fatal(adopt(log, &name, UploadId(upload), 1, through, chunks, bytes).await);
    }
    assert_eq!(head(log, &name).await, before);
    assert_eq!(log.chunk(&name, UploadId(2), 1).await, Ok(Some("four".into())));
    assert_eq!(adopt(log, &name, UploadId(2), 1, 5, 2, 8).await, Ok(Adopted::Done(2)));
}

/// [L54] Dropped snapshots go with their chunks; the one that was the newest stays, whatever is asked; so do those
/// that were not named.
async fn dropped_snapshots_are_gone_but_not_the_newest_of_before(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x"; 9]).await;
    for (upload, through) in [(1, 3), (2, 5), (3, 6)] {
        snapshot(log, &name, upload, through).await;
    }
    log.put_chunk(&name, UploadId(4), 0, "x".into()).await.unwrap();
    let adoption = |drop| Adoption {
        upload: UploadId(4),
        revision: 3,
        through: at(7, 1_000),
        log_bytes: 0,
        chunks: 1,
        bytes: 1,
        drop,
    };
    assert_eq!(log.adopt(&name, adoption(vec![1, 3, 4, 99])).await, Ok(Adopted::Done(4)));
    let kept: Vec<u64> = head(log, &name).await.snapshots.iter().map(|kept| kept.revision).collect();
    assert_eq!(kept, [2, 3, 4]);
    assert_eq!(log.chunk(&name, UploadId(1), 0).await, Ok(None));
    for upload in [2, 3, 4] {
        assert!(log.chunk(&name, UploadId(upload), 0).await.unwrap().is_some());
    }
    // What an older one covered can be trimmed now.
    assert_eq!(log.trim(&name, 100).await, Ok(5));
}

/// [L54] More snapshots than a room may have are refused until some are dropped.
async fn a_room_keeps_so_many_snapshots(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x"]).await;
    for upload in 1..=16 {
        snapshot(log, &name, upload, 2).await;
    }
    log.put_chunk(&name, UploadId(17), 0, "x".into()).await.unwrap();
    fatal(adopt(log, &name, UploadId(17), 16, 2, 1, 1).await);
    let known = Adoption {
        upload: UploadId(17),
        revision: 16,
        through: at(2, 1_000),
        log_bytes: 0,
        chunks: 1,
        bytes: 1,
        drop: vec![7],
    };
    assert_eq!(log.adopt(&name, known).await, Ok(Adopted::Done(17)));
    assert_eq!(head(log, &name).await.snapshots.len(), 16);
}

/// [L55] An upload that nobody adopts is gone an hour after its last chunk, by the store's clock, wherever one asks.
async fn uploads_that_nobody_adopts_go(store: Store) {
    const HOUR: u64 = 3_600_000;
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x"]).await;
    let at_ms = |now_ms| store.now_ms.store(now_ms, Ordering::Relaxed);
    at_ms(10);
    for upload in [1, 2, 3] {
        log.put_chunk(&name, UploadId(upload), 0, "x".into()).await.unwrap();
    }
    at_ms(HOUR - 1);
    assert_eq!(adopt(log, &name, UploadId(1), 0, 2, 1, 1).await, Ok(Adopted::Done(1)));
    log.put_chunk(&name, UploadId(2), 1, "y".into()).await.unwrap(); // goes on
    at_ms(HOUR + 9);
    assert!(log.chunk(&name, UploadId(3), 0).await.unwrap().is_some());
    at_ms(HOUR + 10);
    assert_eq!(log.chunk(&name, UploadId(3), 0).await, Ok(None));
    fatal(adopt(log, &name, UploadId(3), 1, 2, 1, 1).await);
    at_ms(2 * HOUR - 2);
    assert_eq!(adopt(log, &name, UploadId(2), 1, 2, 2, 2).await, Ok(Adopted::Done(2)));
    // Adopted ones stay, and a clock that jumps back revives nothing.
    at_ms(100 * HOUR);
    log.put_chunk(&name, UploadId(9), 0, "x".into()).await.unwrap();
    at_ms(0);
    for (upload, index, there) in [(1, 0, true), (2, 1, true), (3, 0, false), (9, 0, true)] {
        assert_eq!(log.chunk(&name, UploadId(upload), index).await.unwrap().is_some(), there, "{upload}");
    }
}

/// [L55] A writer that goes on with an upload that is gone begins with nothing.
async fn an_upload_that_went_begins_anew(store: Store) {
    let (log, name, upload) = (&*store.log, room("a"), UploadId(1));
    append(log, &name, 1, 1, &["x"]).await;
    for index in 0..3 {
        log.put_chunk(&name, upload, index, "old".into()).await.unwrap();
    }
    store.now_ms.store(4_000_000, Ordering::Relaxed);
    log.put_chunk(&name, upload, 3, "new".into()).await.unwrap();
    assert_eq!(log.chunk(&name, upload, 0).await, Ok(None));
    fatal(adopt(log, &name, upload, 0, 2, 4, 12).await);
    for index in 0..3 {
        log.put_chunk(&name, upload, index, "newer".into()).await.unwrap();
    }
    assert_eq!(adopt(log, &name, upload, 0, 2, 4, 18).await, Ok(Adopted::Done(1)));
    // Whatever of the old ones was still on its way out took nothing of the new ones along.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_eq!(log.chunk(&name, upload, 0).await, Ok(Some("newer".into())));
}

/// [L73] A compaction that began in another life of the room publishes nothing in this one, although counters and
/// revision fit.
async fn a_snapshot_of_another_life_is_not_adopted(store: Store) {
    let (log, name) = (&*store.log, room("a"));
    append(log, &name, 1, 1, &["x", "y"]).await;
    let folded = head(log, &name).await;
    assert_eq!(log.delete(&name).await, Ok(true));
    store.now_ms.store(5_000, Ordering::Relaxed);
    append(log, &name, 1, 2, &["z", "z", "z"]).await;
    let upload = UploadId(7);
    log.put_chunk(&name, upload, 0, "snapshot".into()).await.unwrap();
    let (revision, through) = (folded.revision, folded.last);
    let adoption =
        Adoption { upload, revision, through, log_bytes: 0, chunks: 1, bytes: 8, drop: Vec::new() };
    assert!(matches!(log.adopt(&name, adoption).await, Err(LogError::Moved(_))));
    assert_eq!(head(log, &name).await.snapshots, []);
}
