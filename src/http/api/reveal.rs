//! A board's hidden cards: how many there are, and their reveal.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::ApiError;
use super::request::{Asked, in_time};
use crate::caller::Role;
use crate::http::App;
use crate::ids::Position;
use crate::limits::API_MS_MAX;
use crate::room::outside::WriteError;
use crate::room::{RevealError, Revealed};

/// `GET …/hidden`: how many cards each person has hidden, as far as they are stored.
pub(super) async fn hidden(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Role::Viewer)?;
    let Asked { room, address, .. } = asked;
    let counted = in_time(async {
        app.log.open(&room).await?.ok_or(ApiError::NoRoom)?;
        let _share = app.api.documents.share(address).await?;
        Ok(app.rooms.hidden_cards(&room).await?)
    });
    let hidden: Map<String, Value> =
        counted.await?.into_iter().map(|(user, cards)| (user, json!(cards))).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(json!({ "hidden": hidden }))).into_response())
}

/// `POST …/reveal`: shows cards, and moves those that are hidden into the board. Goes on if the client does not wait for the answer.
pub(super) async fn reveal(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Role::Facilitator)?;
    let Asked { room, caller, .. } = asked;
    let rooms = Arc::clone(&app.rooms);
    let work = tokio::spawn(async move { rooms.reveal(&room, &caller).await });
    let revealed = timeout(Duration::from_millis(API_MS_MAX), work).await;
    let revealed = revealed.map_err(|_| WriteError::Undecided)?.map_err(RevealError::from)??;
    let Revealed { position, authors, cards, failed } = revealed;
    let told = (position != Position::START).then(|| position.to_string());
    let body = Json(json!({ "position": told, "authors": authors, "cards": cards, "failed": failed }));
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}
