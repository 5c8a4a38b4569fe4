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

use crate::http::App;
use crate::ids::RoomName;
use crate::log::record::RoomKind;

/// The kind of a room: whether a board's rules hold in it.
fn kind(app: &App, _room: &RoomName) -> RoomKind {
    app.rooms.options.kind
}
