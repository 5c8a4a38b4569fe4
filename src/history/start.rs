//! Where a walk begins: at a snapshot that can be read, or at the first record.

use std::sync::Arc;

use super::fold::Fold;
use super::walk::{Range, WalkError};
use crate::ids::{Position, RoomName};
use crate::log::{Head, Log, SnapshotRef};

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

/// Finds the start of a walk.
pub(super) async fn begin(
    _log: &Arc<dyn Log>,
    room: &RoomName,
    head: &mut Head,
    range: Range,
    _damaged: &mut Vec<DamagedSnapshot>,
) -> Result<Begun, WalkError> {
    if head.base > 0 {
        return Err(WalkError::Trimmed { base: head.base, wanted: 0 });
    }
    Ok(Begun { fold: Fold::new(room.clone(), range.on_trouble), snapshot: None })
}
