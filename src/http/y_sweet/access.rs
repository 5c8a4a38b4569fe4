//! Who may do what with documents: the one place of the family that asks for tokens.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::refusal::Refusal;
use super::tokens::{Authorization, Wish};
use crate::auth::DocumentGrant;
use crate::caller::Caller;
use crate::clock::wall_ms;
use crate::http::App;
pub(super) use crate::http::access::bearer_token as bearer;
use crate::ids::RoomName;
use crate::limits::DOCUMENT_TOKEN_S;

/// Whoever may make documents and give tokens for them: an application's back end, with the token of an admin of all rooms.
///
/// # Errors
/// [`Refusal`] if it has no token for that.
pub(super) fn server(app: &App, headers: &HeaderMap) -> Result<Arc<Caller>, Refusal> {
    Ok(app.admit_everywhere(bearer(headers))?.shared())
}

/// Whoever may read a document; its role says whether it may write.
///
/// # Errors
/// [`Refusal`] if the token is not for this document.
pub(super) fn document(app: &App, token: Option<&str>, id: &RoomName) -> Result<Arc<Caller>, Refusal> {
    Ok(app.admit(token, id)?.shared())
}

/// A token for one document, asked for by a server; `None` where nobody is asked for one, and it would not say less than none.
///
/// # Errors
/// [`Refusal`] if the user's name cannot be one.
pub(super) fn mint(app: &App, id: &RoomName, by: &Caller, wish: &Wish) -> Result<Option<String>, Refusal> {
    let is_plain = wish.user_id.is_none() && wish.valid_for_seconds.is_none();
    if app.auth.is_open() && is_plain && wish.authorization == Authorization::Full {
        return Ok(None);
    }
    let grant = DocumentGrant {
        room: id,
        role: wish.authorization.role(),
        user: wish.user_id.as_deref().map(Into::into),
        name: None,
        color: None,
        ttl_s: wish.valid_for_seconds.unwrap_or(DOCUMENT_TOKEN_S),
        kind: by.kind,
    };
    let minted = app.auth.mint_document_token(&grant, wall_ms());
    minted.map(Some).map_err(|error| Refusal::Body(error.to_string()))
}
