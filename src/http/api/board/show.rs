//! The board as JSON: with what is known of its room, as it is; and as it was.

use std::sync::Arc;

use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::kept::Board;
use super::people::{self, Wrote};
use crate::board::schema::Point;
use crate::board::table::Table;
use crate::board::view::{ActionItem, Group, Item, Meta, Participant, RetroRoomState, view};
use crate::document::Document;
use crate::heavy::heavy;
use crate::history::{Fold, Range};
use crate::http::App;
use crate::http::api::ApiError;
use crate::http::api::answer::{self, JSON};
use crate::http::api::read::{stopped, walk};
use crate::http::api::request::{Asked, Shape, in_time, share};
use crate::ids::{Position, RoomName};
use crate::kind::RoomKind;
use crate::limits::INLINE_BYTES_MAX;
use crate::room::outside::Part;

/// Whether a room is shown with its board.
pub(in crate::http::api) fn is_shown(asked: &Asked, kind: Option<RoomKind>) -> bool {
    match asked.query.shape {
        Some(shape) => shape == Shape::Board,
        None => kind == Some(RoomKind::Board),
    }
}

/// A room that is there: what is known of it, and the board, as members of one object.
pub(in crate::http::api) async fn show(
    app: &Arc<App>,
    asked: &Asked,
    mut about: Value,
) -> Result<Response, ApiError> {
    let room = &asked.room;
    let find = |position| {
        if asked.knows(position) {
            return Some(Found::Known(position));
        }
        app.api.boards.find(room, position).map(Found::Board)
    };
    let make =
        |position, document: &Document, wrote| Found::Board(Arc::new(board(position, document, wrote)));
    let board = match in_time(of_document(app, room, find, make)).await? {
        Found::Known(position) => return Ok(answer::not_modified(position)),
        Found::Board(board) => board,
    };
    app.api.boards.keep(room, &board);
    let participants = match app.rooms.people(room) {
        Some(people) => people::participants(&people, app.rooms.now().wall_ms),
        None => Participant::away(&board.wrote),
    };
    about["position"] = json!(board.position.to_string());
    let body = joined(&about, &board, &participants);
    let mut response = answer::bytes(app, JSON, Some(board.position), body).await?;
    // Who is here, and until when the room lives, changes without a record.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

enum Found {
    /// The client has it.
    Known(Position),
    Board(Arc<Board>),
}

/// What a walk through the past has come to, as JSON. Heavy.
pub(in crate::http::api) fn past(fold: &Fold) -> Bytes {
    #[derive(Serialize)]
    struct Past {
        position: String,
        board: RetroRoomState,
    }
    let position = fold.last();
    let board = RetroRoomState::as_of(fold.document().doc(), &fold.writers(), position.ms);
    json_of(&Past { position: position.to_string(), board }).into()
}

/// Boards as JSON.
pub(super) fn json_of(board: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(board).expect("strings, finite numbers, and keys that are strings")
}

/// Makes something of the committed document of a room, off the async threads, unless `find` has it for the position
/// that the room is at. A room that is not open is walked, and not opened.
pub(super) async fn of_document<T: Send + 'static>(
    app: &App,
    room: &RoomName,
    find: impl Fn(Position) -> Option<T>,
    make: impl FnOnce(Position, &Document, Wrote) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let is_large = app.rooms.document_bytes(room) > INLINE_BYTES_MAX;
    let large = if is_large { Some(share(&app.api.documents).await?) } else { None };
    if let Some(read) = app.rooms.read_open(room, Part::Everything).await {
        let copy = read?;
        if copy.position == Position::START {
            return Err(ApiError::NoRoom);
        }
        if let Some(found) = find(copy.position) {
            return Ok(found);
        }
        let wrote = app.rooms.people(room).unwrap_or_default().wrote;
        let work = move || {
            let _share = large;
            let mut document = Document::new();
            document.apply(&[&copy.update]).map_err(|error| ApiError::Damaged(error.to_string()))?;
            Ok(make(copy.position, &document, wrote))
        };
        return heavy(work).await.map_err(stopped)?;
    }
    let head = app.log.open(room).await?.ok_or(ApiError::NoRoom)?;
    if let Some(found) = find(head.last) {
        return Ok(found);
    }
    let share = match large {
        Some(share) => share,
        None => share(&app.api.documents).await?,
    };
    let fold = walk(app, room, Range::TO_HEAD).await?;
    let work = move || {
        let _share = share;
        make(fold.last(), fold.document(), fold.writers())
    };
    heavy(work).await.map_err(stopped)
}

/// The members of a board that follow from its document, as [`RetroRoomState`] has them; the others come behind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InDocument<'a> {
    meta: &'a Meta,
    items: &'a Table<Item>,
    item_positions: &'a Table<Point>,
    item_groups: &'a Table<String>,
    groups: &'a Table<Group>,
    signature_colors: &'a Table<String>,
    action_items: &'a [ActionItem],
    all_user_votes: &'a Table<Table<u32>>,
}

/// The board that a document holds. Heavy.
pub(super) fn board(position: Position, document: &Document, wrote: Wrote) -> Board {
    // A member more is an error here: it is shown, or it follows from elsewhere.
    let RetroRoomState {
        meta,
        items,
        item_positions,
        item_groups,
        groups,
        signature_colors,
        action_items,
        all_user_votes,
        participants: _,
        last_updated: _,
    } = &view(document.doc());
    let in_document = InDocument {
        meta,
        items,
        item_positions,
        item_groups,
        groups,
        signature_colors,
        action_items,
        all_user_votes,
    };
    let json = json_of(&in_document);
    let end = json.len() - 1;
    Board { position, members: Bytes::from(json).slice(1..end), wrote }
}

/// One object of what is said beside the board, the board, and what follows from elsewhere.
pub(super) fn joined(about: &Value, board: &Board, participants: &[Participant]) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Beside<'a> {
        participants: &'a [Participant],
        last_updated: u64,
    }
    let more = json_of(&Beside { participants, last_updated: board.position.ms });
    let about = about.to_string();
    let about = &about[1..about.len() - 1];
    let mut body = Vec::with_capacity(about.len() + board.members.len() + more.len() + 4);
    body.push(b'{');
    body.extend_from_slice(about.as_bytes());
    if !about.is_empty() {
        body.push(b',');
    }
    body.extend_from_slice(&board.members);
    body.push(b',');
    body.extend_from_slice(&more[1..]);
    body.into()
}
