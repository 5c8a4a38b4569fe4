//! The sweeper over real rooms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ruang::life::{Sweeper, Swept};
use ruang::log::memory::{Faults, MemoryLog};
use ruang::log::{Log, LogError};
use ruang::room::{Entry, Rooms, RoomsOptions};

use crate::history_support::{Writer, keystrokes};
use crate::life_support::{
    DAY, HOUR, MINUTE, Nowhere, Person, TestClocks, eventually, head, leave_one_edit, room, rooms,
    until_closed,
};

struct World {
    clocks: TestClocks,
    faults: Faults,
    log: Arc<dyn Log>,
    rooms: Arc<Rooms>,
    sweeper: Sweeper,
}

fn world(change: impl FnOnce(&mut RoomsOptions)) -> World {
    let clocks = TestClocks::new();
    let (log, faults) = MemoryLog::with_clock(clocks.wall());
    let log: Arc<dyn Log> = Arc::new(log);
    let mut options = clocks.options();
    change(&mut options);
    let rooms = rooms(Arc::clone(&log), options);
    let sweeper = Sweeper::new(Arc::clone(&rooms));
    World { clocks, faults, log, rooms, sweeper }
}

impl World {
    async fn sweep_after(&mut self, ms: u64) -> Swept {
        self.clocks.pass(ms);
        self.sweeper.sweep().await.expect("the log is read")
    }
}

/// [H22] A day and a bit after its last edit a room is gone, whole: head, records, name. Another one
/// that was edited in between is not. The next edit begins another life at counter one.
#[tokio::test(start_paused = true)]
async fn rooms_die_a_life_after_their_last_edit() {
    let mut world = world(|_| {});
    let (old, young) = (room("old"), room("young"));
    leave_one_edit(&world.rooms, &old).await;
    leave_one_edit(&world.rooms, &young).await;
    assert_eq!(world.sweep_after(12 * HOUR).await, Swept { rooms: 2, expired: 0, compacted: 0, kept: 0 });
    let mut person = Person::join(&world.rooms, &young).await;
    person.set("new").await;
    drop(person);
    until_closed(&world.rooms, &young).await;
    assert_eq!(world.sweep_after(12 * HOUR).await.expired, 0, "the first sight");
    assert_eq!(world.sweep_after(10 * MINUTE).await, Swept { rooms: 2, expired: 1, compacted: 0, kept: 0 });
    assert_eq!(head(&world.log, &old).await, None);
    assert!(world.log.read(&old, 0, 10).await.unwrap().is_empty());
    assert_eq!(world.log.rooms(None, 10).await.unwrap(), [young]);
    let mut person = Person::join(&world.rooms, &old).await;
    assert!(person.keys().await.is_empty(), "the room is absent");
    person.set("again").await;
    assert_eq!(head(&world.log, &old).await.unwrap().last.seq, 2, "genesis and one edit");
}

/// [H22] A room with people is never removed, however long ago its deadline was; nor is one that they
/// left just now.
#[tokio::test(start_paused = true)]
async fn open_rooms_never_expire() {
    let mut world = world(|options| options.idle_unload = Duration::from_secs(3600));
    let name = room("r");
    let mut person = Person::join(&world.rooms, &name).await;
    person.set("k").await;
    for _ in 0..10 {
        assert_eq!(world.sweep_after(DAY).await.expired, 0);
    }
    drop(person);
    let asked_ms = world.clocks.wall_ms();
    eventually("the leave is in the deadline", || {
        let head = futures_util::FutureExt::now_or_never(world.log.open(&name)).unwrap().unwrap().unwrap();
        head.deadline_ms >= Some(asked_ms + DAY)
    })
    .await;
    assert_eq!(world.sweep_after(HOUR).await.expired, 0);
}

