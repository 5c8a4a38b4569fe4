//! `ruang replay freeze` and `thaw`: no compaction of a room, until it is allowed again.

use std::sync::Arc;

use serde::Serialize;

use super::output::{Line, Output};
use super::{Done, ReplayError, open_room};
use crate::ids::RoomName;
use crate::log::Log;

/// A room as it is now.
#[derive(Debug, Serialize)]
struct FrozenLine {
    room: String,
    frozen: bool,
    /// Whether it was not so before.
    changed: bool,
}

impl Line for FrozenLine {
    const TYPE: &'static str = "frozen";
}

/// Stops or allows compaction of a room.
///
/// # Errors
/// [`ReplayError::Absent`], or what the log says.
pub async fn freeze(
    log: &Arc<dyn Log>,
    room: &RoomName,
    frozen: bool,
    output: &mut Output<'_>,
) -> Result<Done, ReplayError> {
    let before = open_room(log, room).await?.frozen;
    if !log.freeze(room, frozen).await? {
        return Err(ReplayError::Absent);
    }
    let line = FrozenLine { room: room.as_str().to_owned(), frozen, changed: before != frozen };
    if output.is_json() {
        output.line(&line)?;
    } else {
        let state = if frozen { "frozen: it is not compacted" } else { "thawed: it is compacted again" };
        let was = if line.changed { "" } else { " (it was so before)" };
        output.say(&format!("{} is {state}{was}", room.as_str()))?;
    }
    Ok(Done::Good)
}
