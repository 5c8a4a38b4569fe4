//! The HTTP API: what is known of a room, and its deletion. Answers are JSON; so are refusals, all of one
//! shape: `{"error": {"code", "message"}}`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::App;
use super::access::bearer_token;
use crate::auth::AuthError;
use crate::caller::{Caller, Role};
use crate::ids::{RoomName, RoomNameError};
use crate::life::deadline::{is_expiring, left_ms};
use crate::limits::API_MS_MAX;
use crate::log::{Head, LogError, Tombstone};

/// `/api/v1/rooms/{room}`.
pub(super) fn room() -> MethodRouter<Arc<App>> {
    get(show)
        .delete(delete)
        .fallback(async || ([(header::ALLOW, "GET, HEAD, DELETE")], ApiError::Method).into_response())
}

/// Every other path of the API.
pub(super) async fn nothing_here() -> ApiError {
    ApiError::NoPath
}

/// Why the API refuses.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Name(#[from] RoomNameError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("{0} tokens are taken for this")]
    Role(&'static str),
    #[error("there is no such room")]
    NoRoom,
    #[error("the API has nothing at this path")]
    NoPath,
    #[error("this path takes GET and DELETE")]
    Method,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the store did not answer within {} s", API_MS_MAX / 1000)]
    Late,
}

impl ApiError {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Name(_) => (StatusCode::BAD_REQUEST, "bad_room_name"),
            Self::Auth(AuthError::Room) => (StatusCode::FORBIDDEN, "not_allowed"),
            Self::Auth(_) => (StatusCode::UNAUTHORIZED, "token_refused"),
            Self::Role(_) => (StatusCode::FORBIDDEN, "not_allowed"),
            Self::NoRoom => (StatusCode::NOT_FOUND, "no_such_room"),
            Self::NoPath => (StatusCode::NOT_FOUND, "no_such_path"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Log(error) if error.is_temporary() => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Log(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_refuses"),
            Self::Late => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.code();
        let body = Json(json!({ "error": { "code": code, "message": self.to_string() } }));
        let mut response = (status, body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

type Named = Result<Path<String>, PathRejection>;

fn parse(room: Named) -> Result<RoomName, RoomNameError> {
    room.map_or(Err(RoomNameError::NotUtf8), |Path(room)| RoomName::parse(&room))
}

/// Who asks, by the token in its header. Before anything is looked up under the room's name.
fn admit(app: &App, headers: &HeaderMap, room: &RoomName) -> Result<Caller, ApiError> {
    Ok(app.admit(bearer_token(headers), room)?)
}

/// What is known of a room: in the store, and here.
async fn show(State(app): State<Arc<App>>, room: Named, headers: HeaderMap) -> Result<Response, ApiError> {
    let room = parse(room)?;
    admit(&app, &headers, &room)?;
    let looked = async { (app.log.open(&room).await, app.log.tombstone(&room).await) };
    let (head, tombstone) =
        timeout(Duration::from_millis(API_MS_MAX), looked).await.map_err(|_| ApiError::Late)?;
    let (head, tombstone) = (head?, tombstone?);
    let sessions = app.rooms.sessions(&room);
    if head.is_none() && tombstone.is_none() && sessions == 0 {
        return Err(ApiError::NoRoom);
    }
    let now_ms = app.rooms.now().wall_ms;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(about(&room, head, tombstone, sessions, now_ms)))
        .into_response())
}

fn about(
    room: &RoomName,
    head: Option<Head>,
    tombstone: Option<Tombstone>,
    sessions: usize,
    now_ms: u64,
) -> Value {
    let expires_ms = head.as_ref().and_then(|head| head.deadline_ms);
    let expires_in_ms = expires_ms.map(|deadline_ms| left_ms(deadline_ms, now_ms));
    json!({
        "room": room.as_str(),
        "exists": head.is_some(),
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

/// Deletes a room. It goes on if the client does not wait for the answer.
async fn delete(
    State(app): State<Arc<App>>,
    room: Named,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let room = parse(room)?;
    if admit(&app, &headers, &room)?.role < Role::Admin {
        return Err(ApiError::Role("only admins'"));
    }
    if app.rooms.delete(&room).await? { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::NoRoom) }
}
