//! Taking tokens back: what is revoked, and one more. Each call leaves a line in the log.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Failure, Shared};
use crate::auth::keeper::{self, RevokeError};
use crate::auth::{Revocation, Target};
use crate::clock::wall_ms;
use crate::http::App;
use crate::ids::RoomName;
use crate::log::LogError;

/// `/v1/revocations`, on `admin.sock` and on the admin listener.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/v1/revocations", get(list).post(revoke))
}

/// What is asked: a token or a user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    token: Option<String>,
    user: Option<String>,
    room: Option<String>,
    issued_before_ms: Option<u64>,
}

/// One revocation, as it is answered and listed.
#[derive(Serialize)]
struct Form {
    #[serde(flatten)]
    target: Target,
    room: Option<String>,
    issued_before_ms: Option<u64>,
    until_ms: u64,
}

impl From<&Revocation> for Form {
    fn from(revocation: &Revocation) -> Self {
        Self {
            target: revocation.target.clone(),
            room: revocation.room.as_ref().map(|room| room.as_str().to_owned()),
            issued_before_ms: Some(revocation.issued_before_ms).filter(|before| *before < u64::MAX),
            until_ms: revocation.until_ms,
        }
    }
}

async fn list(State(app): Shared) -> Json<Value> {
    let all = app.auth.revocations(wall_ms());
    tracing::info!(target: "ruang::audit", count = all.len(), "admin: revocations were listed");
    Json(json!({ "revocations": all.iter().map(Form::from).collect::<Vec<_>>() }))
}

/// It holds here from now on whatever the answer is, unless that is 400, or 507: the list is full.
async fn revoke(
    State(app): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Form>), Failure> {
    // A page in somebody's browser cannot say this without asking first, and is not answered then.
    let is_json = |value: &header::HeaderValue| value.as_bytes().starts_with(b"application/json");
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) || headers.contains_key(header::ORIGIN) {
        return Err(Failure::bad("Content-Type: application/json is needed, and no Origin"));
    }
    let asked: Asked = serde_json::from_slice(&body).map_err(Failure::bad)?;
    let target = match (asked.token, asked.user) {
        (Some(token), None) => Target::Token(token.into()),
        (None, Some(user)) => Target::User(user.into()),
        _ => return Err(Failure::bad("either `token` (its claim jti) or `user` (its claim sub) is needed")),
    };
    let room = asked.room.as_deref().map(RoomName::parse).transpose().map_err(Failure::bad)?;
    let (now_ms, life_ms_max) = (wall_ms(), app.auth.token_life_ms_max());
    let revocation = Revocation::new(target, room, asked.issued_before_ms, now_ms, life_ms_max);
    let revocation = revocation.map_err(Failure::bad)?;
    let form = Form::from(&revocation);
    let (what, whose) = whom(&revocation.target);
    let room = revocation.room.as_ref().map(RoomName::log_id);
    let done = keeper::revoke(&app.auth, &*app.log, revocation).await;
    let stored = done.as_ref().map_or_else(ToString::to_string, |()| "stored".to_owned());
    tracing::info!(target: "ruang::audit", what, whose, room, stored, "admin: a revocation");
    done?;
    Ok((StatusCode::CREATED, Json(form)))
}

impl From<RevokeError> for Failure {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::ListFull => Self::new(StatusCode::INSUFFICIENT_STORAGE, "full", error),
            // A store without space takes it later.
            RevokeError::Store(full @ LogError::Full(_)) => {
                Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::from(full) }
            }
            RevokeError::Store(error) => Self::from(error),
        }
    }
}

/// What it is, and a hash of its name: as rooms, users appear in no log by their names.
fn whom(target: &Target) -> (&'static str, String) {
    let (what, name) = match target {
        Target::Token(id) => ("token", id),
        Target::User(user) => ("user", user),
    };
    let hash = Sha256::digest(name.as_bytes());
    (what, hash[..6].iter().map(|byte| format!("{byte:02x}")).collect())
}
