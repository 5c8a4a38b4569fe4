//! Faults on request: each one does what it says, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ruang::ids::Position;
use ruang::log::bus::Seen;
use ruang::log::memory::{Damage, MemoryLog};
use ruang::log::{Appended, Batch, Durability, Expects, Log, LogError};
use tokio::task::JoinHandle;

use crate::log_support::*;

fn spawn_append(log: &Arc<MemoryLog>, number: u64) -> JoinHandle<Result<Appended, LogError>> {
    let (log, name) = (Arc::clone(log), room("a"));
    tokio::spawn(async move { log.append(&name, batch(&name, 1, number, &["x"])).await })
}

/// [L30] A held append is neither stored nor answered; released, it is both.
#[tokio::test]
async fn a_held_append_is_not_there() {
    let (log, faults) = MemoryLog::with_faults();
    let log = Arc::new(log);
    let held = faults.hold_appends();
    let append = spawn_append(&log, 1);
    held.arrived(1).await;
    assert_eq!(log.open(&room("a")).await, Ok(None));
    assert!(!append.is_finished());
    held.release();
    assert_eq!(append.await.unwrap().unwrap().first.seq, 2);
    assert_eq!(texts(&*log, &room("a")).await, ["x"]);
}

/// [L30] Two holds: the last one counts. A dropped future leaves the gate and stores nothing.
#[tokio::test]
async fn holds_add_up() {
    let (log, faults) = MemoryLog::with_faults();
    let log = Arc::new(log);
    let (one, two) = (faults.hold_appends(), faults.hold_appends());
    let dropped = spawn_append(&log, 1);
    one.arrived(1).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert_eq!(two.waiting(), 0);
    let append = spawn_append(&log, 2);
    two.arrived(1).await;
    drop(one);
    tokio::task::yield_now().await;
    assert!(!append.is_finished());
    drop(two);
    append.await.unwrap().unwrap();
    assert_eq!(texts(&*log, &room("a")).await, ["x"]);
}

/// [L30] A stalled reply: stored and seen by readers, but not answered.
#[tokio::test]
async fn a_stalled_reply_is_stored() {
    let (log, faults) = MemoryLog::with_faults();
    let log = Arc::new(log);
    let stalled = faults.stall_replies();
    let append = spawn_append(&log, 1);
    stalled.arrived(1).await;
    assert_eq!(texts(&*log, &room("a")).await, ["x"]);
    assert!(!append.is_finished());
    stalled.release();
    assert!(!append.await.unwrap().unwrap().duplicate);
}

/// [L30] Held reads wait.
#[tokio::test]
async fn reads_can_be_held() {
    let (log, faults) = MemoryLog::with_faults();
    let log = Arc::new(log);
    let held = faults.hold_reads();
    let reader = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.open(&room("a")).await }
    });
    held.arrived(1).await;
    assert!(!reader.is_finished());
    held.release();
    assert_eq!(reader.await.unwrap(), Ok(None));
}

/// [L30] Errors come in the order in which they were asked for, and store nothing.
#[tokio::test]
async fn refusals_store_nothing() {
    let (log, faults) = MemoryLog::with_faults();
    let full = LogError::Full("no space".to_owned());
    let away = LogError::Unavailable("away".to_owned());
    faults.fail_appends(2, full.clone());
    faults.fail_appends(1, away.clone());
    faults.lose_replies(1); // not used up by what is refused
    let name = room("a");
    for expected in [&full, &full, &away] {
        assert_eq!(log.append(&name, batch(&name, 1, 1, &["x"])).await.as_ref(), Err(expected));
        assert_eq!(log.open(&name).await, Ok(None));
    }
    faults.fail_reads(1, away.clone());
    assert_eq!(log.open(&name).await, Err(away));
    let lost = log.append(&name, batch(&name, 1, 1, &["x"])).await;
    assert!(matches!(lost, Err(LogError::Unknown(_))));
    let again = append(&log, &name, 1, 1, &["x"]).await;
    assert!(again.duplicate && again.created.is_some());
    assert_eq!(texts(&log, &name).await, ["x"]);
}

