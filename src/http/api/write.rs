//! Writing a document: the same way as every client's edit, through the gate and into the log. What is answered is
//! stored.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

use super::ApiError;
use super::answer::{JSON, OCTETS, json_at};
use super::request::{Asked, in_time};
use crate::caller::{Caller, Role};
use crate::edit;
use crate::gate::{EMPTY_UPDATE, Source};
use crate::heavy::heavy;
use crate::http::App;
use crate::ids::{ClientId, Position, RoomName};
use crate::limits::{API_MS_MAX, DOCUMENT_BYTES_MAX, EDIT_BYTES_MAX};
use crate::room::outside::{Edit, WriteError, Written};

/// `POST …/update`: an update V1, up to a whole document. What is known already is left out.
pub(super) async fn update(
    State(app): State<Arc<App>>,
    asked: Asked,
    body: Body,
) -> Result<Response, ApiError> {
    asked.needs(Role::Editor)?;
    let at = asked.expects(None)?;
    let update = asked.body(&app, body, (OCTETS, DOCUMENT_BYTES_MAX)).await?;
    let late = Instant::now() + Duration::from_millis(API_MS_MAX);
    let written = write(&app, &asked, (update.bytes(), Source::Step2), at, late).await;
    drop(update); // and its share
    answer(known(&app, &asked, written).await?)
}

/// `PATCH`: operations in JSON, as one update of one record.
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    asked: Asked,
    body: Body,
) -> Result<Response, ApiError> {
    asked.needs(Role::Editor)?;
    let body = asked.body(&app, body, (JSON, EDIT_BYTES_MAX)).await?;
    let edit: edit::Edit =
        serde_json::from_slice(&body).map_err(|error| ApiError::BadJson(error.to_string()))?;
    let at = asked.expects(edit.at.as_deref())?;

    let behind = at.map_or(Behind::Anything, Behind::Exactly);
    let made = on_copy(&app, &asked, (behind, Source::Update), move |full, client, late| {
        let made = edit::update_of(full, &edit, client, &|| Instant::now() >= late);
        made.map(|update| (update, ())).map_err(ApiError::Edit)
    });
    Ok(made.await?.answer())
}

/// Behind which record an edit has to stand that is made on a copy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Behind {
    /// It is merged with what comes meanwhile.
    Anything,
    /// This one.
    Exactly(Position),
    /// The newest in the copy.
    WhatWasRead,
}

/// What has become of an edit that was made on a copy.
pub(super) struct Made<T> {
    /// All that was decided by then is stored up to here.
    pub(super) position: Position,
    /// Something of it was new, and is stored.
    pub(super) is_new: bool,
    /// What making it has told.
    pub(super) about: T,
}

impl<T> Made<T> {
    pub(super) fn answer(&self) -> Response {
        let Self { position, is_new, .. } = self;
        json_at(*position, &json!({ "position": position.to_string(), "stored": is_new }))
    }
}

/// Has an edit made on a copy of the committed document, off the async threads, and stored. `make` gets the document as an
/// update, the client id to write under, and when it must give up.
pub(super) async fn on_copy<T: Send + 'static>(
    app: &App,
    asked: &Asked,
    (behind, source): (Behind, Source),
    make: impl FnOnce(&[u8], ClientId, Instant) -> Result<(Vec<u8>, T), ApiError> + Send + 'static,
) -> Result<Made<T>, ApiError> {
    let late = Instant::now() + Duration::from_millis(API_MS_MAX);
    let user = asked.caller.user.as_ref();
    let (made, position, lease) = in_time(async {
        let share = app.api.documents.share(asked.address).await?;
        if !app.rooms.trusts_engine(&asked.room) {
            return Err(ApiError::Edit(edit::EditError::Distrusted));
        }
        let (copy, lease) = app.rooms.read_to_edit(&asked.room, user).await?;
        if matches!(behind, Behind::Exactly(at) if at != copy.position) {
            lease.give_back();
            return Err(ApiError::Moved(copy.position));
        }
        let (client, position) = (lease.client, copy.position);
        let made = heavy(move || {
            let _share = share;
            make(&copy.update, client, late)
        });
        Ok((made.await, position, lease))
    })
    .await?;
    let made = made.unwrap_or(Err(ApiError::Edit(edit::EditError::Engine)));
    if matches!(made, Err(ApiError::Edit(edit::EditError::Engine))) {
        app.rooms.engine_panicked(&asked.room);
    }
    let (update, about) = match made {
        Ok((update, about)) if update != EMPTY_UPDATE => (update, about),
        unmade => {
            lease.give_back(); // nothing was written under it
            return unmade.map(|(_, about)| Made { position, is_new: false, about });
        }
    };
    let at = match behind {
        Behind::Anything => None,
        Behind::Exactly(at) => Some(at),
        Behind::WhatWasRead => Some(position),
    };
    let written = write(app, asked, (update.into(), source), at, late).await;
    if written.as_ref().map_or_else(WriteError::leaves_no_trace, |_| true) {
        lease.give_back();
    }
    let Written { position, is_new, .. } = complete(known(app, asked, written).await?)?;
    Ok(Made { position, is_new, about })
}

/// Has an update stored, judged as a Step2, in bounded time. Also if it brings nothing new, that is as good.
pub(in crate::http) async fn store(
    app: &App,
    room: &RoomName,
    caller: Arc<Caller>,
    update: Bytes,
) -> Result<(), ApiError> {
    let edit = Edit { update, source: Source::Step2, caller, at: None };
    let written = timeout(Duration::from_millis(API_MS_MAX), app.rooms.write(room, edit)).await;
    complete(written.unwrap_or(Err(WriteError::Undecided))?).map(drop)
}

pub(super) async fn write(
    app: &App,
    asked: &Asked,
    (update, source): (Bytes, Source),
    at: Option<Position>,
    late: Instant,
) -> Result<Written, WriteError> {
    let edit = Edit { update, source, caller: Arc::clone(&asked.caller), at };
    let written = timeout_at(late, app.rooms.write(&asked.room, edit)).await;
    written.unwrap_or(Err(WriteError::Undecided))
}

/// What became of an edit; and where the room is, if it was another instance that has moved it.
pub(super) async fn known(
    app: &App,
    asked: &Asked,
    written: Result<Written, WriteError>,
) -> Result<Written, ApiError> {
    match written {
        Err(WriteError::Moved { now: None }) => {
            let head = in_time(async { Ok(app.log.open(&asked.room).await?) }).await?;
            Err(ApiError::Moved(head.map_or(Position::START, |head| head.last)))
        }
        written => Ok(written?),
    }
}

/// What was written, if nothing of it was left out.
fn complete(written: Written) -> Result<Written, ApiError> {
    let Written { position, is_new, has_gap, is_foreign } = written;
    if has_gap {
        return Err(ApiError::Gap { written: position, is_new });
    }
    if is_foreign {
        return Err(ApiError::Foreign { written: position, is_new });
    }
    Ok(written)
}

pub(super) fn answer(written: Written) -> Result<Response, ApiError> {
    let Written { position, is_new, .. } = complete(written)?;
    Ok(json_at(position, &json!({ "position": position.to_string(), "stored": is_new })))
}
