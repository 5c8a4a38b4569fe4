//! The admin API: what the operators' verbs ask of a running server, over `admin.sock` only. The log of the
//! server, a call each; JSON but for records and chunks, so that `curl --unix-socket` can use it too. A small part of it is
//! on the admin listener: see `listener`.

pub mod listener;
mod revocations;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::App;
use crate::ids::RoomName;
use crate::limits::{ADMIN_BATCH_BYTES_MAX, REPLAY_PAGE_RECORDS};
use crate::log::{Batch, LogError};
use crate::replay::portable::{
    AdoptedForm, AdoptionForm, AppendedForm, BatchForm, ErrorForm, HeadForm, RoomsForm, TombstoneForm,
    TrimForm, parse_upload,
};
use crate::replay::{export, part};

/// Bytes of an export that wait for their reader.
const EXPORT_PIPE_BYTES: usize = 256 << 10;

/// All routes of the admin socket.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/rooms", get(rooms))
        .route("/v1/rooms/{room}", get(open))
        .route("/v1/rooms/{room}/records", get(records))
        .route("/v1/rooms/{room}/chunks/{upload}/{index}", get(chunk).put(put_chunk))
        .route("/v1/rooms/{room}/snapshots", post(adopt))
        .route("/v1/rooms/{room}/trim", post(trim))
        .route("/v1/rooms/{room}/tombstone", get(tombstone))
        .route("/v1/rooms/{room}/export", get(export_room))
        .route("/v1/rooms/{room}/freeze", post(freeze))
        .route("/v1/rooms/{room}/thaw", post(thaw))
        .route("/v1/rooms/{room}/batches", post(append))
        .merge(revocations::routes())
        .route("/healthz", get(super::ops::healthz))
        .route("/metrics", get(super::ops::metrics))
        .fallback(|| async { Failure::bad("there is nothing here; see docs/OPERATIONS.md") })
        .layer(DefaultBodyLimit::max(ADMIN_BATCH_BYTES_MAX))
        .with_state(app)
}

/// What a call is answered with if it fails.
struct Failure {
    status: StatusCode,
    form: ErrorForm,
}

impl Failure {
    fn new(status: StatusCode, kind: &str, error: impl ToString) -> Self {
        Self { status, form: ErrorForm { kind: kind.to_owned(), error: error.to_string() } }
    }

    fn bad(error: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "fatal", error)
    }

    fn absent(error: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, "absent", error)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        let status = match &error {
            LogError::Unknown(_) => StatusCode::GATEWAY_TIMEOUT,
            LogError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            LogError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            LogError::Moved(_) => StatusCode::CONFLICT,
            LogError::Fatal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, form: ErrorForm::from(&error) }
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad(rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.form)).into_response()
    }
}

/// A page: what comes after, and how many.
#[derive(Deserialize)]
struct Page<T> {
    after: Option<T>,
    count: Option<usize>,
}

impl<T> Page<T> {
    fn count(&self) -> usize {
        self.count.unwrap_or(REPLAY_PAGE_RECORDS).clamp(1, crate::limits::LOAD_PAGE_RECORDS)
    }
}

type Shared = State<Arc<App>>;

async fn rooms(
    State(app): Shared,
    page: Result<Query<Page<String>>, QueryRejection>,
) -> Result<Json<RoomsForm>, Failure> {
    let Query(page) = page?;
    let after = page.after.as_deref().map(parse_room).transpose()?;
    let rooms = app.log.rooms(after.as_ref(), page.count()).await?;
    Ok(Json(RoomsForm { rooms: rooms.iter().map(|room| room.as_str().to_owned()).collect() }))
}

async fn open(State(app): Shared, Path(room): Path<String>) -> Result<Json<HeadForm>, Failure> {
    let head = app.log.open(&parse_room(&room)?).await?;
    head.map(|head| Json(HeadForm::from(&head))).ok_or_else(no_room)
}

/// Parts, numbered from 0, each a record or what is left of one.
async fn records(
    State(app): Shared,
    Path(room): Path<String>,
    page: Result<Query<Page<u64>>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(page) = page?;
    let records = app.log.read(&parse_room(&room)?, page.after.unwrap_or(0), page.count()).await?;
    let mut body = Vec::new();
    for (number, stored) in records.iter().enumerate() {
        body.extend_from_slice(&part::encode_record(number as u64, stored));
    }
    Ok(octets(Bytes::from(body)))
}

async fn chunk(
    State(app): Shared,
    Path((room, upload, index)): Path<(String, String, u32)>,
) -> Result<Response, Failure> {
    let upload = parse_upload(&upload).ok_or_else(bad_upload)?;
    let chunk = app.log.chunk(&parse_room(&room)?, upload, index).await?;
    chunk.map(octets).ok_or_else(|| Failure::absent("there is no such chunk"))
}

