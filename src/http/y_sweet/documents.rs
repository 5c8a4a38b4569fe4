//! Documents over HTTP: making one, reading it whole, writing an update into it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rand::Rng;
use rand::distr::Alphanumeric;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::refusal::Refusal;
use super::{Named, access, is_old, parse};
use crate::caller::Caller;
use crate::gate::EMPTY_UPDATE;
use crate::http::{App, api, front};
use crate::ids::RoomName;
use crate::limits::{API_MS_MAX, DOCUMENT_BYTES_MAX, REQUEST_BODY_BYTES_MAX};
use crate::room::{Entry, Member, Outlet};
use crate::wire::close::Close;
use crate::wire::voice::Voice;

/// What `POST /doc/new` may say.
#[derive(Debug, Default, Deserialize)]
struct Creation {
    /// The document's id; one is chosen if it is missing.
    #[serde(default, rename = "docId")]
    doc_id: Option<String>,
}

/// Characters of an id that the server chooses: 131 bits, so that nobody guesses it and no two are the same.
const RANDOM_ID_CHARS: usize = 22;

/// Makes a document. If it is there already, that is as good.
pub(super) async fn create(State(app): State<Arc<App>>, request: Request) -> Result<Response, Refusal> {
    let caller = access::server(&app, request.headers())?;
    let Creation { doc_id } = read_json(&app, request).await?;
    let id = match doc_id {
        Some(id) => new_id(&id)?,
        None => {
            let id: String =
                rand::rng().sample_iter(Alphanumeric).take(RANDOM_ID_CHARS).map(char::from).collect();
            new_id(&id)?
        }
    };
    in_time(async {
        if app.log.open(&id).await?.is_none() {
            enter(&app, &id, caller).await?.begin().await?;
        }
        Ok(())
    })
    .await?;
    Ok(Json(json!({ "docId": id.as_str() })).into_response())
}

/// The name of a room that y-sweet clients may make.
fn new_id(id: &str) -> Result<RoomName, Refusal> {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    RoomName::parse(id).ok().filter(|_| is_plain).ok_or(Refusal::Id)
}

/// The whole document, as one update.
pub(super) async fn read(
    State(app): State<Arc<App>>,
    id: Named,
    request: Request,
) -> Result<Response, Refusal> {
    let id = parse(id)?;
    access::document(&app, access::bearer(request.headers()), &id)?;
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    match api::whole(&app, &id, front::address(&request)).await? {
        Some(mut response) => {
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
            Ok(response)
        }
        // Of what nobody has made there is an empty document.
        None => Ok((headers, &EMPTY_UPDATE[..]).into_response()),
    }
}

/// Stores an update. Answered when it is stored, also if it brought nothing new.
pub(super) async fn write(
    State(app): State<Arc<App>>,
    id: Named,
    request: Request,
) -> Result<Response, Refusal> {
    let id = parse(id)?;
    let caller = access::document(&app, access::bearer(request.headers()), &id)?;
    if !caller.role.may_write() {
        return Err(Refusal::ReadOnly);
    }
    let update = read_body(&app, request, DOCUMENT_BYTES_MAX).await?;
    api::store(&app, &id, caller, update.bytes()).await?;
    Ok(().into_response())
}

pub(super) async fn read_old(app: State<Arc<App>>, id: Named, request: Request) -> Result<Response, Refusal> {
    is_old("GET /doc/ID/as-update", "POST /doc/ID/auth says what to ask: baseUrl/as-update");
    read(app, id, request).await
}

pub(super) async fn write_old(
    app: State<Arc<App>>,
    id: Named,
    request: Request,
) -> Result<Response, Refusal> {
    is_old("POST /doc/ID/update", "POST /doc/ID/auth says where to send it: baseUrl/update");
    write(app, id, request).await
}

/// Enters a room for one request. Nobody is written to. An application's server makes documents for all its people: its
/// address is not theirs.
async fn enter(app: &Arc<App>, id: &RoomName, caller: Arc<Caller>) -> Result<Member, Close> {
    let voice = Voice::YWebsocket { ruang: true };
    let entry = Entry { caller, voice, outlet: Arc::new(Nobody), address: None };
    app.rooms.join(id, entry).await
}

struct Nobody;

impl Outlet for Nobody {
    fn offer(&self, _bytes: &[u8]) -> usize {
        0
    }
}

/// A request is answered in time, if only with "later".
async fn in_time<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    timeout(Duration::from_millis(API_MS_MAX), work).await.unwrap_or(Err(Refusal::Late))
}

/// A small body as JSON; no body says nothing. The sdk sends one always, other callers may not.
pub(super) async fn read_json<T: Default + DeserializeOwned>(
    app: &App,
    request: Request,
) -> Result<T, Refusal> {
    let body = read_body(app, request, REQUEST_BODY_BYTES_MAX).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    // An object, and no list of its values either, which serde would take as well.
    let object: serde_json::Result<Map<String, Value>> = serde_json::from_slice(&body);
    let read = object.and_then(|object| serde_json::from_value(Value::Object(object)));
    read.map_err(|error| Refusal::Body(error.to_string()))
}

async fn read_body(app: &App, request: Request, bytes_max: usize) -> Result<api::ReadBody, Refusal> {
    let address = front::address(&request);
    let (head, body) = request.into_parts();
    Ok(api::read_body(app, (address, &head.headers), body, bytes_max).await?)
}
