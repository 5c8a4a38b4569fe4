//! `ruang replay state`: the document of a room at any position.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::output::{Line, Output};
use super::place::{Place, Side, resolve, utc};
use super::{Done, ReplayError, open_room, view};
use crate::board::view::RetroRoomState;
use crate::history::{self, Range};
use crate::ids::RoomName;
use crate::kind::RoomKind;
use crate::log::Log;

/// How a document is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// As JSON.
    Json,
    /// As one update V1: bytes.
    Update,
    /// Its state vector V1: bytes.
    Sv,
    /// Each value on a line of its own, after its path.
    Text,
    /// As a board, as the HTTP API shows one of the past.
    Board,
}

/// A document at a position.
#[derive(Debug, Serialize)]
struct StateLine {
    room: String,
    /// Id of the newest record in it; `0-0` before the first.
    at: String,
    time: String,
    /// Records in the log up to there that are not in the document.
    set_aside: usize,
    document: Value,
    /// The board, in rooms of that kind, and where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    board: Option<RetroRoomState>,
}

impl Line for StateLine {
    const TYPE: &'static str = "state";
}

/// Prints the document as it was when the record at `place` was the newest.
///
/// # Errors
/// [`ReplayError`]; also if the place is trimmed.
pub async fn state(
    log: &Arc<dyn Log>,
    room: &RoomName,
    place: Place,
    format: Format,
    now_ms: u64,
    output: &mut Output<'_>,
) -> Result<Done, ReplayError> {
    let head = open_room(log, room).await?;
    let until = resolve(&**log, (room, &head), place, Side::Before, now_ms).await?;
    let mut walk = history::walk(log, room, Range::to(until)).await?.ok_or(ReplayError::Absent)?;
    walk.to_end().await?;
    for damaged in walk.damaged_snapshots() {
        output.note(&format!(
            "snapshot at {} is damaged: {}; an older one was used",
            damaged.through, damaged.why
        ));
    }
    let fold = walk.into_fold()?;
    for record in fold.set_aside() {
        output.note(&format!("record {} is not in the document: {}", record.position, record.why));
    }
    match format {
        Format::Update => output.bytes(&fold.document().encode_full())?,
        Format::Sv => output.bytes(&fold.document().state_vector())?,
        Format::Board if !output.is_json() => {
            let board = RetroRoomState::as_of(fold.document().doc(), &fold.writers(), fold.last().ms);
            let mut text = serde_json::to_vec(&board).map_err(std::io::Error::other)?;
            text.push(b'\n');
            output.bytes(&text)?;
        }
        Format::Json | Format::Text | Format::Board => {
            let doc = fold.document().doc();
            let is_board = format == Format::Board || fold.kind() == Some(RoomKind::Board);
            let board = (is_board && output.is_json())
                .then(|| RetroRoomState::as_of(doc, &fold.writers(), fold.last().ms));
            let document = view::json(doc);
            let line = StateLine {
                room: room.as_str().to_owned(),
                at: fold.last().to_string(),
                time: utc(fold.last().ms),
                set_aside: fold.set_aside().len(),
                document,
                board,
            };
            if output.is_json() {
                output.line(&line)?;
            } else if format == Format::Text {
                output.bytes(view::text(&line.document).as_bytes())?;
            } else {
                let mut text = serde_json::to_vec_pretty(&line.document).map_err(std::io::Error::other)?;
                text.push(b'\n');
                output.bytes(&text)?;
            }
        }
    }
    Ok(Done::Good)
}
