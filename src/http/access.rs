//! Where a token comes in: with a socket's upgrade, or in a header of the API. What it means is `auth`'s business.

use axum::extract::{Query, Request};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use serde::Deserialize;

use super::App;
use crate::auth::{AuthError, Standing};
use crate::caller::Caller;
use crate::clock::wall_ms;
use crate::ids::{RoomName, RoomNameError};
use crate::wire::close::{self, Close};

/// What stands before a token among subprotocols.
pub(super) const BEARER: &str = "bearer.";

#[derive(Deserialize)]
struct Asked {
    token: Option<String>,
}

/// The token of a request for a socket: the subprotocol `bearer.…`, or else `?token=…`.
pub(super) fn socket_token(request: &Request) -> Option<String> {
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = offers.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let offered = offers.find_map(|offer| offer.trim().strip_prefix(BEARER).map(ToOwned::to_owned));
    offered.or_else(|| Query::<Asked>::try_from_uri(request.uri()).ok().and_then(|Query(asked)| asked.token))
}

/// The token of any other request: `Authorization: Bearer …`.
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl App {
    /// Who somebody is in a room. Asked before anything is looked up under the room's name.
    pub(super) fn admit(&self, token: Option<&str>, room: &RoomName) -> Result<Caller, AuthError> {
        self.counted(self.auth.admit(token, room, wall_ms()))
    }

    /// The same for what is about no single room.
    pub(super) fn admit_everywhere(&self, token: Option<&str>) -> Result<Caller, AuthError> {
        self.counted(self.auth.admit_everywhere(token, wall_ms()))
    }

    fn counted(&self, admitted: Result<Caller, AuthError>) -> Result<Caller, AuthError> {
        admitted.inspect_err(|error| self.metrics.auth.refused(*error))
    }

    /// The same for a session, which ends when the token does not count any more.
    pub(in crate::http) fn stand(&self, token: Option<&str>, room: &RoomName) -> Result<Standing, AuthError> {
        let caller = self.admit(token, room)?.shared();
        Ok(Standing::new(&self.auth, &caller, room))
    }

    /// The same for a socket that is one session.
    pub(super) fn admit_socket(
        &self,
        room: Result<RoomName, RoomNameError>,
        token: Option<&str>,
    ) -> Result<Standing, Close> {
        let room = room.map_err(|error| Close::new(close::MALFORMED, error.to_string()))?;
        self.stand(token, &room).map_err(AuthError::close)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn asked(uri: &str, headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        socket_token(&request.body(Body::empty()).unwrap())
    }

    /// [A15] A subprotocol is preferred to the address; an address with two tokens has none.
    #[test]
    fn tokens_come_by_subprotocol_or_address() {
        let protocol = "sec-websocket-protocol";
        assert_eq!(asked("/ws/a?token=x.y-z_1", &[]).as_deref(), Some("x.y-z_1"));
        assert_eq!(asked("/ws/a?x=1&token=a%2Bb", &[]).as_deref(), Some("a+b"));
        assert_eq!(asked("/ws/a?token=x", &[(protocol, "ruang.v1, bearer.y")]).as_deref(), Some("y"));
        assert_eq!(asked("/ws/a", &[(protocol, "ruang.v1"), (protocol, "bearer.z")]).as_deref(), Some("z"));
        assert_eq!(asked("/ws/a?token=x&token=y", &[]), None);
        assert_eq!(asked("/ws/a?tokens=x", &[(protocol, "ruang.v1")]), None);
    }

    /// [A15] The API takes `Authorization: Bearer`, and nothing else.
    #[test]
    fn the_api_takes_bearers() {
        let token = |value: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            bearer_token(&headers).map(ToOwned::to_owned)
        };
        assert_eq!(token("Bearer a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(token("bearer  a").as_deref(), Some("a"));
        assert_eq!(token("Basic a"), None);
        assert_eq!(token("a.b.c"), None);
    }
}
