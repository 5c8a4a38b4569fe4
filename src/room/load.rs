//! Recovery: a room as its history tells it, ready to be served.
//!
//! A record that is damaged, that the gate finds incomplete, or that the document cannot take is
//! set aside and reported; the room lives on without it. Clients that still hold what was in it
//! bring it back with their next Step2.

use std::sync::Arc;
use std::time::Duration;

use crate::board::drafts::Draft;
use crate::clock::in_ms;
use crate::generation::Generations;
use crate::heavy::heavy;
use crate::history::{self, DamagedSnapshot, Fold, OnTrouble, Range, SetAside, Tail, WalkError};
use crate::ids::{Generation, InstanceId, Position, RoomName};
use crate::log::bus::{Epoch, Seen};
use crate::log::record::{self, Kind, Metadata, Record, RecordError, RoomKind};
use crate::log::{Log, LogError, Tombstone};
use crate::room::state::{Everything, State};
use crate::room::upkeep::Upkeep;

/// Why a room cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the room's genesis record cannot be made: {0}")]
    Genesis(#[from] RecordError),
    #[error("the fold was stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

/// A room, and what had to be left out of it.
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) tombstone: Option<Tombstone>,
    pub(crate) set_aside: Vec<SetAside>,
    pub(crate) damaged_snapshots: Vec<DamagedSnapshot>,
    pub(crate) records: u64,
    pub(crate) upkeep: Upkeep,
}

/// Brings a room into memory.
///
/// # Errors
/// [`LoadError`]: the log cannot be read now. Damage to single records is no error.
pub(crate) async fn load(
    log: &Arc<dyn Log>,
    room: &RoomName,
    (instance, life): (InstanceId, u32),
    ttl: Option<Duration>,
) -> Result<Loaded, LoadError> {
    // Before the room is read: a deletion that comes between is one that was not there before.
    let tombstone = log.tombstone(room).await?;
    let mut damaged_snapshots = Vec::new();
    let mut epoch = Epoch::NONE;
    let (mut all, mut covered) = (Tail::default(), Tail::default());
    let fold = match history::walk(log, room, Range::TO_HEAD).await? {
        Some(mut walk) => {
            walk.to_end().await?;
            damaged_snapshots.extend_from_slice(walk.damaged_snapshots());
            epoch = walk.head().epoch;
            all = Tail::of(walk.head());
            // If a snapshot is damaged, the next one is written soon.
            if let Some(snapshot) = walk.started_at().filter(|_| damaged_snapshots.is_empty()) {
                covered = Tail::covered_by(snapshot);
            }
            walk.into_fold()?
        }
        None => Fold::new(room.clone(), OnTrouble::SetAside),
    };
    let (set_aside, records) = (fold.set_aside().to_vec(), fold.records());
    let mut parts = fold.into_parts();
    let (name, lost) = (room.clone(), (tombstone.is_some(), !set_aside.is_empty()));
    let seen = heavy(move || {
        let generations = Generations::new(&name, lost, &parts.gate.state_vector());
        // Made here, where nobody waits for it but who comes first.
        let answer = parts.encoded.take().map(|encoded| Everything::new(&encoded));
        (parts, generations, answer)
    });
    let (parts, mut generations, answer) = seen.await?;
    let generation = Generation::for_room(room, rand::random);
    if parts.last == Position::START {
        generations.reserve(generation);
    }
    // Whoever makes the room chooses its kind.
    let kind = parts.kind.unwrap_or(RoomKind::Free);
    let genesis = genesis_record(room, generation, instance, kind)?;
    let ttl_ms = ttl.map(in_ms);
    let mut state = State::new(
        parts.gate,
        parts.document,
        Seen { last: parts.last, epoch },
        parts.bytes,
        (instance, life),
        (genesis, ttl_ms),
        generations,
    );
    state.set_kind(kind);
    if let Some(answer) = answer {
        state.answer_with(answer);
    }
    state.owners().learn(parts.claims);
    state.owners().learn_written(&parts.wrote);
    let mut upkeep = Upkeep::new(all, covered);
    if Draft::of(room).is_some() {
        upkeep = upkeep.keep_longer();
    }
    Ok(Loaded { state, tombstone, set_aside, damaged_snapshots, records, upkeep })
}

/// The genesis record of a new generation, for the append that finds the room absent.
pub(crate) fn genesis_record(
    room: &RoomName,
    generation: Generation,
    instance: InstanceId,
    room_kind: RoomKind,
) -> Result<Record, RecordError> {
    let metadata = Metadata::by_server(instance, 0, room_kind, crate::clock::wall_ms());
    Record::new(Kind::Genesis, &metadata, &record::genesis_update(room, generation))
}
