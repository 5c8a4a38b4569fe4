//! What a request asks: of which room, by whom, under which condition, with which body.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use tokio::time::timeout;

use super::ApiError;
use super::shares::{Share, Shared};
use crate::caller::{Caller, Role};
use crate::http::App;
use crate::http::access::bearer_token;
use crate::http::front::Client;
use crate::ids::{Position, RoomName, RoomNameError};
use crate::limits::{API_BODY_MS_MAX, API_MS_MAX, EDIT_BYTES_MAX};
use crate::throttle::Address;

/// A request about a room.
pub(super) struct Asked {
    pub(super) room: RoomName,
    pub(super) caller: Arc<Caller>,
    /// The last part of the path, where it has one that names a position.
    pub(super) position: Option<String>,
    pub(super) query: Asks,
    pub(super) headers: HeaderMap,
    /// Where it comes from, as bounds by address count it.
    pub(super) address: Option<Address>,
}

/// Who asks. Before anything is looked up under the room's name.
fn caller_of(app: &App, headers: &HeaderMap, room: &RoomName) -> Result<Arc<Caller>, ApiError> {
    Ok(app.admit(bearer_token(headers), room)?.shared())
}

/// What stands behind the question mark. Other names are none of ours, such as `token`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asks {
    /// A state vector in base64url.
    pub(super) sv: Option<String>,
    pub(super) format: Option<Format>,
    /// As what a room is shown.
    #[serde(rename = "as")]
    pub(super) shape: Option<Shape>,
    /// Whether a board is imported into one that is not empty.
    pub(super) merge: Option<bool>,
    /// A position.
    pub(super) after: Option<String>,
    pub(super) count: Option<usize>,
}

/// How a document is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Json,
    Update,
    Md,
    Csv,
}

/// As what a room is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shape {
    /// With the board that its document holds.
    Board,
    /// Without.
    About,
    /// Any document.
    Document,
}

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = RawPathParams::from_request_parts(parts, app).await;
        let path = path.map_err(|_| ApiError::Name(RoomNameError::NotUtf8))?;
        let find = |wanted: &str| path.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let room = RoomName::parse(find("room").unwrap_or_default())?;
        let position = find("position").map(str::to_owned);
        let caller = caller_of(app, &parts.headers, &room)?;
        let query = Query::<Asks>::try_from_uri(&parts.uri);
        let Query(query) = query.map_err(|rejection| ApiError::BadQuery(rejection.body_text()))?;
        let address = Client::from_request_parts(parts, app).await.ok().and_then(|client| client.counted());
        Ok(Self { room, caller, position, query, headers: parts.headers.clone(), address })
    }
}

impl Asked {
    /// Lets a caller on who may do what this role may.
    pub(super) fn needs(&self, role: Role) -> Result<(), ApiError> {
        if self.caller.role >= role { Ok(()) } else { Err(ApiError::Role(role)) }
    }

    /// Whether the client has the document of this position already.
    pub(super) fn knows(&self, position: Position) -> bool {
        let tag = answer_tag(position);
        let values = self.headers.get_all(header::IF_NONE_MATCH).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().trim_start_matches("W/") == tag)
    }

    /// The position that the room must be at for a write: by `If-Match`, by `If-None-Match: *` (there is no room
    /// yet), or by what the body says.
    pub(super) fn expects(&self, body: Option<&str>) -> Result<Option<Position>, ApiError> {
        let header = |name| self.headers.get_all(name).iter().collect::<Vec<_>>();
        let mut said = Vec::new();
        for value in header(header::IF_MATCH) {
            let quoted =
                value.to_str().ok().and_then(|value| value.trim().strip_prefix('"')?.strip_suffix('"'));
            said.push(quoted.ok_or(ApiError::BadCondition("If-Match is one position in quotes"))?);
        }
        said.extend(body);
        let mut positions: Vec<Position> = Vec::new();
        for text in said {
            let position = Position::from_id(text);
            positions.push(position.ok_or(ApiError::BadCondition("a position is <milliseconds>-<counter>"))?);
        }
        for value in header(header::IF_NONE_MATCH) {
            if value.as_bytes() != b"*" {
                return Err(ApiError::BadCondition("a write knows If-None-Match: * only"));
            }
            positions.push(Position::START);
        }
        match positions[..] {
            [] => Ok(None),
            [first, ref others @ ..] if others.iter().all(|other| *other == first) => Ok(Some(first)),
            _ => Err(ApiError::BadCondition("the request names several positions")),
        }
    }

    fn content_type(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.split(';').next()).unwrap_or_default().trim()
    }

    /// The body, if it is of this type and has at most `bytes_max` bytes.
    pub(super) async fn body(
        &self,
        app: &App,
        body: Body,
        (media_type, bytes_max): (&'static str, usize),
    ) -> Result<ReadBody, ApiError> {
        if !self.content_type().eq_ignore_ascii_case(media_type) {
            return Err(ApiError::MediaType(media_type));
        }
        read_body(app, (self.address, &self.headers), body, bytes_max).await
    }
}

