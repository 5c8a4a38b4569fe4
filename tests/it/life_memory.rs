//! [H30] Ten thousand rooms come and go: what they took of the process is free again. In a process of
//! its own, since the allocator that counts counts all of it.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod life_support;

use std::sync::Arc;

use life_support::{HOUR, Person, TestClocks, eventually, room, rooms};
use peak_alloc::PeakAlloc;
use ruang::life::Sweeper;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::room::Rooms;
use ruang::throttle::Limits;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const ROOMS: usize = 10_000;

/// People open rooms, write, and leave; a day later the rooms are gone.
async fn come_and_go(
    rooms: &Arc<Rooms>,
    log: &Arc<dyn Log>,
    sweeper: &mut Sweeper,
    clocks: &TestClocks,
    count: usize,
) -> (usize, usize) {
    let mut people = Vec::with_capacity(count);
    for n in 0..count {
        let mut person = Person::join(rooms, &room(&format!("room {n}"))).await;
        person.set("a card").await;
        people.push(person);
    }
    let peopled = HEAP.current_usage();
    drop(people);
    eventually("all rooms are unloaded", || rooms.open_count() == 0).await;
    let stored = HEAP.current_usage();
    for _ in 0..2 {
        clocks.pass(25 * HOUR);
        sweeper.sweep().await.unwrap();
    }
    assert!(log.rooms(None, 1).await.unwrap().is_empty(), "all rooms are gone");
    // What the sweeper remembered goes with the next sweep.
    sweeper.sweep().await.unwrap();
    (peopled, stored)
}

#[tokio::test]
async fn rooms_that_have_gone_take_no_memory() {
    let clocks = TestClocks::new();
    let (log, _) = MemoryLog::with_clock(clocks.wall());
    let log: Arc<dyn Log> = Arc::new(log);
    let mut options = clocks.options();
    // More come at once than a server lets begin in a minute.
    options.limits = Limits { new_rooms_per_minute: 0, sessions: usize::MAX, ..Limits::default() };
    let rooms = rooms(Arc::clone(&log), options);
    let mut sweeper = Sweeper::new(Arc::clone(&rooms));
    come_and_go(&rooms, &log, &mut sweeper, &clocks, 100).await;
    let before = HEAP.current_usage();
    let (peopled, stored) = come_and_go(&rooms, &log, &mut sweeper, &clocks, ROOMS).await;
    let after = HEAP.current_usage();
    let kib = |bytes: usize| bytes / 1024;
    println!(
        "{ROOMS} rooms: {} KiB before, {} with people, {} stored, {} after",
        kib(before),
        kib(peopled),
        kib(stored),
        kib(after)
    );
    assert!(stored > before + ROOMS * 256, "the rooms were there");
    assert!(after < before + 256 * 1024, "{} KiB are still taken", kib(after - before));
}