/// [H22] Two instances on one store: one has the room open and touches it, so the sweeper of the other
/// finds another deadline each time.
#[tokio::test(start_paused = true)]
async fn an_instance_does_not_remove_what_another_has_touched() {
    let mut world = world(|_| {});
    let name = room("r");
    leave_one_edit(&world.rooms, &name).await;
    world.sweep_after(25 * HOUR).await;
    world.log.touch(&name, Some(1)).await.unwrap();
    assert_eq!(world.sweep_after(HOUR).await.expired, 0, "that is another deadline, seen once");
    let held = world.faults.hold_changes();
    world.clocks.pass(HOUR);
    let log = Arc::clone(&world.log);
    let expiring = tokio::spawn(async move { world.sweeper.sweep().await });
    held.arrived(1).await;
    println!("the sweeper is about to remove the room; a touch overtakes it");
    let touching = tokio::spawn({
        let (log, name) = (Arc::clone(&log), name.clone());
        async move { log.touch(&name, Some(DAY)).await }
    });
    held.arrived(2).await;
    held.release();
    touching.await.unwrap().unwrap();
    let swept = expiring.await.unwrap().unwrap();
    let head = head(&log, &name).await;
    println!("{swept:?}, {head:?}");
    assert_eq!(swept.expired == 1, head.is_none(), "either order is right, and told as it was");
}

/// [H23] The wall clock jumps 48 h in either direction while rooms are closed: none is removed within
/// a day of the jump by the steady clock, and a gauge says why. Then the day is over.
#[tokio::test(start_paused = true)]
async fn clock_jumps_remove_nothing() {
    for jump_ms in [2 * DAY as i64, -2 * DAY as i64] {
        println!("a jump by {} h", jump_ms / HOUR as i64);
        let mut world = world(|_| {});
        let name = room("r");
        leave_one_edit(&world.rooms, &name).await;
        world.sweep_after(MINUTE).await;
        world.clocks.jump(jump_ms);
        for _ in 0..6 * 23 {
            assert_eq!(world.sweep_after(10 * MINUTE).await.expired, 0);
            assert!(world.rooms_metrics().contains("ruang_expiry_suspended 1"));
        }
        world.clocks.jump(-jump_ms);
        for _ in 0..6 * 23 {
            assert_eq!(world.sweep_after(10 * MINUTE).await.expired, 0, "set right: another jump");
        }
        let mut expired = 0;
        for _ in 0..12 {
            expired += world.sweep_after(10 * MINUTE).await.expired;
        }
        assert_eq!(expired, 1);
        assert!(world.rooms_metrics().contains("ruang_expiry_suspended 0"));
    }
}

impl World {
    fn rooms_metrics(&self) -> String {
        self.rooms.metrics().render()
    }
}

/// [H22] Nothing goes in the first ten minutes after a start.
#[tokio::test(start_paused = true)]
async fn a_start_removes_nothing_for_ten_minutes() {
    let mut world = world(|options| options.life.grace = Duration::from_millis(10 * MINUTE));
    leave_one_edit(&world.rooms, &room("r")).await;
    world.clocks.pass(3 * DAY);
    world.sweeper = Sweeper::new(Arc::clone(&world.rooms));
    for _ in 0..9 {
        assert_eq!(world.sweep_after(MINUTE).await.expired, 0);
    }
    assert_eq!(world.sweep_after(MINUTE).await.expired, 1);
}

/// [H24] Someone joins while the room is being removed: they wait, then find it absent. Someone is
/// loading it when the sweeper comes: it stays, and they find it whole.
#[tokio::test(start_paused = true)]
async fn a_join_finds_a_room_whole_or_absent() {
    let mut world = world(|_| {});
    let name = room("r");
    leave_one_edit(&world.rooms, &name).await;
    world.sweep_after(25 * HOUR).await;

    println!("the load is held while the sweeper passes");
    let held = world.faults.hold_reads();
    let rooms = Arc::clone(&world.rooms);
    let joining = tokio::spawn({
        let (rooms, name) = (Arc::clone(&rooms), name.clone());
        async move { Person::join(&rooms, &name).await.keys().await }
    });
    held.arrived(1).await;
    world.clocks.pass(HOUR);
    let sweeping = tokio::spawn(async move {
        let swept = world.sweeper.sweep().await.unwrap();
        (world, swept)
    });
    held.arrived(2).await;
    held.release();
    let (mut world, swept) = sweeping.await.unwrap();
    assert_eq!((joining.await.unwrap(), swept.expired), (vec!["old".to_owned()], 0));
    until_closed(&rooms, &name).await;

    println!("the removal is held while someone comes");
    world.sweep_after(25 * HOUR).await;
    world.clocks.pass(HOUR);
    let held = world.faults.hold_changes();
    let sweeping = tokio::spawn(async move { world.sweeper.sweep().await.unwrap() });
    held.arrived(1).await;
    let mut joining = tokio::spawn(async move { Person::join(&rooms, &name).await.keys().await });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut joining).await;
    assert!(early.is_err(), "the join waits");
    held.release();
    assert_eq!(sweeping.await.unwrap().expired, 1);
    assert!(joining.await.unwrap().is_empty(), "the room is absent");
}

