//! Reading a document: as it is committed, or as it was; as an update or as JSON.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::json;

use super::answer::{self, JSON, OCTETS};
use super::request::{Asked, Format, Shape, in_time};
use super::shares::Share;
use super::{ApiError, board};
use crate::caller::Role;
use crate::document::Document;
use crate::gate;
use crate::generation::Generations;
use crate::heavy::heavy;
use crate::history::{self, Fold, Range};
use crate::http::App;
use crate::ids::{Position, RoomName};
use crate::limits::INLINE_BYTES_MAX;
use crate::replay::place::{self, Place, Side};
use crate::replay::view;
use crate::room::outside::{Copy, Part};
use crate::throttle::Address;

/// `GET …/update`: the whole document, or with `sv` what somebody with that state vector lacks.
pub(super) async fn update(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Role::Viewer)?;
    let part = match &asked.query.sv {
        None => Part::Everything,
        Some(text) => Part::Since(state_vector(text)?),
    };
    let read =
        in_time(read(&app, (&asked.room, asked.address), part, |position| asked.knows(position))).await?;
    match read {
        Read::Known(position) => Ok(answer::not_modified(position)),
        Read::Document(copy, _share) => {
            answer::bytes(&app, asked.address, OCTETS, Some(copy.position), copy.update).await
        }
    }
}

/// `GET …/document`: the document as JSON.
pub(super) async fn document(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Role::Viewer)?;
    let read = in_time(async {
        match read(&app, (&asked.room, asked.address), Part::Everything, |position| asked.knows(position))
            .await?
        {
            Read::Known(position) => Ok(Err(position)),
            Read::Document(copy, share) => {
                let position = copy.position;
                Ok(Ok((position, in_json(copy, share).await?)))
            }
        }
    });
    match read.await? {
        Err(position) => Ok(answer::not_modified(position)),
        Ok((position, body)) => answer::bytes(&app, asked.address, JSON, Some(position), body).await,
    }
}

/// `GET …/at/{position}`: the document as it was when that record was the newest.
pub(super) async fn at(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Role::Viewer)?;
    let place: Place = asked.position.as_deref().unwrap_or_default().parse()?;
    let is_json = match asked.query.format {
        None | Some(Format::Json) => true,
        Some(Format::Update) => false,
        Some(_) => {
            return Err(ApiError::BadQuery("at a position there are the formats json and update".to_owned()));
        }
    };
    let is_board = is_json && asked.query.shape == Some(Shape::Board);
    let (position, body) = in_time(async {
        let head = app.log.open(&asked.room).await?.ok_or(ApiError::NoRoom)?;
        let now_ms = app.rooms.now().wall_ms;
        let share = app.api.documents.share(asked.address).await?;
        let until = place::resolve(&*app.log, (&asked.room, &head), place, Side::Before, now_ms).await?;
        let fold = walk(&app, &asked.room, Range::to(until)).await?;
        let position = fold.last();
        let body = heavy(move || {
            let _share = share;
            let document = fold.document();
            if is_board {
                return board::past(&fold);
            }
            if is_json { shown(position, document) } else { document.encode_full().into() }
        });
        Ok((position, body.await.map_err(stopped)?))
    })
    .await?;
    answer::bytes(&app, asked.address, if is_json { JSON } else { OCTETS }, Some(position), body).await
}

/// The whole committed document of a room as an update, for another family; `None` if nothing is stored under the name.
pub(in crate::http) async fn whole(
    app: &App,
    room: &RoomName,
    address: Option<Address>,
) -> Result<Option<Response>, ApiError> {
    match in_time(read(app, (room, address), Part::Everything, |_| false)).await {
        Ok(Read::Document(copy, _share)) => {
            answer::bytes(app, address, OCTETS, None, copy.update).await.map(Some)
        }
        Ok(Read::Known(_)) | Err(ApiError::NoRoom) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What reading has brought.
enum Read {
    /// The client has the document of this position.
    Known(Position),
    /// What was read, and if it is large the share of memory that it takes: kept until the answer has one of its own.
    Document(Copy, Option<Share>),
}

/// A part of the committed document: of the room that is open here, or by way of the log. A room that is only looked at is
/// not opened: it would live on for it.
async fn read(
    app: &App,
    (room, address): (&RoomName, Option<Address>),
    part: Part,
    is_known: impl Fn(Position) -> bool,
) -> Result<Read, ApiError> {
    let is_large = app.rooms.document_bytes(room) > INLINE_BYTES_MAX;
    let large = if is_large { Some(app.api.documents.share(address).await?) } else { None };
    if let Some(read) = app.rooms.read_open(room, part.clone()).await {
        let copy = read?;
        return match copy.position {
            Position::START => Err(ApiError::NoRoom),
            position if is_known(position) => Ok(Read::Known(position)),
            _ => Ok(Read::Document(copy, large)),
        };
    }
    let head = app.log.open(room).await?.ok_or(ApiError::NoRoom)?;
    if is_known(head.last) {
        return Ok(Read::Known(head.last));
    }
    let share = match large {
        Some(share) => share,
        None => app.api.documents.share(address).await?,
    };
    let tombstone = app.log.tombstone(room).await?;
    let fold = walk(app, room, Range::TO_HEAD).await?;
    let room = room.clone();
    let copy = heavy(move || {
        let damaged = !fold.set_aside().is_empty();
        (encode(&room, fold, (tombstone.is_some(), damaged), &part), share)
    });
    let (copy, share) = copy.await.map_err(stopped)?;
    Ok(Read::Document(copy?, Some(share)))
}

pub(super) async fn walk(app: &App, room: &RoomName, range: Range) -> Result<Fold, ApiError> {
    let mut walk = history::walk(&app.log, room, range).await?.ok_or(ApiError::NoRoom)?;
    walk.to_end().await?;
    Ok(walk.into_fold()?)
}

fn encode(room: &RoomName, fold: Fold, lost: (bool, bool), part: &Part) -> Result<Copy, ApiError> {
    let position = fold.last();
    let update = match part {
        Part::Everything => fold.document().encode_full(),
        Part::Since(theirs) => {
            let parsed = gate::parse_state_vector(theirs).map_err(ApiError::Refused)?;
            let parts = fold.into_parts();
            Generations::new(room, lost, &parts.gate.state_vector()).greet(&parsed, false)?;
            parts.document.diff(theirs).map_err(|error| ApiError::Damaged(error.to_string()))?
        }
    };
    Ok(Copy { position, update: update.into() })
}

/// An update as JSON: the document is built once more, so that no room waits for it.
async fn in_json(copy: Copy, share: Option<Share>) -> Result<Bytes, ApiError> {
    let work = move || {
        let _share = share;
        let mut document = Document::new();
        document.apply(&[&copy.update]).map_err(|error| ApiError::Damaged(error.to_string()))?;
        Ok(shown(copy.position, &document))
    };
    heavy(work).await.map_err(stopped)?
}

fn shown(position: Position, document: &Document) -> Bytes {
    let shown = json!({ "position": position.to_string(), "document": view::json(document.doc()) });
    shown.to_string().into()
}

pub(super) fn stopped(error: tokio::task::JoinError) -> ApiError {
    ApiError::Damaged(format!("the document cannot be shown: {error}"))
}

/// With padding or without.
fn state_vector(text: &str) -> Result<Bytes, ApiError> {
    let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.map(Bytes::from).map_err(|_| ApiError::NotBase64)
}
