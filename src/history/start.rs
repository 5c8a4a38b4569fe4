//! Where a walk begins: at a snapshot that can be read, or at the first record.

use std::sync::Arc;

use super::fold::{Fold, OnTrouble};
use super::snapshot::{Snapshot, SnapshotError};
use super::walk::{Range, WalkError};
use crate::heavy::heavy;
use crate::ids::{Position, RoomName};
use crate::limits::WALK_TRIES_MAX;
use crate::log::{Head, Log, LogError, SnapshotRef};

/// Where to begin a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record, without any snapshot: only if nothing is trimmed.
    Genesis,
    /// With the newest snapshot that covers no record above this counter, or at the first record if
    /// there is none.
    Snapshot {
        /// The highest counter that the snapshot may cover.
        at_most: u64,
    },
}

impl Start {
    /// With the newest snapshot.
    pub const NEWEST: Self = Self::Snapshot { at_most: u64::MAX };
}

/// A snapshot that is in the store and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// The adoption that brought it.
    pub revision: u64,
    /// What it covers.
    pub through: Position,
    /// What is wrong with it.
    pub why: String,
}

/// The start of a walk.
pub(super) struct Begun {
    pub(super) fold: Fold,
    pub(super) snapshot: Option<SnapshotRef>,
}

/// Finds the start of a walk. Snapshots that cannot be used are noted, once each, and older ones are
/// tried. `head` is brought up to date if the room changes meanwhile.
pub(super) async fn begin(
    log: &Arc<dyn Log>,
    room: &RoomName,
    head: &mut Head,
    range: Range,
    damaged: &mut Vec<DamagedSnapshot>,
) -> Result<Begun, WalkError> {
    let Start::Snapshot { at_most } = range.start else {
        return match head.base {
            0 => Ok(Begun { fold: Fold::new(room.clone(), range.on_trouble), snapshot: None }),
            base => Err(WalkError::Trimmed { base, wanted: 0 }),
        };
    };
    for _ in 0..WALK_TRIES_MAX {
        let usable = |snapshot: &&SnapshotRef| snapshot.through.seq <= at_most;
        let candidate = head.snapshots.iter().rev().filter(usable).copied();
        let known = |snapshot: &SnapshotRef| damaged.iter().any(|it| it.revision == snapshot.revision);
        let Some(snapshot) = candidate.clone().find(|snapshot| !known(snapshot)) else {
            return begin_without(room, head, range, candidate.count(), damaged);
        };
        let why = match read(log, room, &snapshot).await? {
            Some(bytes) => {
                let (room, on_trouble) = (room.clone(), range.on_trouble);
                let job = heavy(move || resume(room, &bytes, snapshot.through, on_trouble));
                match job.await.map_err(|error| WalkError::Stopped(error.to_string()))? {
                    Ok(fold) => return Ok(Begun { fold, snapshot: Some(snapshot) }),
                    Err(newer @ SnapshotError::Newer { .. }) => {
                        return Err(WalkError::Newer(newer.to_string()));
                    }
                    Err(error) => error.to_string(),
                }
            }
            None => {
                *head = log.open(room).await?.ok_or(WalkError::Gone)?;
                if !head.snapshots.contains(&snapshot) {
                    continue; // it was replaced while it was read
                }
                "parts of it are missing".to_owned()
            }
        };
        damaged.push(DamagedSnapshot { revision: snapshot.revision, through: snapshot.through, why });
    }
    Err(WalkError::Overtaken)
}

/// No snapshot can be used: the first record is the start, if it is there.
fn begin_without(
    room: &RoomName,
    head: &Head,
    range: Range,
    candidates: usize,
    damaged: &[DamagedSnapshot],
) -> Result<Begun, WalkError> {
    let wanted = match range.start {
        Start::Genesis => 0,
        Start::Snapshot { at_most } => at_most.min(head.last.seq),
    };
    match (head.base, damaged.first()) {
        (0, _) => Ok(Begun { fold: Fold::new(room.clone(), range.on_trouble), snapshot: None }),
        (base, Some(newest)) if candidates > 0 => {
            Err(WalkError::NoSnapshot { base, count: candidates, why: newest.why.clone() })
        }
        (base, _) => Err(WalkError::Trimmed { base, wanted }),
    }
}

/// All bytes of an upload; `None` if a chunk is not there.
pub(super) async fn read(
    log: &Arc<dyn Log>,
    room: &RoomName,
    snapshot: &SnapshotRef,
) -> Result<Option<Vec<u8>>, LogError> {
    let mut bytes = Vec::new();
    for index in 0..snapshot.chunks {
        let Some(chunk) = log.chunk(room, snapshot.upload, index).await? else { return Ok(None) };
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// A fold that stands on a snapshot, which must be the one that the log speaks of.
pub(super) fn resume(
    room: RoomName,
    bytes: &[u8],
    through: Position,
    on_trouble: OnTrouble,
) -> Result<Fold, SnapshotError> {
    let snapshot = Snapshot::decode(bytes)?;
    if snapshot.about.through != through {
        let found = snapshot.about.through;
        return Err(SnapshotError::Damaged(format!("it covers the records up to {found}, not {through}")));
    }
    let mut fold = Fold::resume(room, &snapshot, on_trouble)?;
    fold.keep_encoded(snapshot.document);
    Ok(fold)
}
