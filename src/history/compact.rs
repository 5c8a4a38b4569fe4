//! Compaction: a snapshot folded from the log, verified, published, and then the records trimmed
//! that nobody needs any more.
//!
//! The steps, each a call of the log that may be the last one:
//!
//! 1. walk from the newest snapshot to the newest record, or to the first that cannot be folded whole
//! 2. encode; load the bytes into a fresh gate and document; they must come out as they went in
//! 3. write the chunks under a number of our own; read them back; they must be the same bytes
//! 4. adopt: compare-and-set on the revision that step 1 saw
//! 5. trim, up to an older snapshot that was read back now
//!
//! Invariants:
//! - The live document is never looked at: a snapshot is exactly the fold of the log.
//! - A snapshot covers only records that it holds whole. Behind one that is damaged or cannot be
//!   folded, nothing is covered and nothing is trimmed.
//! - Whatever fails, and wherever it stops: the room is as readable as before.

use std::sync::Arc;

use super::fold::{Fold, OnTrouble, SetAside};
use super::plan::{Plan, Retention, plan};
use super::snapshot::{Snapshot, SnapshotError};
use super::start::{self, DamagedSnapshot, Start};
use super::walk::{Range, Walk, WalkError, walk};
use crate::heavy::heavy;
use crate::ids::{Position, RoomName};
use crate::limits::{SNAPSHOT_CHUNK_BYTES, SNAPSHOT_SETTLE_TRIES};
use crate::log::{Adopted, Adoption, Head, Log, LogError, UploadId};

/// What a compaction has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// How it has ended.
    pub outcome: Outcome,
    /// The first record that cannot be folded whole: no snapshot goes beyond it.
    pub stopped: Option<SetAside>,
    /// Snapshots that cannot be read.
    pub damaged: Vec<DamagedSnapshot>,
}

/// How a compaction has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A snapshot is the room's newest now.
    Written(Written),
    /// There was nothing new that could be covered.
    Nothing,
    /// The room does not exist (any more).
    Absent,
    /// An operator has stopped compaction of this room.
    Frozen,
    /// Somebody else's snapshot was first; ours is gone.
    Lost,
}

/// A snapshot that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its adoption.
    pub revision: u64,
    /// It covers the records up to here.
    pub through: Position,
    /// Its bytes in the store.
    pub bytes: u64,
    /// Bytes of all records that it covers.
    pub log_bytes: u64,
    /// How many records were trimmed after it was adopted, or why none could be: that is tried again
    /// with the next snapshot.
    pub trimmed: Result<u64, LogError>,
}

/// Why there is no snapshot now. The room is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The history cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The snapshot cannot be encoded, or not be loaded again.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The log cannot take it, or does not answer.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What was encoded or stored is not what comes out again. Nothing was published.
    #[error("the snapshot does not stand verification: {0}")]
    Unverified(&'static str),
}

/// A snapshot ready to be stored.
struct Prepared {
    encoded: Arc<[u8]>,
    through: Position,
    log_bytes: u64,
}

/// Writes a snapshot of everything that is in the log and can be folded, and trims what
/// `retention` and the snapshots allow. Safe beside any number of others who do the same, and safe to
/// be stopped anywhere.
///
/// # Errors
/// [`CompactError`]: the room is as readable as it was before.
pub async fn compact(
    log: &Arc<dyn Log>,
    room: &RoomName,
    retention: Retention,
) -> Result<Compacted, CompactError> {
    match try_compact(log, room, retention).await {
        // It was deleted, or has expired, meanwhile.
        Err(CompactError::Walk(WalkError::Gone) | CompactError::Log(LogError::Moved(_))) => {
            Ok(Compacted { outcome: Outcome::Absent, stopped: None, damaged: Vec::new() })
        }
        done => done,
    }
}

async fn try_compact(
    log: &Arc<dyn Log>,
    room: &RoomName,
    retention: Retention,
) -> Result<Compacted, CompactError> {
    let range = Range { start: Start::NEWEST, until: u64::MAX, on_trouble: OnTrouble::Stop };
    let Some(mut walk) = walk(log, room, range).await? else {
        return Ok(Compacted { outcome: Outcome::Absent, stopped: None, damaged: Vec::new() });
    };
    let mut done =
        Compacted { outcome: Outcome::Nothing, stopped: None, damaged: walk.damaged_snapshots().to_vec() };
    if walk.head().frozen {
        done.outcome = Outcome::Frozen;
        return Ok(done);
    }
    walk.to_end().await?;
    (done.stopped, done.damaged) = (walk.fold()?.stopped().cloned(), walk.damaged_snapshots().to_vec());
    if !brings_news(&walk)? {
        return Ok(done);
    }
    let begun_at = walk.head().revision;
    let prepared = prepare(room.clone(), walk.into_fold()?).await?;
    let upload = UploadId(rand::random());
    let chunks = upload_chunks(log, room, upload, &prepared.encoded).await?;

    let Some(head) = log.open(room).await? else {
        done.outcome = Outcome::Absent;
        return Ok(done);
    };
    if head.frozen || head.revision != begun_at {
        done.outcome = if head.frozen { Outcome::Frozen } else { Outcome::Lost };
        return Ok(done); // the upload goes away by itself
    }
    let plan = plan_on_sound_base(log, room, &head, prepared.through, retention, &mut done.damaged).await?;
    let adoption = Adoption {
        upload,
        revision: head.revision,
        through: prepared.through,
        log_bytes: prepared.log_bytes,
        chunks,
        bytes: prepared.encoded.len() as u64,
        drop: plan.drop.clone(),
    };
    done.outcome = match adopt(log, room, adoption).await? {
        Adopted::Lost(_) => Outcome::Lost,
        Adopted::Done(revision) => {
            let trimmed = trim(log, room, &head, &plan).await;
            let Prepared { encoded, through, log_bytes } = prepared;
            let bytes = encoded.len() as u64;
            Outcome::Written(Written { revision, through, bytes, log_bytes, trimmed })
        }
    };
    Ok(done)
}

