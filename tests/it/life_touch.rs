//! Who is in a room keeps it alive: touches by its task.

use std::sync::Arc;
use std::time::Duration;

use ruang::ids::RoomName;
use ruang::life::Clocks;
use ruang::log::memory::{Faults, MemoryLog};
use ruang::log::{Log, LogError};
use ruang::room::Rooms;
use tokio::time::{Instant, sleep};

use crate::harness::Server;
use crate::life_support::{DAY, HOUR, MINUTE, Person, TestClocks, head, room, rooms, until_closed};

/// Clocks that follow the runtime's, which tests stop.
fn runtime_clocks() -> Clocks {
    let began = Instant::now();
    let since = move || began.elapsed().as_millis() as u64;
    Clocks { wall: Arc::new(move || 1_780_000_000_000 + since()), steady: Arc::new(since) }
}

/// A room with one person in it, who has written something.
struct World {
    clocks: Clocks,
    log: Arc<dyn Log>,
    faults: Faults,
    rooms: Arc<Rooms>,
    name: RoomName,
    person: Person,
}

impl World {
    async fn new() -> Self {
        let clocks = runtime_clocks();
        let (log, faults) = MemoryLog::with_clock(Arc::clone(&clocks.wall));
        let log: Arc<dyn Log> = Arc::new(log);
        let mut options = TestClocks::new().options();
        options.life.clocks = clocks.clone();
        let (rooms, name) = (rooms(Arc::clone(&log), options), room("r"));
        let mut person = Person::join(&rooms, &name).await;
        person.set("k").await;
        Self { clocks, log, faults, rooms, name, person }
    }
}

/// [H21] Someone reads for 30 days and writes nothing: the deadline is never nearer than 23 hours less
/// a beat. They leave: it is a day from then, and the room unloads.
#[tokio::test(start_paused = true)]
async fn readers_keep_a_room_alive() {
    let World { clocks, log, rooms, name, person, .. } = World::new().await;
    let mut nearest_ms = u64::MAX;
    for _ in 0..30 * 24 {
        sleep(Duration::from_millis(HOUR)).await;
        let deadline_ms = head(&log, &name).await.unwrap().deadline_ms.unwrap();
        nearest_ms = nearest_ms.min(deadline_ms.saturating_sub((clocks.wall)()));
    }
    println!("the deadline was never nearer than {} min", nearest_ms / MINUTE);
    assert!(nearest_ms >= 23 * HOUR - 2 * 10_000);
    sleep(Duration::from_millis(30 * MINUTE)).await;
    let left_ms = (clocks.wall)();
    drop(person);
    until_closed(&rooms, &name).await;
    let deadline_ms = head(&log, &name).await.unwrap().deadline_ms.unwrap();
    assert!((left_ms + DAY..left_ms + DAY + 1_000).contains(&deadline_ms));
}

/// [H21] A touch that the store refuses is tried again with the next beat, until it works; one that
/// hangs holds up neither edits nor acks.
#[tokio::test(start_paused = true)]
async fn touches_never_hold_up_a_room() {
    let World { log, faults, rooms, name, mut person, .. } = World::new().await;
    let deadline = async || head(&log, &name).await.unwrap().deadline_ms.unwrap();
    let first_ms = deadline().await;

    println!("three touches are refused an hour after the edit; the fourth, three beats later, works");
    for _ in 0..3 {
        faults.fail_change(0, LogError::Unavailable("a test".to_owned()));
    }
    sleep(Duration::from_millis(HOUR + 25_000)).await;
    assert_eq!(deadline().await, first_ms);
    sleep(Duration::from_millis(30_000)).await;
    let moved_ms = deadline().await;
    assert!(moved_ms >= first_ms + HOUR, "{} ms later", moved_ms - first_ms);

    println!("a touch hangs: edits are stored all the same");
    let held = faults.hold_changes();
    sleep(Duration::from_millis(HOUR + 15_000)).await;
    assert!(held.waiting() > 0);
    person.set("l").await;
    drop(person);
    held.release();
    until_closed(&rooms, &name).await;
}

/// [H21] A room that nothing was ever stored in is not touched: joins and leaves write nothing.
#[tokio::test(start_paused = true)]
async fn empty_rooms_write_nothing() {
    let (log, faults) = MemoryLog::with_faults();
    let (rooms, name) = (rooms(Arc::new(log), TestClocks::new().options()), room("r"));
    let held = faults.hold_changes();
    let person = Person::join(&rooms, &name).await;
    sleep(Duration::from_millis(5 * HOUR)).await;
    drop(person);
    until_closed(&rooms, &name).await;
    assert_eq!(held.waiting(), 0);
}

/// [H25] A session of `ruang.v1` is warned with a beat when less than an hour is left, and once in ten
/// minutes; others never hear of it, and before its first sync no session does.
#[tokio::test]
async fn sessions_are_warned() {
    let clocks = TestClocks::new();
    let (log, _) = MemoryLog::with_clock(clocks.wall());
    let mut options = clocks.options();
    options.ttl = Some(Duration::from_millis(40 * MINUTE));
    let server = Server::start_with(Arc::new(log), options).await;
    let mut speaker = server.join_for_acks("r").await;
    speaker.set("k", "v").await;
    let mut plain = server.join("r").await;
    let mut silent = server.connect_for_acks("r").await;
    println!("waiting for a beat, and for a second one that brings nothing");
    speaker.until("a warning", |speaker| !speaker.warned.is_empty()).await;
    assert!((39 * MINUTE..=40 * MINUTE).contains(&speaker.warned[0]), "{:?}", speaker.warned);
    speaker.hears_anything(Duration::from_secs(11)).await;
    assert_eq!(speaker.warned.len(), 1);
    clocks.pass(10 * MINUTE);
    speaker.until("the next warning", |speaker| speaker.warned.len() == 2).await;
    plain.hears_anything(Duration::from_millis(200)).await;
    silent.hears_anything(Duration::from_millis(200)).await;
    assert!(plain.warned.is_empty() && silent.warned.is_empty());
    server.stop().await;
}