/// [H24] Someone comes in the very moment between the sweeper's look at the room and its removal: it
/// stays. (The clock is asked in that moment, so this clock lets them in.)
#[tokio::test(start_paused = true)]
async fn a_join_in_the_last_moment_keeps_a_room() {
    use futures_util::FutureExt;
    let entering: Arc<Mutex<Option<Arc<Rooms>>>> = Arc::default();
    let (enter, name) = (Arc::clone(&entering), room("r"));
    let mut world = world(|options| {
        let (wall, name) = (Arc::clone(&options.life.clocks.wall), name.clone());
        options.life.clocks.wall = Arc::new(move || {
            if let Some(rooms) = enter.lock().take() {
                let join = rooms.join(&name, Entry::anonymous(Arc::new(Nowhere))).now_or_never();
                assert!(join.is_none(), "the room is being loaded");
            }
            wall()
        });
    });
    leave_one_edit(&world.rooms, &name).await;
    world.sweep_after(25 * HOUR).await;
    *entering.lock() = Some(Arc::clone(&world.rooms));
    assert_eq!(world.sweep_after(HOUR).await, Swept { rooms: 1, expired: 0, compacted: 0, kept: 0 });
    assert!(entering.lock().is_none(), "someone came");
    assert_eq!(Person::join(&world.rooms, &name).await.keys().await, ["old"]);
}

/// [H24] The same at random: a room of many pages, a join at any moment around its removal. It is
/// whole or absent each time, and both happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_joins_around_an_expiry() {
    let (mut whole, mut absent) = (0, 0);
    for round in 0..60_u64 {
        let mut world = world(|options| options.idle_unload = Duration::ZERO);
        let name = room("r");
        let mut person = Person::join(&world.rooms, &name).await;
        for n in 0..20 {
            person.set(&format!("k{n}")).await;
        }
        drop(person);
        until_closed(&world.rooms, &name).await;
        world.sweep_after(25 * HOUR).await;
        world.clocks.pass(HOUR);
        // The join begins up to 300 µs before the sweep, or after it.
        let lead = Duration::from_micros(300);
        let (at, began) = (Duration::from_micros(round * 10), Instant::now());
        let rooms = Arc::clone(&world.rooms);
        let joining = tokio::spawn(async move {
            spin_until(began + at);
            Person::join(&rooms, &name).await.keys().await.len()
        });
        spin_until(began + lead);
        let swept = world.sweeper.sweep().await.unwrap();
        let found = joining.await.unwrap();
        assert!(found == 20 || found == 0, "{found} of 20 edits");
        assert_eq!(swept.expired == 1, found == 0, "round {round}");
        (whole, absent) = (whole + u32::from(found == 20), absent + u32::from(found == 0));
    }
    println!("whole {whole} times, absent {absent} times");
}

/// Timers are too coarse for a race of microseconds.
fn spin_until(moment: Instant) {
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
}

