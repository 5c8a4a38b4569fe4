//! Random histories against a simple model, with faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;
use rand::rngs::StdRng;
use ruang::ids::InstanceId;
use ruang::log::embedded::{EmbeddedLog, Options};
use ruang::log::memory::MemoryLog;
use ruang::log::record::Kind;
use ruang::log::{Batch, Head, Log, LogError};

use crate::log_support::*;

/// What a log should hold.
#[derive(Default)]
struct Model {
    rooms: BTreeMap<String, ModelRoom>,
}

#[derive(Default)]
struct ModelRoom {
    /// Updates as text, the genesis record as the instance that made it.
    records: Vec<String>,
    last_ms: u64,
}

/// One instance's next batch in one room: repeated until it is answered.
struct InDoubt {
    name: String,
    batch: Batch,
    texts: Vec<String>,
    /// An answer was "unknown": it may be stored.
    maybe_stored: bool,
}

const NAMES: [&str; 6] = ["a", "ab", "a:b", "*", "é", "b"];

/// Injects the next fault of a kind; how is up to the log.
type Break = Box<dyn Fn(&mut StdRng) + Send>;

struct Run {
    log: Arc<dyn Log>,
    now_ms: Arc<AtomicU64>,
    spoil: Break,
    model: Model,
    random: StdRng,
    numbers: BTreeMap<(u64, String), u64>,
    in_doubt: BTreeMap<u64, InDoubt>,
}

impl Run {
    async fn step(&mut self) {
        self.now_ms.store(self.random.random_range(0..10_000), Ordering::Relaxed);
        if self.random.random_bool(0.1) {
            (self.spoil)(&mut self.random);
        }
        match self.random.random_range(0..10) {
            0..7 => self.append().await,
            7 => self.check_names().await,
            _ => {
                let name = NAMES[self.random.random_range(0..NAMES.len())];
                self.check_room(name).await;
            }
        }
    }

