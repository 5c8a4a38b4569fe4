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
use super::request::{Asked, in_time, share};
use crate::caller::{Caller, Role};
use crate::edit;
use crate::gate::Source;
use crate::heavy::heavy;
use crate::http::App;
use crate::ids::{Position, RoomName};
use crate::limits::{API_MS_MAX, DOCUMENT_BYTES_MAX, EDIT_BYTES_MAX};
use crate::room::outside::{Edit, WriteError, Written};

/// An update that brings nothing.
const NOTHING: [u8; 2] = [0, 0];

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
    let written = write(&app, &asked, (update, Source::Step2), at, late).await;
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

    let late = Instant::now() + Duration::from_millis(API_MS_MAX);
    let user = asked.caller.user.as_ref();
    let (made, position, lease) = in_time(async {
        let share = share(&app.api.documents).await?;
        if !app.api.trust.lock().holds(&asked.room) {
            return Err(ApiError::Edit(edit::EditError::Distrusted));
        }
        let (copy, lease) = app.rooms.read_to_edit(&asked.room, user).await?;
        if at.is_some_and(|at| at != copy.position) {
            lease.give_back();
            return Err(ApiError::Moved(copy.position));
        }
        let client = lease.client;
        let made = heavy(move || {
            let _share = share;
            edit::update_of(&copy.update, &edit, client, &|| Instant::now() >= late)
        });
        Ok((made.await, copy.position, lease))
    })
    .await?;
    let made = made.unwrap_or(Err(edit::EditError::Engine));
    if matches!(made, Err(edit::EditError::Engine)) {
        panicked(&app, &asked.room);
    }
    let update = match made {
        Ok(update) if update != NOTHING => update,
        unmade => {
            lease.give_back(); // nothing was written under it
            unmade.map_err(ApiError::Edit)?;
            return Ok(json_at(position, &json!({ "position": position.to_string(), "stored": false })));
        }
    };
    let written = write(&app, &asked, (update.into(), Source::Update), at, late).await;
    if written.as_ref().map_or_else(WriteError::leaves_no_trace, |_| true) {
        lease.give_back();
    }
    answer(known(&app, &asked, written).await?)
}

/// Keeps count of copies that cannot be freed.
fn panicked(app: &App, room: &RoomName) {
    let panics = app.api.trust.lock().panicked(room);
    app.metrics.edit_panics.inc();
    tracing::error!(
        room = %room.log_id(), panics,
        "the document engine has panicked over an edit in JSON; the copy that it was made on stays in memory"
    );
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

async fn write(
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
async fn known(app: &App, asked: &Asked, written: Result<Written, WriteError>) -> Result<Written, ApiError> {
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

fn answer(written: Written) -> Result<Response, ApiError> {
    let Written { position, is_new, .. } = complete(written)?;
    Ok(json_at(position, &json!({ "position": position.to_string(), "stored": is_new })))
}
