//! How a room comes into memory, and what those who wait are told if it cannot.

use tokio::time::Instant;

use super::super::line::Line;
use super::super::load::{self, LoadError};
use super::super::registry::Rooms;
use super::super::state::State;
use super::super::upkeep::Upkeep;
use super::super::{Shared, outside};
use crate::history::{DamagedSnapshot, SetAside};
use crate::log::bus::Whisper;

/// Loads a room and reports what had to be left out.
pub(super) async fn open(rooms: &Rooms, shared: &Shared) -> Result<(State, Upkeep, Line), LoadError> {
    let began = Instant::now();
    // Before the log is read, so that nothing falls between.
    let follower = rooms.log.follow(&shared.name).await?;
    let mut loaded =
        load::load(&rooms.log, &shared.name, (rooms.instance, rooms.next_life()), rooms.options.ttl).await?;
    loaded.state.bound_document(rooms.options.limits.document_bytes);
    let room = shared.name.log_id();
    for SetAside { position, why } in &loaded.set_aside {
        tracing::error!(%room, %position, why, "a record is set aside; the room is served without it");
        rooms.metrics.records_set_aside.inc();
    }
    for DamagedSnapshot { revision, through, why } in &loaded.damaged_snapshots {
        tracing::error!(
            %room, revision, %through, why,
            "a snapshot cannot be read; the room is served from an older one and the records behind it, and the next \
             snapshot replaces it. Check the disk, and keep a backup of the store"
        );
        rooms.metrics.snapshots_damaged.inc();
    }
    tracing::debug!(%room, records = loaded.records, took = ?began.elapsed(), "room loaded");
    rooms.metrics.rooms_loaded.inc();
    let line = Line::new(follower, loaded.tombstone, loaded.state.seen());
    if line.hears() {
        rooms.log.whisper(&shared.name, rooms.instance, Whisper::WhoIsHere);
    }
    Ok((loaded.state, loaded.upkeep, line))
}

/// Tells all who wait for a room that it cannot be had.
pub(super) fn refuse_joins(shared: &Shared, why: &str) {
    outside::turn_away(shared.inbox.close(), &format!("the room cannot be loaded now: {why}"));
}
