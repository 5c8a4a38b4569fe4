//! `ruang replay compact`: a snapshot now, and what it allows to be trimmed.

use std::sync::Arc;

use serde::Serialize;

use super::output::{Line, Output, size};
use super::place::utc;
use super::{Done, ReplayError};
use crate::history::{self, Compacted, Outcome, Retention};
use crate::ids::RoomName;
use crate::log::Log;

/// What a compaction has done.
#[derive(Debug, Serialize)]
struct CompactedLine {
    room: String,
    /// `written`, `nothing`, `frozen` or `lost`.
    outcome: &'static str,
    /// What the new snapshot covers.
    through: Option<String>,
    /// Its bytes, and those of the records that it covers.
    bytes: Option<u64>,
    log_bytes: Option<u64>,
    /// Records that went.
    trimmed: Option<u64>,
    /// The first record that no snapshot can cover.
    stopped: Option<String>,
    why: Option<String>,
}

impl Line for CompactedLine {
    const TYPE: &'static str = "compacted";
}

/// Compacts a room. Findings: a record that stops it, snapshots that cannot be read, or that it is frozen.
///
/// # Errors
/// [`ReplayError`]: the room is as it was.
pub async fn compact(
    log: &Arc<dyn Log>,
    room: &RoomName,
    retention: Retention,
    output: &mut Output<'_>,
) -> Result<Done, ReplayError> {
    let Compacted { outcome, stopped, damaged } = history::compact(log, room, retention).await?;
    let mut line = CompactedLine {
        room: room.as_str().to_owned(),
        outcome: "written",
        through: None,
        bytes: None,
        log_bytes: None,
        trimmed: None,
        stopped: stopped.as_ref().map(|record| record.position.to_string()),
        why: stopped.as_ref().map(|record| record.why.clone()),
    };
    for snapshot in &damaged {
        output.note(&format!("snapshot {} is damaged: {}", snapshot.revision, snapshot.why));
    }
    let sentence = match outcome {
        Outcome::Absent => return Err(ReplayError::Absent),
        Outcome::Written(written) => {
            let trimmed = written.trimmed?;
            line.through = Some(written.through.to_string());
            (line.bytes, line.log_bytes) = (Some(written.bytes), Some(written.log_bytes));
            line.trimmed = Some(trimmed);
            let (bytes, of) = (size(written.bytes), size(written.log_bytes));
            let at = utc(written.through.ms);
            format!(
                "a snapshot up to {} ({at}): {bytes} for {of} of records; {trimmed} trimmed",
                written.through
            )
        }
        Outcome::Nothing => {
            line.outcome = "nothing";
            "there is nothing that a snapshot could cover and none does".to_owned()
        }
        Outcome::Frozen => {
            line.outcome = "frozen";
            "the room is frozen: `ruang replay thaw` allows it again".to_owned()
        }
        Outcome::Lost => {
            line.outcome = "lost";
            "the server was faster: it has just made one".to_owned()
        }
    };
    if output.is_json() {
        output.line(&line)?;
    } else {
        output.say(&format!("{}: {sentence}", line.room))?;
    }
    let Some(record) = stopped else {
        let good = damaged.is_empty() && line.outcome != "frozen";
        return Ok(if good { Done::Good } else { Done::Findings });
    };
    output.note(&format!("record {} stops compaction: {}", record.position, record.why));
    Ok(Done::Findings)
}
