//! What is known of a room: in the store, and here. And its deletion.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::request::{Asked, in_time};
use super::{ApiError, board};
use crate::board::drafts::Draft;
use crate::caller::Role;
use crate::history::kind_of;
use crate::http::App;
use crate::ids::RoomName;
use crate::kind::RoomKind;
use crate::life::deadline::{is_expiring, left_ms};
use crate::limits::API_MS_MAX;
use crate::log::{Head, LogError, Tombstone};

/// `GET`: what is known of a room.
pub(super) async fn show(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Role::Viewer)?;
    let room = &asked.room;
    let looked = async {
        let head = app.log.open(room).await?;
        let kind = match &head {
            Some(head) => kind_of(&*app.log, room, head).await?,
            None => None,
        };
        Ok((head, kind, app.log.tombstone(room).await?))
    };
    let (head, kind, tombstone) = in_time(looked).await?;
    let sessions = app.rooms.sessions(room);
    if head.is_none() && tombstone.is_none() && sessions == 0 {
        return Err(ApiError::NoRoom);
    }
    let now_ms = app.rooms.now().wall_ms;
    let is_board = head.is_some() && board::is_shown(&asked, kind);
    let about = about(&asked.room, (head, kind), tombstone, sessions, now_ms);
    if is_board {
        return board::show(&app, &asked, about).await;
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(about)).into_response())
}

fn about(
    room: &RoomName,
    (head, kind): (Option<Head>, Option<RoomKind>),
    tombstone: Option<Tombstone>,
    sessions: usize,
    now_ms: u64,
) -> Value {
    let expires_ms = head.as_ref().and_then(|head| head.deadline_ms);
    let expires_in_ms = expires_ms.map(|deadline_ms| left_ms(deadline_ms, now_ms));
    json!({
        "room": room.as_str(),
        "exists": head.is_some(),
        "kind": kind.map(RoomKind::as_str),
        "position": head.as_ref().map(|head| head.last.to_string()),
        "records": head.as_ref().map_or(0, |head| head.last.seq - head.base),
        "bytes": head.as_ref().map_or(0, |head| head.bytes),
        "snapshots": head.as_ref().map_or(0, |head| head.snapshots.len()),
        "expires_ms": expires_ms,
        "expires_in_ms": expires_in_ms,
        "expiring": expires_in_ms.is_some_and(is_expiring),
        "sessions": sessions,
        "deleted_ms": tombstone.map(|tombstone| tombstone.deleted_ms),
    })
}

/// `DELETE`: deletes a room. It goes on if the client does not wait for the answer, and if that has to be given before it is
/// known. A body is not read.
pub(super) async fn delete(State(app): State<Arc<App>>, asked: Asked) -> Result<StatusCode, ApiError> {
    // Nobody but its user enters a draft: it is the user's to delete.
    let is_own = Draft::of(&asked.room).is_some();
    asked.needs(if is_own { Role::Editor } else { Role::Admin })?;
    let deleted = timeout(Duration::from_millis(API_MS_MAX), app.rooms.delete(&asked.room)).await;
    match deleted {
        Ok(Ok(true)) => Ok(StatusCode::NO_CONTENT),
        Ok(Ok(false)) => Err(ApiError::NoRoom),
        Err(_) | Ok(Err(LogError::Unknown(_))) => Err(ApiError::DeletionUndecided),
        Ok(Err(error)) => Err(error.into()),
    }
}
