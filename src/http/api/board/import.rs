//! A board that was exported comes into a room.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::edits::unmade;
use crate::board::import::{Brought, Taken, Takes, write as take_in};
use crate::caller::{Role, UserId};
use crate::edit;
use crate::gate::Source;
use crate::http::App;
use crate::http::api::ApiError;
use crate::http::api::answer::{JSON, json_at};
use crate::http::api::request::Asked;
use crate::http::api::write::{self, Behind};
use crate::kind::RoomKind;
use crate::limits::BOARD_IMPORT_BYTES_MAX;

/// `POST …/import`: all of a board as one record, or nothing.
pub(in crate::http::api) async fn import(
    State(app): State<Arc<App>>,
    asked: Asked,
    body: Body,
) -> Result<Response, ApiError> {
    asked.needs(Role::Editor)?;
    let body = asked.body(&app, body, (JSON, BOARD_IMPORT_BYTES_MAX)).await?;
    let at = asked.expects(None)?;
    let merge = asked.query.merge == Some(true);
    // That the board is empty is true of the position that was looked at.
    let behind = match at {
        Some(at) => Behind::Exactly(at),
        None if merge => Behind::Anything,
        None => Behind::WhatWasRead,
    };
    let is_board = super::kind(&app, &asked).await? == RoomKind::Board;
    let (role, user) = (asked.caller.role, asked.caller.user.clone());
    let made = write::on_copy(&app, &asked, (behind, Source::Step2), move |full, client, _| {
        let board: Brought =
            serde_json::from_slice(&body).map_err(|error| ApiError::BadJson(error.to_string()))?;
        drop(body); // and its share
        let takes = Takes { merge, ..takes(is_board, role, user.as_ref()) };
        let made = edit::on_copy(full, client, |transaction| {
            take_in(transaction, &board, takes).map_err(ApiError::Import)
        });
        made.map_err(unmade)
    });
    let made = made.await?;
    let answer = json!({
        "position": made.position.to_string(),
        "stored": made.is_new,
        "imported": imported(&made.about),
        "notKept": not_kept(&made.about),
    });
    Ok(json_at(made.position, &answer))
}

/// What a caller may bring: on a board nobody writes in another's name but who leads, nobody votes for another but an
/// admin, and what the facilitator sets is the facilitator's. Where nobody has an identity there is no other.
fn takes(is_board: bool, role: Role, user: Option<&UserId>) -> Takes<'_> {
    if !is_board {
        return Takes::default();
    }
    let user = user.map(|user| &**user);
    Takes {
        author: user.filter(|_| role < Role::Facilitator),
        voter: user.filter(|_| role < Role::Admin),
        without_meta: role < Role::Facilitator,
        merge: false,
    }
}

fn imported(taken: &Taken) -> Value {
    json!({
        "items": taken.items,
        "groups": taken.groups,
        "actionItems": taken.action_items,
        "votes": taken.votes,
    })
}

/// What of the board is not in the room, each a phrase.
fn not_kept(taken: &Taken) -> Vec<String> {
    let of = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
    [
        taken
            .meta_left
            .then(|| "title, phase, columns and limits: they are the facilitator's to set".to_owned()),
        taken
            .hiding_stays
            .then(|| "that cards are shown: they are hidden until they are revealed".to_owned()),
        of(taken.authors_changed, "cards have another author now: who imports them"),
        of(taken.votes_left, "votes of others"),
        of(taken.known, "cards, groups, action items and votes that the board had already"),
    ]
    .into_iter()
    .flatten()
    .collect()
}
