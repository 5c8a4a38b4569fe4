//! Rooms that are compacted while they are used, and when they are left.

use std::sync::Arc;
use std::time::Duration;

use ruang::ids::RoomName;
use ruang::log::memory::{Damage, Faults, MemoryLog};
use ruang::log::{Head, Log, LogError};
use ruang::room::RoomsOptions;

use crate::harness::{Client, Server};

struct Store {
    log: Arc<dyn Log>,
    faults: Faults,
    server: Server,
}

impl Store {
    async fn new(idle_unload: Duration) -> Self {
        let (log, faults) = MemoryLog::with_faults();
        let log: Arc<dyn Log> = Arc::new(log);
        let options = RoomsOptions { idle_unload, ..RoomsOptions::default() };
        let server = Server::start_with(Arc::clone(&log), options).await;
        Self { log, faults, server }
    }

    fn room() -> RoomName {
        "r".parse().unwrap()
    }

    async fn head(&self) -> Head {
        self.log.open(&Self::room()).await.unwrap().expect("the room exists")
    }

    /// `count` sets, each a record of its own, all stored in the end.
    async fn edit(&self, author: &mut Client, count: u64) {
        let acked = author.acked;
        for n in 0..count {
            author.set(&format!("k{}", n % 50), &n.to_string()).await;
            if n % 64 == 63 {
                author.until("acks", |author| author.acked + 64 > acked + n).await;
            }
        }
        author.until("all acks", |author| author.acked == acked + count).await;
    }

    async fn author(&self) -> Client {
        let mut author = self.server.join_for_acks("r").await;
        author.until("the ack of its Step2", |author| author.acked == 1).await;
        author
    }

    async fn until(&self, what: &str, done: impl Fn(&Server) -> bool) {
        crate::harness::until(what, async || done(&self.server)).await;
    }
}

const LONG: Duration = Duration::from_secs(3_600);

/// [H7] A thousand records make a snapshot while people edit; who comes later finds everything, from
/// the snapshot and the records behind it.
#[tokio::test]
async fn a_busy_room_is_compacted() {
    let store = Store::new(LONG).await;
    let mut author = store.author().await;
    store.edit(&mut author, 990).await;
    assert_eq!(store.head().await.revision, 0, "it is not due yet");
    store.edit(&mut author, 60).await;
    store.until("a snapshot", |server| server.app.metrics.snapshots_written.get() == 1).await;
    let head = store.head().await;
    assert_eq!((head.snapshots.len(), head.base), (1, 0));
    assert!(head.snapshots[0].through.seq >= 1_000);
    store.edit(&mut author, 10).await;

    let other = Server::start(Arc::clone(&store.log)).await; // another life of the room
    let mut newcomer = other.join("r").await;
    newcomer.until_set("k9", "9").await;
    assert_eq!(newcomer.get("k49"), author.get("k49"));
    assert_eq!(newcomer.state_vector(), {
        let mut check = store.server.join("r").await;
        check.until_set("k9", "9").await;
        check.state_vector()
    });
    let text = store.server.app.metrics.render();
    for metric in
        ["ruang_snapshots_written_total 1", "ruang_snapshots_failed_total 0", "ruang_compaction_seconds"]
    {
        assert!(text.contains(metric), "{metric} in {text}");
    }
    assert!(store.server.app.metrics.snapshot_bytes.get() > 0);
    other.stop().await;
    store.server.stop().await;
}

/// [H7] When the last one leaves, a room with enough that is new is compacted; one with less is not.
#[tokio::test]
async fn a_room_that_is_left_is_compacted_if_it_is_worth_it() {
    let store = Store::new(LONG).await;
    let mut author = store.author().await;
    store.edit(&mut author, 50).await;
    drop(author);
    let mut author = store.author().await;
    assert_eq!(store.head().await.revision, 0);
    store.edit(&mut author, 80).await;
    drop(author);
    store.until("a snapshot", |server| server.app.metrics.snapshots_written.get() == 1).await;
    let head = store.head().await;
    assert_eq!(head.snapshots[0].through, head.last);
    store.server.stop().await;
}

/// [H8] A store that takes no snapshots costs one try; edits go on, and it is not tried again before as
/// much again is new.
#[tokio::test]
async fn a_store_without_snapshots_costs_little() {
    let store = Store::new(LONG).await;
    for _ in 0..3 {
        store.faults.fail_change(0, LogError::Fatal("this store keeps no snapshots".to_owned()));
    }
    let mut author = store.author().await;
    store.edit(&mut author, 1_100).await;
    store.until("a failure", |server| server.app.metrics.snapshots_failed.get() == 1).await;
    store.edit(&mut author, 900).await;
    assert_eq!(store.server.app.metrics.snapshots_failed.get(), 1);
    drop(author);
    let newcomer = store.server.join("r").await;
    assert!(newcomer.get("k0").is_some());
    assert_eq!(store.server.app.metrics.snapshots_failed.get(), 1);
    assert_eq!(store.server.app.metrics.rooms_failed.get(), 0);
    store.server.stop().await;
}

/// [H5] A record that cannot be folded is told once, when compaction comes to it; the room takes edits,
/// before and after it is loaded again.
#[tokio::test]
async fn a_stopped_room_goes_on() {
    let store = Store::new(Duration::from_millis(50)).await;
    let mut author = store.author().await;
    store.edit(&mut author, 60).await;
    assert!(store.faults.damage(&Store::room(), 40, Damage::FlipBit(200)));
    store.edit(&mut author, 1_000).await;
    store.until("the report", |server| server.app.metrics.compactions_stopped.get() == 1).await;
    let head = store.head().await;
    assert_eq!(head.snapshots[0].through.seq, 39, "everything before it is covered");
    store.edit(&mut author, 1_200).await;
    assert_eq!(store.head().await.revision, 1);
    assert_eq!(store.server.app.metrics.compactions_stopped.get(), 1);
    author.set("last", "1").await;
    author.until("the ack", |author| author.acked == 2_262).await;
    drop(author);
    store.until("the room unloads", |server| server.app.rooms.open_count() == 0).await;
    let mut newcomer = store.server.join("r").await;
    newcomer.set("more", "1").await;
    let mut check = store.server.join("r").await;
    check.until_set("more", "1").await;
    store.server.stop().await;
}

/// [H8] A compaction under way does not keep the server from ending, nor rooms from unloading.
#[tokio::test]
async fn a_compaction_keeps_nobody() {
    let store = Store::new(Duration::from_millis(50)).await;
    let held = store.faults.hold_changes();
    let mut author = store.author().await;
    store.edit(&mut author, 1_100).await;
    held.arrived(1).await;
    drop(author);
    store.until("the room unloads", |server| server.app.rooms.open_count() == 0).await;
    let newcomer = store.server.join("r").await;
    assert!(newcomer.get("k0").is_some());
    assert_eq!((store.head().await.revision, held.waiting()), (0, 1), "it is still under way");
    store.server.stop().await;
}
