//! Drafts and their board live and die together. Clocks are moved by hand.

use std::sync::Arc;

use ruang::kind::Boards;
use ruang::life::Sweeper;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::room::Rooms;

use crate::life_support::{DAY, HOUR, MINUTE, TestClocks, leave_one_edit, room, rooms, until_closed};

struct World {
    clocks: TestClocks,
    log: Arc<dyn Log>,
    rooms: Arc<Rooms>,
    sweeper: Sweeper,
}

impl World {
    fn new() -> Self {
        let clocks = TestClocks::new();
        let log: Arc<dyn Log> = Arc::new(MemoryLog::with_clock(clocks.wall()).0);
        let mut options = clocks.options();
        options.boards = Boards::default();
        let rooms = rooms(Arc::clone(&log), options);
        let sweeper = Sweeper::new(Arc::clone(&rooms));
        Self { clocks, log, rooms, sweeper }
    }

    /// Time passes, with sweeps as a server makes them.
    async fn pass(&mut self, ms: u64) {
        for _ in 0..ms / (10 * MINUTE) {
            self.clocks.pass(10 * MINUTE);
            self.sweeper.sweep().await.expect("the log is read");
        }
    }

    async fn touch(&self, name: &str) {
        self.log.touch(&room(name), Some(DAY)).await.expect("touched");
    }

    async fn has(&self, name: &str) -> bool {
        self.log.open(&room(name)).await.expect("read").is_some()
    }

    async fn begin(&self, name: &str) {
        let room = room(name);
        let edit = crate::hidden_stores::one_edit("ann");
        assert!(self.rooms.write(&room, edit).await.expect("it is stored").is_new);
        until_closed(&self.rooms, &room).await;
    }
}

/// [B59] Who wrote cards on Monday finds them on Friday if the board is in use; when that is over, both go.
#[tokio::test(start_paused = true)]
async fn a_draft_lives_as_long_as_its_board() {
    let mut world = World::new();
    leave_one_edit(&world.rooms, &room("retro")).await;
    world.begin("retro~ann").await;
    for day in 1..5 {
        for _ in 0..2 {
            world.pass(12 * HOUR).await;
            world.touch("retro").await;
        }
        println!("day {day}");
        assert!(world.has("retro~ann").await && world.has("retro").await);
    }
    world.pass(DAY + HOUR).await;
    assert!(!world.has("retro").await && !world.has("retro~ann").await, "they do not keep each other");
}

/// [B59] A board does not go, and make place for another of its name, while somebody writes cards for it.
#[tokio::test(start_paused = true)]
async fn a_board_lives_as_long_as_its_drafts() {
    let mut world = World::new();
    leave_one_edit(&world.rooms, &room("retro")).await;
    world.begin("retro~ann").await;
    for day in 1..5 {
        for _ in 0..2 {
            world.pass(12 * HOUR).await;
            world.touch("retro~ann").await;
        }
        println!("day {day}");
        assert!(world.has("retro~ann").await && world.has("retro").await);
    }
    world.pass(DAY + HOUR).await;
    assert!(!world.has("retro").await && !world.has("retro~ann").await);
}