async fn put_chunk(
    State(app): Shared,
    Path((room, upload, index)): Path<(String, String, u32)>,
    body: Bytes,
) -> Result<StatusCode, Failure> {
    let upload = parse_upload(&upload).ok_or_else(bad_upload)?;
    app.log.put_chunk(&parse_room(&room)?, upload, index, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn adopt(
    State(app): Shared,
    Path(room): Path<String>,
    body: Bytes,
) -> Result<Json<AdoptedForm>, Failure> {
    let form: AdoptionForm = serde_json::from_slice(&body).map_err(Failure::bad)?;
    let adoption = form.adoption().ok_or_else(|| Failure::bad("an id in it is none"))?;
    let adopted = app.log.adopt(&parse_room(&room)?, adoption).await?;
    Ok(Json(AdoptedForm::from(adopted)))
}

async fn trim(State(app): Shared, Path(room): Path<String>, body: Bytes) -> Result<Json<TrimForm>, Failure> {
    let form: TrimForm = serde_json::from_slice(&body).map_err(Failure::bad)?;
    let through = app.log.trim(&parse_room(&room)?, form.through).await?;
    Ok(Json(TrimForm { through }))
}

async fn tombstone(State(app): Shared, Path(room): Path<String>) -> Result<Json<TombstoneForm>, Failure> {
    let tombstone = app.log.tombstone(&parse_room(&room)?).await?;
    let form = tombstone.map(|tombstone| Json(TombstoneForm { deleted_ms: tombstone.deleted_ms }));
    form.ok_or_else(|| Failure::absent("no room of this name was deleted"))
}

async fn freeze(State(app): Shared, Path(room): Path<String>) -> Result<StatusCode, Failure> {
    set_frozen(&app, &room, true).await
}

async fn thaw(State(app): Shared, Path(room): Path<String>) -> Result<StatusCode, Failure> {
    set_frozen(&app, &room, false).await
}

async fn set_frozen(app: &App, room: &str, frozen: bool) -> Result<StatusCode, Failure> {
    let existed = app.log.freeze(&parse_room(room)?, frozen).await?;
    if existed { Ok(StatusCode::NO_CONTENT) } else { Err(no_room()) }
}

/// A batch as parts: what it is, the genesis record, the records.
async fn append(
    State(app): Shared,
    Path(room): Path<String>,
    body: Bytes,
) -> Result<Json<AppendedForm>, Failure> {
    let room = parse_room(&room)?;
    let batch: Batch = BatchForm::read(&body).map_err(Failure::bad)?;
    let log = Arc::clone(&app.log);
    // To its end, also if the caller goes away: an append is never abandoned.
    let appended = tokio::spawn(async move { log.append(&room, batch).await });
    let appended = appended.await.map_err(|error| LogError::Unknown(error.to_string()))??;
    Ok(Json(AppendedForm::from(&appended)))
}

/// The room as an exported file. A failure after the first byte cuts the connection: what came is no export.
async fn export_room(State(app): Shared, Path(room): Path<String>) -> Result<Response, Failure> {
    let room = parse_room(&room)?;
    if app.log.open(&room).await?.is_none() {
        return Err(no_room());
    }
    let (mut pipe, reader) = tokio::io::duplex(EXPORT_PIPE_BYTES);
    let log = Arc::clone(&app.log);
    let writing = tokio::spawn(async move {
        let now_ms = crate::clock::wall_ms();
        export::export(&log, &room, &mut pipe, now_ms).await
    });
    let body = futures_util::stream::unfold(Some((reader, writing)), |state| async {
        let (mut reader, writing) = state?;
        let mut piece = bytes::BytesMut::with_capacity(EXPORT_PIPE_BYTES);
        match reader.read_buf(&mut piece).await {
            Ok(0) => match writing.await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some((Err(std::io::Error::other(error.to_string())), None)),
                Err(error) => Some((Err(std::io::Error::other(error)), None)),
            },
            Ok(_) => Some((Ok(piece.freeze()), Some((reader, writing)))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(([(header::CONTENT_TYPE, OCTETS)], axum::body::Body::from_stream(body)).into_response())
}

const OCTETS: &str = "application/octet-stream";

fn octets(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, OCTETS)], bytes).into_response()
}

fn parse_room(name: &str) -> Result<RoomName, Failure> {
    RoomName::parse(name).map_err(Failure::bad)
}

fn bad_upload() -> Failure {
    Failure::bad("an upload is sixteen hex digits")
}

fn no_room() -> Failure {
    Failure::absent("there is no room of this name")
}
