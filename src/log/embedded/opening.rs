//! Opening the journal: taking up what an earlier process left in it and the database does not have.

use std::collections::HashMap;

use super::Options;
use super::directory::{Directory, OpenError};
use super::journal::{Found, Journal};
use super::mover;
use super::overlay::Layer;
use super::reads::Reads;
use super::rooms::RoomMeta;
use super::store::Failure;
use super::tables::Moved;
use crate::ids::RoomName;
use crate::log::LogError;

/// Makes the journal if there is none yet; else takes up what the database does not have.
pub(super) fn open_journal(
    directory: &Directory,
    reads: &Reads,
    options: &Options,
) -> Result<Journal, OpenError> {
    let damaged = |why: String| OpenError::Damaged { path: directory.database(), why };
    let moved = match reads.moved().map_err(|failure| unusable(directory, failure))? {
        Moved::Through(moved) => moved,
        Moved::Never if !directory.has_journal() => 0,
        Moved::Never | Moved::Damaged => {
            return Err(damaged("what it has of the journal is not known".to_owned()));
        }
    };
    if !directory.has_journal() {
        // From now on the database says so: a journal without that would be damage.
        mover::mark_moved(&reads.store, moved).map_err(|failure| unusable(directory, failure))?;
        return Journal::create(directory.journals(), options.journal_bytes, options.disk.clone(), moved);
    }
    let (journal, found) = Journal::open(directory.journals(), options.disk.clone(), moved)?;
    if found.through > moved {
        reads.overlay.load(found_layer(directory, reads, moved, found)?);
    }
    Ok(journal)
}

/// What was found, on top of what the database knows of its rooms.
fn found_layer(directory: &Directory, reads: &Reads, moved: u64, found: Found) -> Result<Layer, OpenError> {
    let mut metas = HashMap::new();
    for entry in found.frames.iter().filter_map(|frame| frame.entries.as_ref()).flatten() {
        if metas.contains_key(&entry.room) {
            continue;
        }
        let meta = match reads.meta(&entry.room) {
            Ok(Ok(meta)) => meta,
            // It is met again when the room is moved, and told then.
            Ok(Err(LogError::Fatal(_))) | Err((Failure::Damage(_), _)) => None,
            Ok(Err(error)) => return Err(unusable(directory, Failure::Disk(error.to_string()))),
            Err((failure, _)) => return Err(unusable(directory, failure)),
        };
        metas.insert(entry.room.clone(), meta.unwrap_or_else(|| RoomMeta::new(0)));
    }
    let mut layer = Layer::empty(moved);
    for frame in found.frames {
        let meta = |room: &RoomName| metas.get(room).cloned().unwrap_or_else(|| RoomMeta::new(0));
        layer.add(frame.sequence, frame.bytes, frame.entries.unwrap_or_default(), meta);
    }
    layer.through = found.through;
    Ok(layer)
}

fn unusable(directory: &Directory, failure: Failure) -> OpenError {
    let path = directory.database();
    match failure {
        Failure::Damage(why) => OpenError::Damaged { path, why },
        Failure::Full(why) | Failure::Disk(why) => OpenError::Io { path, source: std::io::Error::other(why) },
    }
}
