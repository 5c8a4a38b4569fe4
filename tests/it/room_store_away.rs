//! The store takes nothing for a while: people stay and edit on; then it is back, or they come back later.

use std::sync::Arc;
use std::time::Duration;

use ruang::log::memory::MemoryLog;
use ruang::log::{Log, LogError};
use ruang::room::RoomsOptions;

use crate::harness::Server;

/// Far more tries than there are in the time of these tests.
const ALWAYS: usize = 100_000;

fn patient(millis: u64) -> RoomsOptions {
    RoomsOptions { store_patience: Duration::from_millis(millis), ..RoomsOptions::default() }
}

/// [R32] While the store is away people stay, and see nothing of each other's edits; then all of it is
/// stored and shown.
#[tokio::test]
async fn a_store_that_comes_back_has_everything() {
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let server = Server::start_with(Arc::clone(&log), patient(60_000)).await;
    let (mut ann, mut bob) = (server.connect_for_acks("r").await, server.join("r").await);
    ann.sync().await;
    ann.set("before", "1").await;
    bob.until_set("before", "1").await;
    ann.until("acks", |ann| ann.acked == 2).await;
    println!("the store refuses the next 4 appends as not available");
    faults.fail_appends(4, LogError::Unavailable("a test".to_owned()));
    for n in 0..500 {
        ann.set(&format!("a{}", n % 50), &n.to_string()).await;
    }
    bob.set("bob", "1").await;
    assert!(!bob.hears_anything(Duration::from_millis(100)).await, "nothing unstored is shown");
    bob.until_set("a49", "499").await;
    ann.until_set("bob", "1").await;
    ann.until("all acks", |ann| ann.acked == 502).await;
    assert_eq!(server.app.rooms.metrics().rooms_without_store.get(), 0);
    server.stop().await;
}

/// [R32] A store that stays away: after the patience people are asked to come back, newcomers too; what was
/// edited meanwhile is with the clients, and is stored once the store is back.
#[tokio::test]
async fn a_store_that_stays_away_sends_people_back_later() {
    let (log, faults) = MemoryLog::with_faults();
    let log: Arc<dyn Log> = Arc::new(log);
    let server = Server::start_with(Arc::clone(&log), patient(300)).await;
    let (mut ann, mut bob) = (server.join("r").await, server.join("r").await);
    ann.set("before", "1").await;
    bob.until_set("before", "1").await;
    println!("the store is away for good");
    faults.fail_appends(ALWAYS, LogError::Unavailable("a test".to_owned()));
    ann.set("during", "1").await;
    assert_eq!((ann.until_closed().await, bob.until_closed().await), (Some(1013), Some(1013)));
    assert_eq!(bob.get("during"), None);
    assert_eq!(server.app.rooms.metrics().rooms_without_store.get(), 1);
    faults.fail_reads_of(&"r".parse().unwrap(), 1, LogError::Unavailable("a test".to_owned()));
    let mut early = server.connect("r").await;
    assert_eq!(early.until_closed().await, Some(1013), "a room cannot be opened now");
    println!("the store is back");
    faults.forgive();
    let url = server.url("r");
    ann.reconnect(&url, None).await;
    ann.sync().await;
    bob.reconnect(&url, None).await;
    bob.sync().await;
    bob.until_set("during", "1").await;
    server.stop().await;
}

/// [R32] Edits wait in bounded memory: at the bound the sockets of that room are not read, and no other room
/// notices; nothing of it is lost.
#[tokio::test]
async fn what_waits_is_bounded() {
    const UPDATES: usize = 6_000;
    let (log, faults) = MemoryLog::with_faults();
    let server = Server::start_with(Arc::new(log), patient(60_000)).await;
    let mut ann = server.join("r").await;
    ann.set("before", "1").await;
    let mut bob = server.join("r").await;
    bob.until_set("before", "1").await;
    let held = faults.hold_appends();
    ann.set("first", "1").await;
    held.arrived(1).await;
    for n in 0..UPDATES {
        ann.set(&format!("k{}", n % 100), &n.to_string()).await;
    }
    println!("more edits wait than a room may hold; another room opens and is read");
    let mut other = server.join("other").await;
    assert!(!other.hears_anything(Duration::from_millis(300)).await);
    let uncommitted = server.app.rooms.inflow_units("r".parse().as_ref().unwrap());
    assert_eq!(uncommitted, 4_096, "the room is full, and the rest waits in its socket");
    held.release();
    bob.until_set("k99", &(UPDATES - 1).to_string()).await;
    server.stop().await;
}
