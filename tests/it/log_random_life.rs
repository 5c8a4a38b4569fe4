//! Random histories of everything that the contract has, against a log in memory that never fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use ruang::ids::{InstanceId, RoomName};
use ruang::log::embedded::{DiskHook, EmbeddedLog, Options};
use ruang::log::memory::MemoryLog;
use ruang::log::{Adoption, Batch, Expects, Log, LogError, UploadId};

use crate::log_support::*;

const NAMES: [&str; 4] = ["a", "a:", "*", "é"];
const UPLOADS: u64 = 4;
const CHUNKS: u32 = 3;
const HOUR: u64 = 3_600_000;

/// One call.
#[derive(Debug, Clone)]
enum Call {
    Append(RoomName, Box<Batch>),
    PutChunk(RoomName, UploadId, u32, String),
    Adopt(RoomName, Adoption),
    Trim(RoomName, u64),
    Touch(RoomName, Option<u64>),
    Freeze(RoomName, bool),
    Expire(RoomName, u64),
    Delete(RoomName),
}

impl Call {
    /// The answer as text: refusals that are final by their kind only.
    async fn make(&self, log: &dyn Log) -> Result<String, LogError> {
        let answer = match self.clone() {
            Self::Append(name, batch) => log.append(&name, *batch).await.map(|answer| format!("{answer:?}")),
            Self::PutChunk(name, upload, index, text) => {
                log.put_chunk(&name, upload, index, text.into()).await.map(|()| "put".to_owned())
            }
            Self::Adopt(name, adoption) => {
                log.adopt(&name, adoption).await.map(|answer| format!("{answer:?}"))
            }
            Self::Trim(name, through) => log.trim(&name, through).await.map(|base| format!("base {base}")),
            Self::Touch(name, ttl_ms) => log.touch(&name, ttl_ms).await.map(|()| "touched".to_owned()),
            Self::Freeze(name, frozen) => log.freeze(&name, frozen).await.map(|was| format!("frozen {was}")),
            Self::Expire(name, deadline_ms) => {
                log.expire(&name, deadline_ms).await.map(|gone| format!("expired {gone}"))
            }
            Self::Delete(name) => log.delete(&name).await.map(|was| format!("deleted {was}")),
        };
        match answer {
            Err(LogError::Fatal(_)) => Ok("refused for ever".to_owned()),
            Err(LogError::Moved(_)) => Ok("moved".to_owned()),
            answer => answer,
        }
    }
}

/// What the next calls are made of.
struct Author {
    random: StdRng,
    number: u64,
    /// How often which answer came, by its first words.
    answers: BTreeMap<String, usize>,
}

impl Author {
    fn new(random: StdRng) -> Self {
        Self { random, number: 0, answers: BTreeMap::new() }
    }

    fn note(&mut self, answer: &str) {
        let kind: String = answer.chars().take_while(|letter| !"({0123456789".contains(*letter)).collect();
        *self.answers.entry(kind.trim().to_owned()).or_default() += 1;
    }

    /// Everything that can be answered was, at least once.
    fn check_answers(&self) {
        println!("{:?}", self.answers);
        for kind in
            ["Appended", "Done", "Lost", "base", "put", "touched", "expired true", "deleted true", "moved"]
        {
            assert!(self.answers.contains_key(kind), "{kind}");
        }
    }

    async fn next(&mut self, model: &dyn Log) -> Call {
        let random = &mut self.random;
        let name = room(NAMES[random.random_range(0..NAMES.len())]);
        let head = model.open(&name).await.unwrap();
        let last = head.as_ref().map_or(0, |head| head.last.seq);
        let upload = UploadId(random.random_range(0..UPLOADS));
        match random.random_range(0..100) {
            0..40 => {
                // Mostly a new number; sometimes the last one again, which may be of another room or life.
                self.number += u64::from(random.random_bool(0.9));
                let count = random.random_range(1..6);
                let number = self.number.max(1);
                let texts: Vec<String> = (0..count).map(|index| format!("{number}.{index}")).collect();
                let expects = match random.random_range(0..4) {
                    0 => Expects::Present,
                    1 => Expects::At(if random.random_bool(0.7) { last } else { last + 1 }),
                    _ => Expects::Anything,
                };
                let ttl_ms = random.random_bool(0.5).then(|| random.random_range(0..2_000));
                Call::Append(
                    name.clone(),
                    Box::new(Batch { expects, ttl_ms, ..batch(&name, 1, number, &texts) }),
                )
            }
            40..60 => {
                let text = "x".repeat(random.random_range(0..4));
                Call::PutChunk(name, upload, random.random_range(0..CHUNKS), text)
            }
            60..75 => self.adoption(model, name, upload).await,
            75..83 => Call::Trim(name, random.random_range(0..=last + 3)),
            83..88 => Call::Touch(name, random.random_bool(0.8).then(|| random.random_range(0..2_000))),
            88..91 => Call::Freeze(name, random.random_bool(0.5)),
            91..97 => {
                let deadline_ms = head.and_then(|head| head.deadline_ms).unwrap_or(5);
                Call::Expire(name, deadline_ms + u64::from(random.random_bool(0.1)))
            }
            _ => Call::Delete(name),
        }
    }

