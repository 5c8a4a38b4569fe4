//! The HTTP API: any document of any room, read and written, and what is known of it. `openapi.json` describes it,
//! and is served.
//!
//! | file | what |
//! |---|---|
//! | `about` | what is known of a room; its deletion |
//! | `read` | a document as it is committed, or as it was, as an update or as JSON |
//! | `write` | an update, or an edit that is described in JSON, stored |
//! | `reveal` | a board's hidden cards, counted and shown |
//! | `log` | the records of a room, and all of it as a file |
//! | `board` | a room's document as a board: read, edited, begun, exported, imported |
//! | `request`, `answer`, `error` | what all of these have in common |
//! | `shares` | what there is so much of at a time |
//!
//! Invariants:
//! - What is read is committed: in the log at the durability in force. What is answered as stored is, too.
//! - Whatever is refused is refused in one shape, and by a code that programs can tell apart.
//! - Everything is answered in bounded time from bounded memory, however slowly somebody writes or reads.

mod about;
mod answer;
mod board;
mod error;
mod log;
mod read;
mod request;
mod reveal;
mod shares;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post, put};

pub(in crate::http) use self::error::ApiError;
pub(in crate::http) use self::read::whole;
pub(in crate::http) use self::request::{ReadBody, read_body};
use self::shares::Shared;
pub(in crate::http) use self::write::store;
use super::App;
use crate::limits::{API_DOCUMENTS_MAX, API_LARGE_ANSWERS_MAX, API_LARGE_BODIES_MAX};

/// What requests to the API share, so that all of them together stay within bounds.
pub struct Shares {
    /// Requests that have a document in memory for themselves.
    documents: Shared,
    /// Large bodies that are read.
    bodies: Shared,
    /// Large answers that are written.
    answers: Shared,
    /// Boards that were shown lately.
    boards: board::Kept,
}

/// How many of each share are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// For requests that have a document in memory for themselves.
    pub documents: usize,
    /// For large bodies.
    pub bodies: usize,
    /// For large answers.
    pub answers: usize,
}

impl Shares {
    /// How many are free now.
    #[must_use]
    pub fn free(&self) -> Free {
        Free { documents: self.documents.free(), bodies: self.bodies.free(), answers: self.answers.free() }
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            documents: Shared::new(API_DOCUMENTS_MAX),
            bodies: Shared::new(API_LARGE_BODIES_MAX),
            answers: Shared::new(API_LARGE_ANSWERS_MAX),
            boards: board::Kept::default(),
        }
    }
}

/// What describes the API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Every path of the API.
pub(super) fn routes() -> Router<Arc<App>> {
    let room = get(about::show).patch(write::patch).delete(about::delete);
    Router::new()
        .route("/api/v1/openapi.json", only("GET, HEAD", get(openapi)))
        .route("/api/v1/rooms/{room}", only("GET, HEAD, PATCH, DELETE", room))
        .route("/api/v1/rooms/{room}/update", only("GET, HEAD, POST", get(read::update).post(write::update)))
        .route("/api/v1/rooms/{room}/document", only("GET, HEAD", get(read::document)))
        .route("/api/v1/rooms/{room}/at/{position}", only("GET, HEAD", get(read::at)))
        .route("/api/v1/rooms/{room}/hidden", only("GET, HEAD", get(reveal::hidden)))
        .route("/api/v1/rooms/{room}/reveal", only("POST", post(reveal::reveal)))
        .route("/api/v1/rooms/{room}/log", only("GET, HEAD", get(log::records)))
        .route("/api/v1/rooms/{room}/export", only("GET, HEAD", get(board::export)))
        .route("/api/v1/rooms/{room}/board", only("PUT", put(board::begin)))
        .route("/api/v1/rooms/{room}/edits", only("POST", post(board::edit)))
        .route("/api/v1/rooms/{room}/import", only("POST", post(board::import)))
        .route("/api", any(nothing_here))
        .route("/api/", any(nothing_here))
        .route("/api/{*rest}", any(nothing_here))
}

/// A path that takes these methods, and says so when it is asked by another.
fn only(methods: &'static str, routes: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    routes.fallback(async move || -> Response {
        ([(header::ALLOW, methods)], ApiError::Method(methods)).into_response()
    })
}

async fn nothing_here() -> ApiError {
    ApiError::NoPath
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}
