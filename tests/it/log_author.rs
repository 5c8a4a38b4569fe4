//! Random calls of everything that the contract has, and what two logs say of them: one of them is in memory and never
//! fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use ruang::ids::RoomName;
use ruang::log::record::StoredRecord;
use ruang::log::{Adoption, Batch, Expects, Log, LogError, UploadId};

use crate::log_support::*;

const NAMES: [&str; 4] = ["a", "a:", "*", "é"];
const UPLOADS: u64 = 4;
const CHUNKS: u32 = 3;
pub const HOUR: u64 = 3_600_000;

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
            Self::Append(name, batch) => {
                // Epochs are drawn.
                let epoch = ruang::log::bus::Epoch::NONE;
                let answer = log.append(&name, *batch).await;
                answer.map(|answer| format!("{:?}", ruang::log::Appended { epoch, before: None, ..answer }))
            }
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
pub struct Author {
    pub random: StdRng,
    number: u64,
    /// How often which answer came, by its first words.
    answers: BTreeMap<String, usize>,
}

impl Author {
    pub fn new(random: StdRng) -> Self {
        Self { random, number: 0, answers: BTreeMap::new() }
    }

    fn note(&mut self, answer: &str) {
        let kind: String = answer.chars().take_while(|letter| !"({0123456789".contains(*letter)).collect();
        *self.answers.entry(kind.trim().to_owned()).or_default() += 1;
    }

    /// Everything that can be answered was, at least once.
    pub fn check_answers(&self) {
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
        let through = random.random_range(newest..=last.max(newest));
        let read = model.read(&name, through.saturating_sub(1), 1).await.unwrap();
        let found = read.first().map(StoredRecord::position).filter(|found| found.seq == through);
        let through = found.unwrap_or(at(through, 7));
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
        // Epochs are drawn.
        let epoch = ruang::log::bus::Epoch::NONE;
        let head = log.open(&name).await?.map(|head| ruang::log::Head { epoch, ..head });
        seen += &format!("\n{name:?} {head:?} {:?}", log.tombstone(&name).await?);
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

pub async fn observed(log: &dyn Log) -> String {
    for _ in 0..2_000 {
        if let Ok(seen) = observe(log).await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not recover");
}

/// One call on the log and on the model.
pub async fn step(log: &dyn Log, model: &dyn Log, author: &mut Author, now_ms: &AtomicU64) {
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