/// [H22] A store that refuses: the sweep ends or goes on, the room stays, and goes later. A lost answer
/// to a removal is no harm.
#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_keeps_its_rooms() {
    let mut world = world(|_| {});
    let (a, b) = (room("a"), room("b"));
    leave_one_edit(&world.rooms, &a).await;
    leave_one_edit(&world.rooms, &b).await;
    world.sweep_after(25 * HOUR).await;
    world.faults.fail_change(0, LogError::Fatal("the embedded store keeps no snapshots yet".to_owned()));
    world.faults.lose_change_reply(0);
    let swept = world.sweep_after(HOUR).await;
    println!("{swept:?}");
    assert_eq!(swept.kept, 2, "one was refused, of the other nothing is known");
    assert!(head(&world.log, &a).await.is_some());
    assert_eq!(head(&world.log, &b).await, None, "though the answer was lost, it has gone");
    assert_eq!(world.sweep_after(HOUR).await.expired, 1);
    world.faults.fail_reads(1, LogError::Unavailable("a test".to_owned()));
    assert!(world.sweeper.sweep().await.is_err());
    assert_eq!(world.sweep_after(HOUR).await, Swept::default(), "the next sweep goes on as ever");
}

/// [H20] With `never` nothing goes, also what has a deadline from an earlier setting.
#[tokio::test(start_paused = true)]
async fn never_is_never() {
    let mut world = world(|_| {});
    let name = room("r");
    leave_one_edit(&world.rooms, &name).await;
    let mut options = world.clocks.options();
    options.ttl = None;
    let patient = rooms(Arc::clone(&world.log), options);
    world.sweeper = Sweeper::new(Arc::clone(&patient));
    for _ in 0..5 {
        assert_eq!(world.sweep_after(DAY).await.expired, 0);
    }
    let person = Person::join(&patient, &name).await;
    drop(person);
    until_closed(&patient, &name).await;
    assert_eq!(head(&world.log, &name).await.unwrap().deadline_ms, None, "a visit takes the deadline away");
}

/// [H22] The sweeper goes through more rooms than one page holds, and ends with the rooms.
#[tokio::test(start_paused = true)]
async fn all_pages_are_swept_and_the_sweeper_ends_with_the_rooms() {
    let mut world = world(|_| {});
    for n in 0..150 {
        let mut person = Person::join(&world.rooms, &room(&format!("r{n}"))).await;
        person.set("k").await;
    }
    eventually("all are unloaded", || world.rooms.open_count() == 0).await;
    assert_eq!(world.sweep_after(25 * HOUR).await.rooms, 150);
    assert_eq!(world.sweep_after(HOUR).await, Swept { rooms: 150, expired: 150, compacted: 0, kept: 0 });
    assert!(world.log.rooms(None, 1).await.unwrap().is_empty());
    world.rooms.start_sweeper();
    world.rooms.shut_down().await;
}

/// [H31] A closed room that was left with a long tail, as by a crash, is compacted by the sweeper: one whose
/// tail is short is not, nor one that is frozen. What fails is not tried again before the room has
/// changed.
#[tokio::test]
async fn what_was_left_long_is_compacted() {
    let mut world = world(|options| options.ttl = None);
    for (name, count) in [("long", 300), ("short", 20), ("frozen", 300)] {
        Writer::new(&world.log, name).write(&keystrokes(7, count)).await;
    }
    assert!(world.log.freeze(&room("frozen"), true).await.unwrap());
    world.faults.fail_change(0, LogError::Full("as the test asked".to_owned()));
    let swept = |compacted| Swept { rooms: 3, compacted, ..Swept::default() };
    assert_eq!(world.sweep_after(HOUR).await, swept(0), "the store was full");
    assert_eq!(world.sweep_after(HOUR).await, swept(0), "it is not tried again at once");
    let mut person = Person::join(&world.rooms, &room("long")).await;
    person.set("new").await;
    let seen = head(&world.log, &room("long")).await.unwrap();
    assert_eq!((seen.last.seq, seen.snapshots.len()), (302, 0));
    drop(person);
    until_closed(&world.rooms, &room("long")).await;
    // Its last leave has begun a compaction of its own; if that is not done yet, the sweep waits for none.
    for _ in 0..100 {
        world.sweep_after(HOUR).await;
        if !head(&world.log, &room("long")).await.unwrap().snapshots.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let snapshots = head(&world.log, &room("long")).await.unwrap().snapshots;
    assert_eq!(
        snapshots.last().map(|newest| newest.through.seq),
        Some(302),
        "it has changed, so it is tried"
    );
    for name in ["short", "frozen"] {
        assert!(head(&world.log, &room(name)).await.unwrap().snapshots.is_empty(), "{name}");
    }
}
