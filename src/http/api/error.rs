//! Why the API refuses: `{"error": {"code", "message"}}`, and what helps to go on.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::auth::AuthError;
use crate::board::import::ImportError;
use crate::board::rules::Reason;
use crate::board::seed::TEMPLATES;
use crate::caller::Role;
use crate::edit::EditError;
use crate::gate::Refusal;
use crate::generation::GenerationError;
use crate::history::WalkError;
use crate::ids::{Position, RoomNameError};
use crate::limits::{API_BODY_MS_MAX, API_MS_MAX};
use crate::log::LogError;
use crate::replay::place::{NotThere, PlaceError};
use crate::room::RevealError;
use crate::room::outside::{ReadError, WriteError};

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum ApiError {
    #[error(transparent)]
    Name(#[from] RoomNameError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("{0}")]
    BadQuery(String),
    #[error("the state vector in `sv` is not base64url")]
    NotBase64,
    #[error("{0}")]
    BadJson(String),
    #[error("the body cannot be read")]
    BadBody,
    #[error("{0}")]
    BadCondition(&'static str),
    #[error(transparent)]
    BadPosition(#[from] PlaceError),
    #[error("only tokens of the role {0} or above are taken for this")]
    Role(Role),
    #[error("there is no such room")]
    NoRoom,
    #[error("the API has nothing at this path; GET /api/v1/openapi.json says what there is")]
    NoPath,
    #[error("{0}")]
    NoPosition(String),
    #[error("this path takes {0}")]
    Method(&'static str),
    #[error("the body did not arrive within {} s", API_BODY_MS_MAX / 1000)]
    SlowBody,
    #[error("the update builds on what this room does not have: send it with all that the room lacks")]
    Gap { written: Position, is_new: bool },
    #[error("a part of the update is another user's, who is here and can bring it")]
    Foreign { written: Position, is_new: bool },
    #[error("this room is no board: only boards have hidden cards")]
    NoBoard,
    #[error("{0}")]
    Contradicts(String),
    #[error(transparent)]
    Broken(Reason),
    #[error(transparent)]
    OtherLife(#[from] GenerationError),
    #[error("what was there at that position is trimmed: {0}")]
    Trimmed(String),
    #[error("the room is at another position")]
    Moved(Position),
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the body must be {0}: set Content-Type")]
    MediaType(&'static str),
    #[error(transparent)]
    Refused(Refusal),
    #[error("{0}")]
    Record(String),
    #[error(transparent)]
    Edit(EditError),
    #[error("edit {index}: {why}")]
    BoardEdit { index: usize, why: String },
    #[error(transparent)]
    Import(ImportError),
    #[error("there is no template {0:?}: there are {names}", names = names())]
    NoTemplate(String),
    #[error(
        "the board has columns, a phase or a limit already: they are changed by edits of the type setMeta"
    )]
    Begun,
    #[error("edit {index}: {reason}")]
    BoardRule { index: usize, reason: Reason },
    #[error("what a token brings is in the name of its user")]
    OthersName,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{0}")]
    Damaged(String),
    #[error("no answer within {} s: try again later", API_MS_MAX / 1000)]
    Late,
    #[error("{0}")]
    Unavailable(String),
    #[error("the store has not answered in time: the edit may be stored, now or later, or not")]
    Undecided,
    #[error("the store has not answered in time: the room may be deleted, now or later, or not")]
    DeletionUndecided,
}

impl ApiError {
    pub(in crate::http) fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Name(_) => (StatusCode::BAD_REQUEST, "bad_room_name"),
            Self::BadQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            Self::NotBase64 => (StatusCode::BAD_REQUEST, "bad_state_vector"),
            Self::BadJson(_) => (StatusCode::BAD_REQUEST, "bad_json"),
            Self::BadBody => (StatusCode::BAD_REQUEST, "bad_body"),
            Self::BadCondition(_) => (StatusCode::BAD_REQUEST, "bad_condition"),
            Self::BadPosition(_) => (StatusCode::BAD_REQUEST, "bad_position"),
            Self::Auth(AuthError::Room | AuthError::Nobody) | Self::Role(_) => {
                (StatusCode::FORBIDDEN, "not_allowed")
            }
            Self::Auth(_) => (StatusCode::UNAUTHORIZED, "token_refused"),
            Self::NoRoom => (StatusCode::NOT_FOUND, "no_such_room"),
            Self::NoPath => (StatusCode::NOT_FOUND, "no_such_path"),
            Self::NoPosition(_) => (StatusCode::NOT_FOUND, "no_such_position"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Self::Gap { .. } => (StatusCode::CONFLICT, "gap"),
            Self::Foreign { .. } => (StatusCode::CONFLICT, "not_yours"),
            Self::NoBoard => (StatusCode::CONFLICT, "no_board"),
            Self::Broken(reason) => (StatusCode::FORBIDDEN, reason.code()),
            Self::Contradicts(_) => (StatusCode::CONFLICT, "contradicts"),
            Self::OtherLife(GenerationError::Forged) => (StatusCode::BAD_REQUEST, "bad_update"),
            Self::OtherLife(GenerationError::Undecided) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::OtherLife(_) => (StatusCode::CONFLICT, "other_life"),
            Self::Trimmed(_) => (StatusCode::GONE, "trimmed"),
            Self::Moved(_) => (StatusCode::PRECONDITION_FAILED, "moved"),
            Self::TooLarge(_) | Self::Record(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Refused(refusal) if refusal.is_too_large() => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Refused(_) => (StatusCode::BAD_REQUEST, "bad_update"),
            Self::Edit(EditError::TooLong | EditError::Distrusted) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
            Self::Edit(EditError::Copy(_) | EditError::Engine) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "damaged")
            }
            Self::Edit(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_operation"),
            Self::BoardEdit { .. } => (StatusCode::BAD_REQUEST, "bad_edit"),
            Self::Import(ImportError::NotEmpty) | Self::Begun => (StatusCode::CONFLICT, "not_empty"),
            Self::Import(ImportError::Form { .. }) => (StatusCode::BAD_REQUEST, "bad_board"),
            Self::NoTemplate(_) => (StatusCode::BAD_REQUEST, "no_such_template"),
            Self::BoardRule { reason, .. } => (StatusCode::FORBIDDEN, reason.code()),
            Self::OthersName => (StatusCode::FORBIDDEN, Reason::AuthorIsNotYou.code()),
            Self::Log(error) if error.is_temporary() => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Log(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store_refuses"),
            Self::Damaged(_) => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
            Self::Late | Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Undecided | Self::DeletionUndecided => (StatusCode::SERVICE_UNAVAILABLE, "undecided"),
        }
    }

    fn help(&self) -> Option<(&'static str, Value)> {
        match self {
            Self::Moved(now) => Some(("position", json!(now.to_string()))),
            Self::Gap { written, is_new } | Self::Foreign { written, is_new } => {
                Some(("stored", if *is_new { json!(written.to_string()) } else { Value::Null }))
            }
            Self::Edit(EditError::Operation { index, .. }) => Some(("operation", json!(index))),
            Self::BoardEdit { index, .. } | Self::BoardRule { index, .. } => Some(("edit", json!(index))),
            _ => None,
        }
    }
}

fn names() -> String {
    TEMPLATES.map(|template| template.name).join(", ")
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.code();
        let mut error = json!({ "code": code, "message": self.to_string() });
        if let Some((key, value)) = self.help() {
            error[key] = value;
        }
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<WalkError> for ApiError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Log(error) => Self::Log(error),
            WalkError::Gone => Self::NoRoom,
            error @ WalkError::Trimmed { .. } => Self::Trimmed(error.to_string()),
            error @ WalkError::Overtaken => Self::Unavailable(error.to_string()),
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl From<NotThere> for ApiError {
    fn from(error: NotThere) -> Self {
        match error {
            NotThere::Log(error) => Self::Log(error),
            error => Self::NoPosition(error.to_string()),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refusal) => Self::Refused(refusal),
            ReadError::Generation(error) => Self::OtherLife(error),
            ReadError::Fold(error) => Self::Damaged(error.to_string()),
            error @ ReadError::Closed(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<RevealError> for ApiError {
    fn from(error: RevealError) -> Self {
        match error {
            RevealError::NoRoom => Self::NoRoom,
            RevealError::NoBoard => Self::NoBoard,
            RevealError::Read(error) => error.into(),
            RevealError::Write(error) => error.into(),
            RevealError::Log(error) => error.into(),
            RevealError::Walk(error) => error.into(),
            RevealError::Fold(error) => Self::Damaged(error.to_string()),
            RevealError::OtherLife => Self::NoRoom,
            error @ (RevealError::Hides | RevealError::Busy | RevealError::Stopped(_)) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Moved { now } => Self::Moved(now.unwrap_or_default()),
            WriteError::Refused(refusal) => Self::Refused(refusal),
            WriteError::Generation(error) => Self::OtherLife(error),
            WriteError::Record(why) => Self::Record(why),
            WriteError::Contradicts(why) => Self::Contradicts(why),
            WriteError::Broken(reason) => Self::Broken(reason),
            WriteError::Store(error) => Self::Log(error),
            error @ WriteError::Closed(_) => Self::Unavailable(error.to_string()),
            WriteError::Undecided => Self::Undecided,
        }
    }
}
