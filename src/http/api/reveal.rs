//! The reveal of a board's hidden cards.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::timeout;

use super::ApiError;
use super::request::Asked;
use crate::caller::Role;
use crate::http::App;
use crate::ids::Position;
use crate::limits::API_MS_MAX;
use crate::room::outside::WriteError;
use crate::room::{RevealError, Revealed};

/// `POST …/reveal`: shows cards, and moves those that are hidden into the board. Goes on if the client does not wait for the answer.
pub(super) async fn reveal(State(app): State<Arc<App>>, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Role::Facilitator)?;
    let Asked { room, caller, .. } = asked;
    let rooms = Arc::clone(&app.rooms);
    let work = tokio::spawn(async move { rooms.reveal(&room, &caller).await });
    let revealed = timeout(Duration::from_millis(API_MS_MAX), work).await;
    let revealed = revealed.map_err(|_| WriteError::Undecided)?.map_err(RevealError::from)??;
    let Revealed { position, authors, cards } = revealed;
    let told = (position != Position::START).then(|| position.to_string());
    let body = Json(json!({ "position": told, "authors": authors, "cards": cards }));
    Ok(([(header::CACHE_CONTROL, "no-store")], body).into_response())
}
