//! Why a request of the y-sweet family is refused, in the shape of our API.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::auth::AuthError;
use crate::http::api::ApiError;
use crate::ids::RoomNameError;
use crate::limits::API_MS_MAX;
use crate::log::LogError;
use crate::wire::close::Close;

/// Why, and with that: which status.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Not with this token, or without one.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Paths take any room's name.
    #[error(transparent)]
    Name(#[from] RoomNameError),
    /// Documents are made with plain ids only, as y-sweet has it.
    #[error("a document's id has 1 to 128 letters, digits, dashes and underscores")]
    Id,
    #[error("the body is no JSON that is expected here: {0}")]
    Body(String),
    #[error("a host is missing in the request")]
    NoHost,
    #[error("there is no such document; make it with POST /doc/new")]
    NoDocument,
    #[error("this token may read the document, not write to it")]
    ReadOnly,
    /// What bodies, reading and writing say, which is the API's business.
    #[error(transparent)]
    Document(#[from] ApiError),
    #[error("{}", .0.reason)]
    Closed(Close),
    #[error(transparent)]
    Log(#[from] LogError),
    /// Nobody knows; doing it again does no harm.
    #[error("the store did not answer within {} s; it is safe to try again", API_MS_MAX / 1000)]
    Late,
}

impl From<Close> for Refusal {
    fn from(close: Close) -> Self {
        Self::Closed(close)
    }
}

impl Refusal {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Auth(AuthError::Room | AuthError::Nobody) => (StatusCode::FORBIDDEN, "not_allowed"),
            Self::Auth(_) => (StatusCode::UNAUTHORIZED, "token_refused"),
            Self::Name(_) | Self::Id => (StatusCode::BAD_REQUEST, "bad_document_id"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "bad_body"),
            Self::NoHost => (StatusCode::BAD_REQUEST, "no_host"),
            Self::NoDocument => (StatusCode::NOT_FOUND, "no_such_document"),
            Self::ReadOnly => (StatusCode::FORBIDDEN, "read_only"),
            Self::Document(error) => error.code(),
            Self::Log(error) if !error.is_temporary() => (StatusCode::INTERNAL_SERVER_ERROR, "store_refuses"),
            // A room that cannot be begun now.
            Self::Closed(_) | Self::Log(_) | Self::Late => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Document(error) = self {
            let mut response = error.into_response();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
            return response;
        }
        let (status, code) = self.code();
        let body = Json(json!({ "error": { "code": code, "message": self.to_string() } }));
        let mut response = (status, [(header::CACHE_CONTROL, "no-store")], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}