/// A request's body. One that may be large has its share of those that there are at once for as long as its bytes are here, also
/// while they wait to be worked on.
pub(in crate::http) struct ReadBody {
    bytes: Bytes,
    _share: Option<Share>,
}

impl ReadBody {
    /// The same bytes. They count for as long as this body is there.
    pub(in crate::http) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl Deref for ReadBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A request's body, of any family: bounded in bytes and in time, and if it may be large, in how many there are at once.
pub(in crate::http) async fn read_body(
    app: &App,
    from: (Option<Address>, &HeaderMap),
    body: Body,
    bytes_max: usize,
) -> Result<ReadBody, ApiError> {
    read(&app.api.bodies, from, body, bytes_max).await
}

async fn read(
    bodies: &Shared,
    (address, headers): (Option<Address>, &HeaderMap),
    body: Body,
    bytes_max: usize,
) -> Result<ReadBody, ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > bytes_max) {
        return Err(ApiError::TooLarge(bytes_max));
    }
    // Those of small ones are bounded by the connections.
    let is_small = length.unwrap_or(bytes_max) <= EDIT_BYTES_MAX;
    let _share = if is_small { None } else { Some(bodies.share(address).await?) };
    let read = Limited::new(body, bytes_max).collect();
    match timeout(Duration::from_millis(API_BODY_MS_MAX), read).await {
        Ok(Ok(body)) => Ok(ReadBody { bytes: body.to_bytes(), _share }),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(bytes_max)),
        Ok(Err(_)) => Err(ApiError::BadBody),
        Err(_) => Err(ApiError::SlowBody),
    }
}

/// A position as an entity tag.
pub(super) fn answer_tag(position: Position) -> String {
    format!("\"{position}\"")
}

/// Gives up on what takes longer than a request may.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    timeout(Duration::from_millis(API_MS_MAX), work).await.unwrap_or(Err(ApiError::Late))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(role: Role) -> Asked {
        Asked {
            room: RoomName::parse("r").unwrap(),
            caller: Arc::new(Caller::anonymous(role)),
            position: None,
            query: Asks::default(),
            headers: HeaderMap::new(),
            address: None,
        }
    }

    /// [P9] Each role may do what weaker ones may, and no more than its own.
    #[test]
    fn roles_are_asked_for() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            let allowed = Role::ALL.into_iter().filter(|needed| asked(role).needs(*needed).is_ok()).count();
            println!("{role}: {allowed}");
            assert_eq!(allowed, index + 1);
        }
        assert!(matches!(asked(Role::Viewer).needs(Role::Editor), Err(ApiError::Role(Role::Editor))));
    }

    /// [P11] A large body has its share until its bytes are gone, not only while it is read; a small one needs none.
    #[tokio::test(start_paused = true)]
    async fn a_large_body_keeps_its_share() {
        let bodies = Arc::new(Shared::new(1));
        let (large, headers) = (vec![b'x'; EDIT_BYTES_MAX + 1], HeaderMap::new());
        let ask = |bytes: Vec<u8>, headers: &HeaderMap| {
            let (bodies, headers) = (Arc::clone(&bodies), headers.clone());
            async move { read(&bodies, (None, &headers), Body::from(bytes), 2 * EDIT_BYTES_MAX).await }
        };
        let Ok(first) = ask(large.clone(), &headers).await else { panic!("there is a share") };
        assert_eq!((first.len(), bodies.free()), (large.len(), 0));
        assert!(matches!(ask(large.clone(), &headers).await, Err(ApiError::Unavailable(_))));
        let small: HeaderMap = [(header::CONTENT_LENGTH, "2".parse().unwrap())].into_iter().collect();
        assert!(ask(b"{}".to_vec(), &small).await.is_ok(), "small ones go on");
        drop(first);
        assert!(ask(large, &headers).await.is_ok());
        assert_eq!(bodies.free(), 1);
    }

    /// [P11] Nor does one that takes too long.
    #[tokio::test(start_paused = true)]
    async fn work_ends_in_time() {
        let late = in_time(std::future::pending::<Result<(), _>>()).await;
        assert!(matches!(late, Err(ApiError::Late)));
    }
}