/// Whether a snapshot of this fold is worth writing: it covers more than the newest one, or that
/// one is damaged.
fn brings_news(walk: &Walk) -> Result<bool, WalkError> {
    let through = walk.fold()?.last().seq;
    Ok(match walk.head().snapshots.last() {
        None => through > 0,
        Some(newest) if walk.started_at() == Some(newest) => through > newest.through.seq,
        Some(newest) => through >= newest.through.seq,
    })
}

/// Encodes a fold on the blocking pool, and shows that it can be loaded.
async fn prepare(room: RoomName, fold: Fold) -> Result<Prepared, CompactError> {
    let job = heavy(move || settle(&room, fold));
    job.await.map_err(|error| WalkError::Stopped(error.to_string()))?
}

/// Encodes a fold so that its snapshot, loaded into a fresh gate and document, comes out as it went
/// in, but for the order of entries in objects, which the engine does not keep. It may join blocks when
/// it loads them that stood apart, once: then what came out is the snapshot.
fn settle(room: &RoomName, fold: Fold) -> Result<Prepared, CompactError> {
    let (deleted, log_bytes) = (fold.gate().deleted(), fold.log_bytes());
    let mut snapshot = fold.snapshot();
    drop(fold); // one document in memory at a time
    for _ in 0..SNAPSHOT_SETTLE_TRIES {
        let encoded = snapshot.encode()?;
        let read = Snapshot::decode(&encoded)?;
        let loaded = Fold::resume(room.clone(), &read, OnTrouble::Stop)?;
        // The state vector was compared by `resume`.
        if loaded.gate().deleted() != deleted {
            return Err(CompactError::Unverified("other blocks are deleted after it is loaded"));
        }
        let again = loaded.snapshot();
        if again.says_the_same(&snapshot) {
            let through = snapshot.about.through;
            return Ok(Prepared { encoded: encoded.into(), through, log_bytes });
        }
        snapshot = again;
    }
    Err(CompactError::Unverified("it is another one each time it is loaded"))
}

/// Stores a snapshot in pieces and reads them back. Returns how many there are.
async fn upload_chunks(
    log: &Arc<dyn Log>,
    room: &RoomName,
    upload: UploadId,
    encoded: &Arc<[u8]>,
) -> Result<u32, CompactError> {
    let mut count = 0;
    for chunk in encoded.chunks(SNAPSHOT_CHUNK_BYTES) {
        log.put_chunk(room, upload, count, bytes::Bytes::copy_from_slice(chunk)).await?;
        count += 1;
    }
    for (index, chunk) in (0..).zip(encoded.chunks(SNAPSHOT_CHUNK_BYTES)) {
        if log.chunk(room, upload, index).await?.as_deref() != Some(chunk) {
            return Err(CompactError::Unverified("the store gives back other bytes than it was given"));
        }
    }
    Ok(count)
}

/// A plan whose base can be read at this moment.
async fn plan_on_sound_base(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &Head,
    new: Position,
    retention: Retention,
    damaged: &mut Vec<DamagedSnapshot>,
) -> Result<Plan, CompactError> {
    loop {
        let unusable: Vec<u64> = damaged.iter().map(|snapshot| snapshot.revision).collect();
        let plan = plan(head, new, retention, &unusable);
        let Some(base) = plan.base else { return Ok(plan) };
        let why = match start::read(log, room, &base).await? {
            None => "parts of it are missing".to_owned(),
            Some(bytes) => {
                let job = heavy(move || Snapshot::decode(&bytes));
                match job.await.map_err(|error| WalkError::Stopped(error.to_string()))? {
                    Ok(snapshot) if snapshot.about.through == base.through => return Ok(plan),
                    Ok(_) => "it covers other records than the log says".to_owned(),
                    Err(error) => error.to_string(),
                }
            }
        };
        damaged.push(DamagedSnapshot { revision: base.revision, through: base.through, why });
    }
}

/// Publishes a snapshot. If the answer is lost, the room tells whether it was.
async fn adopt(log: &Arc<dyn Log>, room: &RoomName, adoption: Adoption) -> Result<Adopted, CompactError> {
    let (upload, revision) = (adoption.upload, adoption.revision);
    let error = match log.adopt(room, adoption).await {
        Ok(adopted) => return Ok(adopted),
        Err(error @ LogError::Unknown(_)) => error,
        Err(error) => return Err(error.into()),
    };
    let Some(head) = log.open(room).await? else { return Err(error.into()) };
    match head.snapshots.iter().find(|snapshot| snapshot.upload == upload) {
        Some(ours) => Ok(Adopted::Done(ours.revision)),
        None if head.revision != revision => Ok(Adopted::Lost(head.revision)),
        None => Err(error.into()),
    }
}

/// Forgets what the plan's base covers. Returns how many records went.
async fn trim(log: &Arc<dyn Log>, room: &RoomName, head: &Head, plan: &Plan) -> Result<u64, LogError> {
    let Some(base) = plan.base else { return Ok(0) };
    let now = log.trim(room, base.through.seq).await?;
    Ok(now.saturating_sub(head.base))
}
