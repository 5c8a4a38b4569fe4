//! Who may do what with documents: the one place of the family that asks for tokens.

use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::refusal::Refusal;
use super::tokens::Wish;
use crate::caller::Caller;
use crate::http::App;
use crate::ids::RoomName;

/// The token in `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Whoever may make documents and give tokens for them: an application's back end.
///
/// # Errors
/// [`Refusal`] if it has no token for that.
pub(super) fn server(_app: &App, _headers: &HeaderMap) -> Result<Arc<Caller>, Refusal> {
    Ok(Caller::anyone())
}

/// Whoever may read a document; its role says whether it may write.
///
/// # Errors
/// [`Refusal`] if the token is not for this document.
pub(super) fn document(_app: &App, _token: Option<&str>, _id: &RoomName) -> Result<Arc<Caller>, Refusal> {
    Ok(Caller::anyone())
}

/// A token for one document; `None` where nobody is asked for one.
pub(super) fn mint(_app: &App, _id: &RoomName, _wish: &Wish) -> Option<String> {
    None
}
