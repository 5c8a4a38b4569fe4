//! The admin listener (`--admin-listen`): the small part of the admin API that other machines may need, on a port of its
//! own and with a credential of its own. It is no way into documents.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::{HOST, ORIGIN};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ring::hmac;

use super::{Failure, revocations};
use crate::http::access::bearer_token;
use crate::http::front::is_this_machine;
use crate::http::{App, ops};
use crate::limits::ADMIN_CALL_BYTES_MAX;

/// Who may call. Compared in constant time, whatever is given.
#[derive(Clone)]
pub struct Credential {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Credential {
    /// A credential that is compared with what callers give; the text itself is not kept.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        let tag = hmac::sign(&key, secret.as_bytes());
        Self { key, tag }
    }

    fn is(&self, given: &str) -> bool {
        hmac::verify(&self.key, given.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

/// All routes of the listener. Without a credential whoever reaches it may call: loopback only.
pub fn router(app: Arc<App>, credential: Option<Credential>) -> Router {
    revocations::routes()
        .route("/healthz", get(ops::healthz))
        .route("/metrics", get(ops::metrics))
        .fallback(|| async { Failure::absent("there is nothing here; see docs/OPERATIONS.md") })
        .layer(from_fn_with_state(credential, check))
        .layer(DefaultBodyLimit::max(ADMIN_CALL_BYTES_MAX))
        .with_state(app)
}

async fn check(State(credential): State<Option<Credential>>, request: Request, next: Next) -> Response {
    // Pages have no business here, also those of a name that somebody has pointed at this machine.
    let headers = request.headers();
    let is_local = headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(is_this_machine);
    if headers.contains_key(ORIGIN) || credential.is_none() && !is_local {
        return Failure::new(
            StatusCode::FORBIDDEN,
            "refused",
            "no pages, and without a credential only 127.0.0.1",
        )
        .into_response();
    }
    let given = bearer_token(headers).unwrap_or_default();
    if credential.is_none_or(|credential| credential.is(given)) {
        return next.run(request).await;
    }
    tracing::warn!(target: "ruang::audit", "admin: a call without the credential");
    Failure::new(StatusCode::UNAUTHORIZED, "refused", "Authorization: Bearer with the admin token is needed")
        .into_response()
}