    async fn append(&mut self) {
        let instance = self.random.random_range(1..=4);
        let doubt = match self.in_doubt.remove(&instance) {
            Some(doubt) => doubt,
            None => self.new_batch(instance),
        };
        let name = room(&doubt.name);
        match self.log.append(&name, doubt.batch.clone()).await {
            Ok(answer) => {
                let room = self.model.rooms.entry(doubt.name.clone()).or_default();
                if answer.duplicate {
                    assert!(doubt.maybe_stored, "a new batch was called a duplicate");
                }
                // One that was stored before its answer arrived is put where it says it stands.
                if answer.created.is_some() {
                    assert!(room.records.is_empty());
                    room.records.push(format!("genesis of {instance}"));
                }
                assert_eq!(answer.first.seq, room.records.len() as u64 + 1);
                room.records.extend(doubt.texts);
                assert_eq!(answer.last.seq, room.records.len() as u64);
                assert!(answer.first.ms >= room.last_ms && answer.last.ms >= answer.first.ms);
                room.last_ms = answer.last.ms;
            }
            Err(LogError::Fatal(why)) => panic!("{why}"),
            Err(error) => {
                // The same batch comes again, before anybody else appends to this room: the model
                // knows one order only.
                if matches!(error, LogError::Unavailable(_)) {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                let maybe_stored = matches!(error, LogError::Unknown(_)) || doubt.maybe_stored;
                self.in_doubt.insert(instance, InDoubt { maybe_stored, ..doubt });
            }
        }
    }

    fn new_batch(&mut self, instance: u64) -> InDoubt {
        let blocked: Vec<&str> = self.in_doubt.values().map(|doubt| doubt.name.as_str()).collect();
        let free: Vec<&str> = NAMES.into_iter().filter(|name| !blocked.contains(name)).collect();
        let name = free[self.random.random_range(0..free.len())].to_owned();
        let number = self.numbers.entry((instance, name.clone())).or_insert(0);
        *number += self.random.random_range(1..3);
        let count = self.random.random_range(1..=5);
        let texts: Vec<String> =
            (0..count).map(|index| format!("{name} {instance}.{number}.{index}")).collect();
        let batch = batch(&room(&name), instance, *number, &texts);
        InDoubt { name, batch, texts, maybe_stored: false }
    }

    async fn check_names(&self) {
        let Ok(names) = self.log.rooms(None, 100).await else { return };
        let names: Vec<&str> = names.iter().map(ruang::ids::RoomName::as_str).collect();
        for name in &names {
            let doubtful = self.in_doubt.values().any(|doubt| doubt.maybe_stored && doubt.name == *name);
            assert!(doubtful || self.model.rooms.contains_key(*name));
        }
        for name in self.model.rooms.keys() {
            assert!(names.contains(&name.as_str()));
        }
    }

    async fn check_room(&mut self, name: &str) {
        let (after, count_max) = (self.random.random_range(0..20), self.random.random_range(0..40));
        let Ok(page) = self.log.read(&room(name), after, count_max).await else { return };
        let Ok(head) = self.log.open(&room(name)).await else { return };
        let doubt = self.in_doubt.values().find(|doubt| doubt.maybe_stored && doubt.name == name);
        let empty = ModelRoom::default();
        let model = self.model.rooms.get(name).unwrap_or(&empty);
        let known = model.records.len() as u64;
        let most = known + doubt.map_or(0, |doubt| doubt.texts.len() as u64 + u64::from(known == 0));
        let last = head.map_or(0, |head: Head| head.last.seq);
        assert!(last == known || last == most, "head {last}, known {known}, at most {most}");
        let from = usize::try_from(after).unwrap();
        for (record, expected) in page.iter().zip(model.records.iter().skip(from)) {
            match kind(record) {
                Some(Kind::Genesis) => assert!(expected.starts_with("genesis of")),
                Some(_) => assert_eq!(text(record), *expected),
                None => panic!("{record:?}"),
            }
        }
        let seqs = seqs(&page);
        assert!(seqs.iter().copied().eq(after + 1..=after + seqs.len() as u64));
        let expected_len = usize::try_from(last.saturating_sub(after)).unwrap().min(count_max);
        assert_eq!(seqs.len(), expected_len);
    }
}

async fn run(log: Arc<dyn Log>, now_ms: Arc<AtomicU64>, spoil: Break, random: StdRng, steps: usize) {
    let (model, numbers, in_doubt) = (Model::default(), BTreeMap::new(), BTreeMap::new());
    let mut run = Run { log, now_ms, spoil, model, random, numbers, in_doubt };
    for _ in 0..steps {
        run.step().await;
    }
    let total: usize = run.model.rooms.values().map(|room| room.records.len()).sum();
    assert!(total > steps / 4, "only {total} records were stored");
}

/// [L1] to [L6], [L10], [L11], [L30] Random appends of four instances to six rooms, with lost
/// replies, refusals and doubled calls.
#[tokio::test]
async fn a_memory_log_follows_the_model() {
    let (_, random) = seeded();
    let now_ms = Arc::new(AtomicU64::new(0));
    let (log, faults) = MemoryLog::with_clock(clock(&now_ms));
    let spoil: Break = Box::new(move |random| match random.random_range(0..4) {
        0 => faults.lose_replies(1),
        1 => faults.fail_appends(2, LogError::Full("full".to_owned())),
        2 => faults.fail_reads(1, LogError::Unavailable("away".to_owned())),
        _ => faults.lose_replies(2),
    });
    run(Arc::new(log), now_ms, spoil, random, 20_000).await;
}

/// [L1] to [L6], [L10], [L11], [L38] The same on a disk whose operations fail now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_log_follows_the_model() {
    let (_, random) = seeded();
    let now_ms = Arc::new(AtomicU64::new(0));
    let dir = tempfile::tempdir().unwrap();
    let (fuse, disk) = fuse();
    let options = Options {
        clock: clock(&now_ms),
        disk: Some(disk),
        journal_bytes: 16 << 10, // so small that it is moved for want of space too
        journal_idle: std::time::Duration::from_millis(5),
        ..Options::default()
    };
    let log = EmbeddedLog::open_with(dir.path(), InstanceId(0), options).unwrap();
    let spoil: Break = Box::new(move |random| {
        if random.random_bool(0.2) {
            fuse.store(random.random_range(0..30), Ordering::SeqCst);
        } else {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    });
    run(Arc::new(log), now_ms, spoil, random, 3_000).await;
}
