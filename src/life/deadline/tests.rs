//! Rules H21 to H23 and H25 of `docs/RULES.md`: decisions about deadlines, with clocks made up.

use super::*;
use crate::ids::Position;
use crate::limits::{EXPIRY_GRACE_MS, SWEEP_MS};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Some day in 2026.
const WALL: u64 = 1_780_000_000_000;

fn name() -> RoomName {
    RoomName::parse("r").unwrap()
}

/// A room whose newest record and deadline are these.
fn head(last_ms: u64, deadline_ms: Option<u64>) -> Head {
    Head {
        epoch: crate::log::bus::Epoch::NONE,
        last: Position { ms: last_ms, seq: 9 },
        base: 0,
        bytes: 100,
        snapshots: Vec::new(),
        revision: 0,
        deadline_ms,
        frozen: false,
    }
}

/// A sweeper that started when the steady clock stood at zero, and how it is asked.
struct World {
    sweeps: Sweeps,
    wall_ms: u64,
    steady_ms: u64,
}

impl World {
    fn new(ttl_ms: Option<u64>) -> Self {
        let now = Now { wall_ms: WALL, steady_ms: 0 };
        Self { sweeps: Sweeps::new(ttl_ms, EXPIRY_GRACE_MS, now), wall_ms: WALL, steady_ms: 0 }
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.wall_ms, steady_ms: self.steady_ms }
    }

    fn pass(&mut self, ms: u64) {
        self.steady_ms += ms;
        self.wall_ms += ms;
    }

    fn jump(&mut self, ms: i64) {
        self.wall_ms = self.wall_ms.saturating_add_signed(ms);
    }

    /// A sweep after `ms`; whether the room may go.
    fn sweep(&mut self, ms: u64, head: &Head) -> bool {
        self.pass(ms);
        self.sweeps.on_clock(self.now());
        self.sweeps.begin();
        self.sweeps.on_closed(&name(), head, self.now()).is_some()
    }
}

/// [H21] A room with sessions is touched at once and then hourly, or four times in its life if that
/// is short; one without is not.
#[test]
fn rooms_with_sessions_are_touched() {
    let mut touches = Touches::new(Some(DAY), 5);
    assert!(touches.is_due(5, true) && !touches.is_due(5, false));
    touches.on_set(5);
    assert!(!touches.is_due(5 + HOUR - 1, true) && touches.is_due(5 + HOUR, true));
    assert!(!touches.is_due(5 + 100 * HOUR, false));
    let mut short = Touches::new(Some(20 * MINUTE), 0);
    short.on_set(0);
    assert!(!short.is_due(5 * MINUTE - 1, true) && short.is_due(5 * MINUTE, true));
    let mut never = Touches::new(None, 0);
    assert!(never.is_due(0, true), "an older setting may have left a deadline");
    never.on_set(0);
    assert!(!never.is_due(u64::MAX - 1, true));
}

/// [H21] The deadline counts from the last leave, to the minute: a touch is owed unless one was made
/// just before. It is tried again a few times if that may help, and once if not.
#[test]
fn the_last_leave_is_owed() {
    let mut touches = Touches::new(Some(DAY), 0);
    touches.on_set(0);
    touches.on_last_leave(MINUTE);
    assert!(!touches.owes(), "the deadline is a minute old");
    touches.on_last_leave(MINUTE + 1);
    assert!(touches.owes() && touches.is_due(MINUTE + 1, false));
    touches.on_set(0);
    assert!(touches.owes(), "an old touch that is answered late does not count for it");
    for _ in 1..LEAVE_TOUCHES_MAX {
        touches.on_failed(2 * MINUTE, true, None);
        assert!(touches.owes());
    }
    touches.on_failed(2 * MINUTE, true, None);
    assert!(!touches.owes(), "given up");
    touches.on_last_leave(9 * MINUTE);
    touches.on_failed(9 * MINUTE, false, None);
    assert!(!touches.owes() && !touches.is_due(9 * MINUTE, true), "the store does not do this now");
    touches.on_last_leave(10 * MINUTE);
    touches.on_set(10 * MINUTE);
    assert!(!touches.owes());
}