    /// Mostly one that fits.
    async fn adoption(&mut self, model: &dyn Log, name: RoomName, upload: UploadId) -> Call {
        let (mut chunks, mut bytes) = (0, 0);
        for index in 0..CHUNKS {
            if let Some(chunk) = model.chunk(&name, upload, index).await.unwrap() {
                chunks += 1;
                bytes += chunk.len() as u64;
            }
        }
        let random = &mut self.random;
        let head = model.open(&name).await.unwrap();
        let (last, snapshots) = head.map_or((0, vec![]), |head| (head.last.seq, head.snapshots));
        let (newest, known) = snapshots.last().map_or((0, 0), |newest| (newest.through.seq, newest.revision));
        let through = at(random.random_range(newest..=last.max(newest)), 7);
        let drop = snapshots.iter().map(|snapshot| snapshot.revision);
        let drop = drop.filter(|_| random.random_bool(0.4)).collect();
        let revision = known.saturating_sub(u64::from(random.random_bool(0.3)));
        let chunks = chunks + u32::from(random.random_bool(0.05));
        Call::Adopt(name, Adoption { upload, revision, through, log_bytes: last * 3, chunks, bytes, drop })
    }
}

/// Everything that the contract shows of four rooms.
async fn observe(log: &dyn Log) -> Result<String, LogError> {
    let mut seen = format!("{:?}", log.rooms(None, 100).await?);
    for name in NAMES.map(room) {
        seen += &format!("\n{name:?} {:?} {:?}", log.open(&name).await?, log.tombstone(&name).await?);
        for upload in 0..UPLOADS {
            for index in 0..CHUNKS {
                seen += &format!(" {:?}", log.chunk(&name, UploadId(upload), index).await?);
            }
        }
        seen += &format!("\n{:?}", log.read(&name, 0, 1_000).await?);
    }
    Ok(seen)
}

/// Makes a call until there is an answer. The answer, and whether an earlier try may have been done.
async fn until_answered(call: &Call, log: &dyn Log) -> (String, bool) {
    let mut in_doubt = false;
    for _ in 0..2_000 {
        match call.make(log).await {
            Ok(answer) => return (answer, in_doubt),
            Err(error) => {
                in_doubt |= matches!(error, LogError::Unknown(_));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    panic!("it does not recover: {call:?}");
}

async fn observed(log: &dyn Log) -> String {
    for _ in 0..2_000 {
        if let Ok(seen) = observe(log).await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not recover");
}

/// One call on the log and on the model.
async fn step(log: &dyn Log, model: &dyn Log, author: &mut Author, now_ms: &AtomicU64) {
    let forward = author.random.random_range(0..300);
    now_ms.fetch_add(forward, Ordering::SeqCst);
    let call = author.next(model).await;
    let expected = call.make(model).await.unwrap();
    author.note(&expected);
    let (answer, in_doubt) = until_answered(&call, log).await;
    // Whoever asks again after no answer is told what is so now.
    if !in_doubt {
        assert_eq!(answer, expected, "{call:?}");
    }
}

/// [L4] [L50] to [L63] A log in memory whose replies are lost: whoever asks again gets where a log goes that answers.
#[tokio::test]
async fn a_memory_log_that_loses_replies_follows_one_that_does_not() {
    let (_, random) = seeded();
    let now_ms = Arc::new(AtomicU64::new(1_000));
    let ((log, faults), (model, _)) =
        (MemoryLog::with_clock(clock(&now_ms)), MemoryLog::with_clock(clock(&now_ms)));
    let mut author = Author::new(random);
    for index in 0..5_000 {
        match author.random.random_range(0..20) {
            0 => faults.lose_change_reply(0),
            1 => faults.lose_replies(1),
            2 => faults.fail_change(0, LogError::Full("full".to_owned())),
            _ => {}
        }
        step(&log, &model, &mut author, &now_ms).await;
        if index % 10 == 0 {
            assert_eq!(observed(&log).await, observed(&model).await);
        }
    }
    author.check_answers();
}

/// [L4] [L31] [L38] [L50] to [L63] An embedded log on a disk that fails now and then, closed and opened again, with slices of
/// two entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_log_follows_a_memory_log() {
    let (_, random) = seeded();
    let now_ms = Arc::new(AtomicU64::new(1_000));
    let dir = tempfile::tempdir().unwrap();
    let fuse = Arc::new(AtomicU64::new(u64::MAX));
    let disk: DiskHook = Arc::new({
        let fuse = Arc::clone(&fuse);
        move |_| {
            let left = fuse.load(Ordering::SeqCst);
            if left == u64::MAX {
                return Ok(());
            }
            fuse.store(left.checked_sub(1).unwrap_or(u64::MAX), Ordering::SeqCst);
            if left == 0 { Err(std::io::ErrorKind::Other.into()) } else { Ok(()) }
        }
    });
    let options = Options {
        clock: clock(&now_ms),
        disk: Some(disk),
        free_entries: 2,
        journal_bytes: 16 << 10, // so small that it is moved for want of space too
        journal_idle: Duration::from_millis(5),
        ..Options::default()
    };
    let mut log = EmbeddedLog::open_with(dir.path(), InstanceId(0), options.clone()).unwrap();
    let (model, _) = MemoryLog::with_clock(clock(&now_ms));
    let mut author = Author::new(random);
    for index in 0..1_500 {
        if author.random.random_bool(0.02) {
            fuse.store(author.random.random_range(0..30), Ordering::SeqCst);
        }
        step(&log, &model, &mut author, &now_ms).await;
        if author.random.random_bool(0.01) {
            fuse.store(u64::MAX, Ordering::SeqCst);
            log.close().await;
            drop(log);
            log = EmbeddedLog::open_with(dir.path(), InstanceId(0), options.clone()).unwrap();
            // What was not adopted went with the process; in the model it goes with the hour.
            now_ms.fetch_add(HOUR, Ordering::SeqCst);
            assert_eq!(observed(&log).await, observed(&model).await);
        }
        if index % 10 == 0 {
            assert_eq!(observed(&log).await, observed(&model).await);
        }
    }
    author.check_answers();
}
