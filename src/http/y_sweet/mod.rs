//! The y-sweet family over HTTP: documents, tokens for them, and the way to their sockets.
//!
//! A document is a room, and is there from the moment its creation is stored; creations that race make one
//! (`Member::begin`). What clients do on the socket is y-websocket's protocol and one message more
//! (`wire::y_sweet`). Paths, bodies and answers are those that the packages `@y-sweet/sdk` and `@y-sweet/client`
//! use; refusals are JSON as those of our own API, since the packages read nothing but the status.
//! Source: y-sweet 0.9, `server.rs` and `api_types.rs`; `@y-sweet/sdk` 0.9, `http.ts` and `main.ts`.

mod access;
mod documents;
mod refusal;
mod tokens;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use self::refusal::Refusal;
use super::access::socket_token;
use super::upgrade::upgrade;
use super::{App, front};
use crate::ids::{RoomName, RoomNameError};
use crate::wire::voice::Voice;

/// All routes of the family.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/ready", get(ready))
        .route("/check_store", post(check_store).get(check_store_old))
        .route("/doc/new", post(documents::create))
        .route("/doc/{id}/auth", post(tokens::authorize))
        .route("/d/{id}/as-update", get(documents::read))
        .route("/d/{id}/update", post(documents::write))
        .route("/d/{id}/ws/{*again}", get(socket))
        .route("/doc/{id}/as-update", get(documents::read_old))
        .route("/doc/{id}/update", post(documents::write_old))
        .route("/doc/ws/{id}", get(socket_old).post(tokens::authorize_ws))
}

type Named = Result<Path<String>, PathRejection>;

fn parse(id: Named) -> Result<RoomName, RoomNameError> {
    id.map_or(Err(RoomNameError::NotUtf8), |Path(id)| RoomName::parse(&id))
}

/// Says in the log that an old path is used, and what to use instead.
fn is_old(path: &str, instead: &str) {
    tracing::warn!("{path} is a path of old y-sweet versions; {instead}");
}

/// Whether the server listens, which is shown by the answer.
async fn ready() -> Response {
    Json(json!({ "ok": true })).into_response()
}

/// Whether the store takes appends.
async fn check_store(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    access::server(&app, request.headers())?;
    let answer = match super::ops::store_problem(&app).await {
        None => json!({ "ok": true }),
        Some(problem) => json!({ "ok": false, "error": problem }),
    };
    Ok(Json(answer).into_response())
}

async fn check_store_old(state: State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    is_old("GET /check_store", "POST it with an empty body");
    check_store(state, request).await
}

/// `GET /d/{id}/ws/{id}`: y-sweet's provider puts the id behind an address that has it already.
async fn socket(
    State(app): State<Arc<App>>,
    ids: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let room = match ids {
        Ok(Path((id, again))) if id == again => RoomName::parse(&id),
        Ok(_) => Err(RoomNameError::NotOne),
        Err(_) => Err(RoomNameError::NotUtf8),
    };
    open(app, room, request)
}

async fn socket_old(State(app): State<Arc<App>>, id: Named, request: Request) -> Response {
    is_old("GET /doc/ws/ID", "ask POST /doc/ID/auth for the address of its socket");
    open(app, parse(id), request)
}

fn open(app: Arc<App>, room: Result<RoomName, RoomNameError>, request: Request) -> Response {
    let token = socket_token(&request);
    let (own, address) = (Arc::clone(&app), front::address(&request));
    let serve = move |upgraded| super::socket::serve(own, upgraded, room, token, Voice::YSweet, address);
    upgrade(&app, request, None, serve)
}