/// [H25] A warning comes when less than an hour is left: of a short life, or of the deadline that
/// stands when the store refuses touches; and to one session at most every ten minutes.
#[test]
fn warnings_come_within_the_last_hour() {
    let mut touches = Touches::new(Some(DAY), 0);
    assert_eq!(touches.warning(0), None, "nothing is known yet");
    touches.on_set(0);
    assert_eq!(touches.warning(23 * HOUR - 1), None);
    assert_eq!(touches.warning(23 * HOUR), Some(HOUR));
    assert_eq!(touches.warning(25 * HOUR), Some(0));
    touches.on_failed(2 * HOUR, true, Some(30 * MINUTE));
    assert_eq!(touches.warning(2 * HOUR + MINUTE), Some(29 * MINUTE));
    touches.on_set(3 * HOUR);
    assert_eq!(touches.warning(3 * HOUR), None);
    let mut short = Touches::new(Some(10 * MINUTE), 0);
    short.on_set(0);
    assert_eq!(short.warning(0), Some(10 * MINUTE));
    assert!(
        may_warn(None, 0) && !may_warn(Some(5), 5 + 10 * MINUTE - 1) && may_warn(Some(5), 5 + 10 * MINUTE)
    );
}

/// [H22] A room goes in the second sweep that finds the same deadline passed, some minutes after the
/// first; not before, not with another deadline, not if it was seen alive in between.
#[test]
fn two_sweeps_make_an_end() {
    let mut world = World::new(Some(DAY));
    let over = head(WALL - 3 * DAY, Some(WALL - DAY));
    world.pass(EXPIRY_GRACE_MS);
    assert!(!world.sweep(1, &over), "the first sight");
    assert!(!world.sweep(SWEEPS_APART_MS - 1, &over), "too soon after it");
    assert!(world.sweep(1, &over));
    let moved = head(WALL - 3 * DAY, Some(WALL - DAY + 1));
    assert!(!world.sweep(SWEEP_MS, &moved), "another deadline is another sight");
    assert!(world.sweep(SWEEP_MS, &moved));
    world.sweeps.forget(&name());
    assert!(!world.sweep(SWEEP_MS, &moved), "it was open in between");
    world.sweeps.begin();
    assert!(!world.sweep(SWEEP_MS, &moved), "not seen in the sweep before");
    assert!(world.sweep(SWEEP_MS, &moved));
}

/// [H22] What has no deadline, a deadline ahead, or a record younger than a life stays; with `never`
/// everything does, also what has a deadline from before.
#[test]
fn what_is_not_over_stays() {
    let over = head(WALL - 3 * DAY, Some(WALL - DAY));
    for (ttl_ms, head, what) in [
        (Some(DAY), head(WALL - 3 * DAY, None), "no deadline"),
        (Some(DAY), head(WALL - 3 * DAY, Some(WALL + 2 * DAY)), "a deadline ahead"),
        (Some(DAY), head(WALL, Some(WALL - DAY)), "a young record under an old deadline"),
        (None, over.clone(), "never"),
    ] {
        println!("{what} stays");
        let mut world = World::new(ttl_ms);
        world.pass(EXPIRY_GRACE_MS);
        for _ in 0..10 {
            assert!(!world.sweep(SWEEP_MS, &head), "{what}");
        }
    }
}

/// [H22] Nothing goes within the grace after a start, however often it is swept.
#[test]
fn the_start_is_a_grace() {
    let mut world = World::new(Some(DAY));
    let over = head(WALL - 3 * DAY, Some(WALL - DAY));
    while world.steady_ms + MINUTE < EXPIRY_GRACE_MS {
        assert!(!world.sweep(MINUTE, &over));
    }
    assert!(world.sweep(MINUTE, &over), "and then what was found twice goes");
}

/// [H23] The clock jumps 48 h ahead: nothing goes for as long as a room lives, by the steady clock.
/// What was touched just before lives that long; then it goes.
#[test]
fn a_jump_ahead_removes_nothing() {
    let mut world = World::new(Some(DAY));
    world.pass(DAY);
    let touched = head(world.wall_ms, Some(world.wall_ms + DAY));
    world.jump(2 * DAY as i64);
    let jumped_ms = world.steady_ms;
    while !world.sweep(SWEEP_MS, &touched) {}
    let lived_ms = world.steady_ms - jumped_ms;
    println!("lived for {} min after the jump", lived_ms / MINUTE);
    assert!((DAY..=DAY + 3 * SWEEP_MS).contains(&lived_ms));
}

