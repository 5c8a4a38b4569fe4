//! Tokens for documents, as y-sweet's clients read them: where the document is, and what may be done with it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::documents::read_json;
use super::refusal::Refusal;
use super::{Named, access, parse};
use crate::caller::Role;
use crate::http::{App, front};
use crate::ids::RoomName;

/// What a holder may do, in y-sweet's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Authorization {
    #[default]
    #[serde(rename = "full")]
    Full,
    #[serde(rename = "read-only")]
    ReadOnly,
}

impl Authorization {
    pub(super) fn role(self) -> Role {
        match self {
            Self::Full => Role::Editor,
            Self::ReadOnly => Role::Viewer,
        }
    }
}

/// What `POST /doc/{id}/auth` may say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Wish {
    /// What the holder may do.
    pub(super) authorization: Authorization,
    /// Who the holder is.
    pub(super) user_id: Option<String>,
    /// How long the token opens the document.
    pub(super) valid_for_seconds: Option<u64>,
}

/// The token, with all that a client has to know of its document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientToken<'a> {
    /// The socket's address, but for the id that the provider puts behind it.
    url: String,
    /// Where the document is read and written over HTTP.
    base_url: String,
    doc_id: &'a str,
    /// Missing where nobody is asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    authorization: Authorization,
}

/// `POST /doc/{id}/auth`: a token for a document that is there.
pub(super) async fn authorize(
    State(app): State<Arc<App>>,
    id: Named,
    request: Request,
) -> Result<Response, Refusal> {
    give(&app, &parse(id)?, request).await
}

/// `POST /doc/ws/auth` is meant for the document called `ws`, on a path that has another meaning for GET.
pub(super) async fn authorize_ws(
    State(app): State<Arc<App>>,
    Path(verb): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    if verb == "auth" { give(&app, &RoomName::parse("ws")?, request).await } else { Err(Refusal::NoDocument) }
}

async fn give(app: &Arc<App>, id: &RoomName, request: Request) -> Result<Response, Refusal> {
    let caller = access::server(app, request.headers())?;
    let address = address(app, &request)?;
    let wish: Wish = read_json(app, request).await?;
    if app.log.open(id).await?.is_none() {
        return Err(Refusal::NoDocument);
    }
    let document = format!("{address}/d/{}", utf8_percent_encode(id.as_str(), UNRESERVED));
    let token = ClientToken {
        url: format!("ws{document}/ws"),
        base_url: format!("http{document}"),
        doc_id: id.as_str(),
        token: access::mint(app, id, &caller, &wish)?,
        authorization: wish.authorization,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(token)).into_response())
}

/// What stands in a path as it is (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How the client reaches this server: what stands behind `http` in its address.
fn address(app: &App, request: &Request) -> Result<String, Refusal> {
    let client = front::client(request);
    if client.host.is_none() && !app.front.has_public_url() {
        return Err(Refusal::NoHost);
    }
    Ok(app.front.public_url(client).trim_start_matches("http").to_owned())
}
