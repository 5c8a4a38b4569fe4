//! Who asks: the one place where a request of the API gets its caller.

use std::sync::Arc;

use axum::http::request::Parts;

use super::App;
use super::api::ApiError;
use crate::caller::Caller;
use crate::ids::RoomName;

/// The caller of a request about a room. There is no authentication yet: everyone may do all.
///
/// # Errors
/// None yet.
#[expect(clippy::unnecessary_wraps, reason = "what decides who asks may refuse")]
pub(super) fn caller_of(_app: &App, _parts: &Parts, _room: &RoomName) -> Result<Arc<Caller>, ApiError> {
    Ok(Caller::anyone())
}