/// [H23] The clock jumps 48 h back, a room is edited, the clock is set right: its deadline is a day
/// in the past although the edit was made just now. It lives on for a day by the steady clock.
#[test]
fn a_jump_back_and_its_repair_remove_nothing() {
    let mut world = World::new(Some(DAY));
    world.pass(DAY);
    let first_ms = world.wall_ms - 3 * DAY;
    world.jump(-2 * DAY as i64);
    world.sweeps.on_clock(world.now());
    world.pass(MINUTE);
    // The position never goes back within a room; the deadline is by the clock as it is.
    let edited = head(first_ms, Some(world.wall_ms + DAY));
    let edited_ms = world.steady_ms;
    assert!(!world.sweep(SWEEP_MS, &edited));
    world.jump(2 * DAY as i64);
    while !world.sweep(SWEEP_MS, &edited) {}
    let lived_ms = world.steady_ms - edited_ms;
    println!("lived for {} min after its edit", lived_ms / MINUTE);
    assert!((DAY..=DAY + 4 * SWEEP_MS).contains(&lived_ms));
}

/// [H23] A clock that runs at twice its speed never gets a room removed; small steps, as NTP and leap
/// seconds make them, do not hold up anything.
#[test]
fn runaway_clocks_suspend_and_small_steps_do_not() {
    let mut world = World::new(Some(DAY));
    let over = head(WALL - 3 * DAY, Some(WALL - DAY));
    for _ in 0..1_000 {
        world.jump(SWEEP_MS as i64);
        assert!(!world.sweep(SWEEP_MS, &over));
        assert!(world.sweeps.is_suspended(world.steady_ms));
    }
    let mut world = World::new(Some(DAY));
    world.pass(EXPIRY_GRACE_MS);
    for step in [1_000, -1_000, 40_000, -59_000] {
        world.jump(step);
        assert_eq!(world.sweeps.on_clock(world.now()), None, "{step} ms");
        world.jump(-step);
    }
    assert!(!world.sweep(SWEEP_MS, &over) && world.sweep(SWEEP_MS, &over));
}

/// [H22, H23] Random lives: rooms touched now and then, a clock that jumps by up to 48 h in both
/// directions, sweeps. No room goes earlier than a life after its last touch by the steady clock, but
/// for the minute that a clock may be off unnoticed; and each goes once the clock behaves.
#[test]
fn random_clocks_never_shorten_a_life() {
    use rand::{Rng, SeedableRng};
    let seeds = match std::env::var("RUANG_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=400).collect::<Vec<u64>>(),
    };
    let mut jumps = 0;
    for seed in seeds {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let ttl_ms = random.random_range(10 * MINUTE..3 * DAY);
        let mut world = World::new(Some(ttl_ms));
        let (mut room, mut touched_ms) = (head(WALL, Some(WALL + ttl_ms)), 0);
        let mut gone = false;
        for step in 0..2_000 {
            let calm = step > 1_000;
            if !calm && random.random_ratio(1, 20) {
                let jump = random.random_range(-2 * DAY as i64..2 * DAY as i64);
                jumps += u64::from(world.wall_ms != 0);
                world.jump(jump);
                // The sweeper looks at the clocks more often than anything else happens.
                world.sweeps.on_clock(world.now());
            }
            if !calm && random.random_ratio(1, 30) {
                let last_ms = if random.random() { room.last.ms.max(world.wall_ms) } else { room.last.ms };
                room = head(last_ms, Some(world.wall_ms + ttl_ms));
                touched_ms = world.steady_ms;
            }
            let pause_ms = if calm { ttl_ms / 10 + SWEEP_MS } else { random.random_range(1..2 * SWEEP_MS) };
            if world.sweep(pause_ms, &room) {
                gone = true;
                let lived_ms = world.steady_ms - touched_ms;
                assert!(
                    lived_ms + CLOCK_JUMP_MS_MIN >= ttl_ms,
                    "seed {seed}: gone {lived_ms} ms after a touch, of {ttl_ms}"
                );
                room = head(world.wall_ms, Some(world.wall_ms + ttl_ms));
                touched_ms = world.steady_ms;
            }
        }
        assert!(gone, "seed {seed}: nothing ever goes");
    }
    println!("{jumps} jumps");
}
