//! What expires is exported first.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ruang::life::{Archive, Sweeper};
use ruang::log::Log;
use ruang::log::memory::{Faults, MemoryLog};
use ruang::room::Rooms;

use crate::life_support::{HOUR, Person, TestClocks, head, leave_one_edit, room, rooms};

struct World {
    clocks: TestClocks,
    faults: Faults,
    log: Arc<dyn Log>,
    rooms: Arc<Rooms>,
    sweeper: Sweeper,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (clocks, dir) = (TestClocks::new(), tempfile::tempdir().unwrap());
        let (log, faults) = MemoryLog::with_clock(clocks.wall());
        let log: Arc<dyn Log> = Arc::new(log);
        let mut options = clocks.options();
        Archive::open(&dir.path().join("archive")).unwrap();
        options.life.archive = Some(dir.path().join("archive"));
        let rooms = rooms(Arc::clone(&log), options);
        let sweeper = Sweeper::new(Arc::clone(&rooms));
        Self { clocks, faults, log, rooms, sweeper, dir }
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    async fn expired_after(&mut self, ms: u64) -> (u64, u64) {
        self.clocks.pass(ms);
        let swept = self.sweeper.sweep().await.unwrap();
        (swept.expired, swept.kept)
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// [H27] Before a room goes, its export is in the archive, under its name and newest position, with
/// every record, and readable by its owner only. A second life of the name has a file of its own.
#[tokio::test(start_paused = true)]
async fn what_expires_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    let name = room("retro/1");
    for life in 1..=2 {
        leave_one_edit(&world.rooms, &name).await;
        let records = world.log.read(&name, 0, 10).await.unwrap();
        let last = head(&world.log, &name).await.unwrap().last;
        world.expired_after(25 * HOUR).await;
        assert_eq!(names(&world.archive()).len(), life - 1, "not before it goes");
        assert_eq!(world.expired_after(HOUR).await, (1, 0));
        let names = names(&world.archive());
        println!("{names:?}");
        assert_eq!(names.len(), life);
        let file = names.iter().find(|file| file.contains(&last.to_string())).unwrap();
        assert!(file.starts_with("retro%2F1."));
        let path = world.archive().join(file);
        let bytes = fs::read(&path).unwrap();
        for record in records {
            let ruang::log::record::StoredRecord::Intact { record, .. } = record else { panic!("intact") };
            assert!(bytes.windows(record.encoded.len()).any(|window| window == record.encoded));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(world.archive()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

/// [H27] An archive that cannot be written keeps its rooms alive, and is counted; the rooms go once it
/// works again.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_stays() {
    let mut world = World::new();
    for name in ["a", "b"] {
        leave_one_edit(&world.rooms, &room(name)).await;
    }
    world.expired_after(25 * HOUR).await;
    fs::remove_dir(world.archive()).unwrap();
    fs::write(world.archive(), "in the way").unwrap();
    for _ in 0..3 {
        assert_eq!(world.expired_after(HOUR).await, (0, 2));
    }
    let metrics = world.rooms.metrics().render();
    assert!(metrics.contains("ruang_archive_failures_total 3"), "one a sweep:\n{metrics}");
    fs::remove_file(world.archive()).unwrap();
    fs::create_dir(world.archive()).unwrap();
    assert_eq!(world.expired_after(HOUR).await, (2, 0));
    assert_eq!(names(&world.archive()).len(), 2);
    assert!(
        Archive::open(&world.archive().join(names(&world.archive()).remove(0))).is_err(),
        "a file is in the way"
    );
}

/// [H27] Someone comes back while the export is written: the room stays, and the archive holds nothing
/// of it. The same if the room is deleted meanwhile.
#[tokio::test(start_paused = true)]
async fn what_lives_on_is_not_in_the_archive() {
    for deleted in [false, true] {
        println!("deleted: {deleted}");
        let mut world = World::new();
        let name = room("r");
        leave_one_edit(&world.rooms, &name).await;
        world.expired_after(25 * HOUR).await;
        world.clocks.pass(HOUR);
        let held = world.faults.hold_changes();
        let (rooms, log) = (Arc::clone(&world.rooms), Arc::clone(&world.log));
        let archive = world.archive();
        let sweeping = tokio::spawn(async move {
            let swept = world.sweeper.sweep().await.unwrap();
            (world, swept)
        });
        held.arrived(1).await;
        assert_eq!(names(&archive).len(), 1, "the export is there before the room goes");
        // What overtakes the removal, as another instance could.
        let overtaking = tokio::spawn({
            let (log, name) = (Arc::clone(&log), name.clone());
            async move { if deleted { log.delete(&name).await.map(drop) } else { log.touch(&name, None).await } }
        });
        held.arrived(2).await;
        held.release();
        overtaking.await.unwrap().unwrap();
        let (_world, swept) = sweeping.await.unwrap();
        let exports = names(&archive).len() as u64;
        println!("{swept:?}, {exports} exports");
        assert_eq!(swept.expired, exports, "an export for what expired, and for nothing else");
        if !deleted && swept.expired == 0 {
            assert_eq!(Person::join(&rooms, &name).await.keys().await, ["old"]);
        }
    }
}
