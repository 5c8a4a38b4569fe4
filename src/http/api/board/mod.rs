//! A room's document as a board: shown, edited, begun from a template, exported, imported.
//!
//! | file | what |
//! |---|---|
//! | `show` | the board as JSON, as it is and as it was |
//! | `people` | who takes part in it |
//! | `kept` | boards that were shown lately, by position |
//! | `edits` | typed edits, and the beginning of a board, stored |
//! | `export`, `import` | a board as a file |
//!
//! Invariants:
//! - A board is made of a committed document, off the async threads, once for each position as far as there is place.
//! - Edits go the way of every client's: through the gate, into the log, in the caller's name.

mod edits;
mod export;
mod import;
mod kept;
mod people;
mod show;

pub(super) use self::edits::{begin, edit};
pub(super) use self::export::export;
pub(super) use self::import::import;
pub(super) use self::kept::Kept;
pub(super) use self::show::{is_shown, past, show};

use super::ApiError;
use super::request::{Asked, in_time};
use crate::history::kind_of;
use crate::http::App;
use crate::kind::RoomKind;

/// The kind of a room, or, if it is not there, what the caller would make it: whether a board's rules hold in it.
async fn kind(app: &App, asked: &Asked) -> Result<RoomKind, ApiError> {
    let Asked { room, caller, .. } = asked;
    let stored = async {
        match app.log.open(room).await? {
            Some(head) => Ok(kind_of(&*app.log, room, &head).await?),
            None => Ok(None),
        }
    };
    Ok(in_time(stored).await?.unwrap_or_else(|| app.rooms.options.boards.kind_of(room, caller.kind)))
}