/// [L30] A call that reaches the store twice is stored once.
#[tokio::test]
async fn a_duplicated_call_is_stored_once() {
    let (log, faults) = MemoryLog::with_faults();
    let name = room("a");
    faults.duplicate_calls(1);
    let answer = append(&log, &name, 1, 1, &["x"]).await;
    assert!(answer.duplicate && answer.created.is_some());
    assert!(!append(&log, &name, 1, 2, &["y"]).await.duplicate);
    assert_eq!(texts(&log, &name).await, ["x", "y"]);
}

/// [L30] A delay delays every append until it is taken back.
#[tokio::test]
async fn appends_can_be_slow() {
    let (log, faults) = MemoryLog::with_faults();
    let log = Arc::new(log);
    faults.delay_appends(Duration::from_secs(3_600));
    let slow = spawn_append(&log, 1);
    tokio::task::yield_now().await;
    assert!(!slow.is_finished());
    slow.abort();
    faults.delay_appends(Duration::ZERO);
    spawn_append(&log, 2).await.unwrap().unwrap();
}

/// [L30] Damage asked for where nothing is does nothing, and says so.
#[tokio::test]
async fn damage_says_whether_it_was_done() {
    let (log, faults) = MemoryLog::with_faults();
    let name = room("a");
    append(&log, &name, 1, 1, &["x"]).await;
    assert!(!faults.damage(&room("b"), 1, Damage::Truncate(0)));
    assert!(!faults.damage(&name, 0, Damage::Truncate(0)));
    assert!(!faults.damage(&name, 3, Damage::Truncate(0)));
    assert!(!faults.damage(&name, 2, Damage::FlipBit(1 << 20)));
    assert!(faults.damage(&name, 2, Damage::FlipBit(0)));
    assert_eq!(texts(&log, &name).await, ["!"]);
    drop(log);
    assert!(!faults.damage(&name, 2, Damage::FlipBit(0)));
}

/// [L14] It never claims to survive its process.
#[test]
fn it_is_as_durable_as_it_says() {
    assert_eq!(MemoryLog::new().durability(), Durability::Memory);
}

/// A batch of instance 2 that knows the room up to `last`, in the room's epoch.
async fn batch_that_saw(log: &MemoryLog, last: Position, number: u64, text: &str) -> Batch {
    let epoch = head(log, &room("a")).await.epoch;
    Batch { seen: Seen { last, epoch }, ..batch(&room("a"), 2, number, &[text]) }
}

/// [L72] A store that fell back and was written to since holds as many records as were seen, but not those: who saw
/// others is refused.
#[tokio::test]
async fn a_log_that_fell_back_and_grew_again_is_told() {
    let now_ms = Arc::new(AtomicU64::new(1_000));
    let (log, faults) = MemoryLog::for_instances(clock(&now_ms));
    append(&log, &room("a"), 1, 1, &["x", "y"]).await;
    let seen = head(&log, &room("a")).await.last;
    faults.roll_back(&room("a"), 2);
    now_ms.store(2_000, Ordering::Relaxed);
    append(&log, &room("a"), 3, 1, &["z", "z", "z"]).await;
    let late = batch_that_saw(&log, seen, 1, "late").await;
    assert!(matches!(log.append(&room("a"), late).await, Err(LogError::Moved(_))));
    let fits = batch_that_saw(&log, at(2, 1_000), 2, "fits").await;
    assert!(log.append(&room("a"), fits).await.is_ok());
}

/// [L72] What heals a room is taken under a name that was deleted in an earlier life.
#[tokio::test]
async fn an_earlier_tombstone_does_not_forbid_healing() {
    let (log, _) = MemoryLog::for_instances(clock(&Arc::new(AtomicU64::new(1_000))));
    append(&log, &room("a"), 1, 1, &["x"]).await;
    assert_eq!(log.delete(&room("a")).await, Ok(true));
    append(&log, &room("a"), 1, 2, &["y"]).await;
    let healing = |heals| Batch { heals, expects: Expects::At(2), ..batch(&room("a"), 2, 1, &["z"]) };
    assert!(matches!(log.append(&room("a"), healing(false)).await, Err(LogError::Moved(_))));
    assert!(log.append(&room("a"), healing(true)).await.is_ok());
}
