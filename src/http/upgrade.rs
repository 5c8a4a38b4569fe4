//! From an HTTP request to a WebSocket.
//!
//! The upgrade is done here and not by axum's extractor because a session writes shared frames
//! straight to the TCP stream, past the library's per-connection buffer
//! (`docs/decisions/0002-own-upgrade.md`). Source: RFC 6455, section 4.2.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::Upgraded;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::access::{BEARER, socket_token};
use super::{App, front, socket};
use crate::ids::{RoomName, RoomNameError};
use crate::throttle::{Knock, Refused};
use crate::wire::hocuspocus::Token;
use crate::wire::voice::Voice;

/// Subprotocol of clients that want acks.
const RUANG_V1: &str = "ruang.v1";

/// `GET /ws/{room}`: the y-websocket family. A proper upgrade is accepted even to say no: browsers cannot read the status of
/// a failed one, and their providers would retry for ever. It is not on the way down, nor when as many are told already as may
/// be: then it is 503.
pub(super) async fn y_websocket(
    State(app): State<Arc<App>>,
    room: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // A name that is no UTF-8 is refused like any other: after the upgrade.
    let room = room.map_or(Err(RoomNameError::NotUtf8), |Path(room)| RoomName::parse(&room));
    let token = socket_token(&request);
    let protocol = choose_protocol(request.headers());
    let voice = Voice::YWebsocket { ruang: protocol.as_ref().is_some_and(|protocol| protocol == RUANG_V1) };
    let (own, address) = (Arc::clone(&app), front::address(&request));
    let serve = move |upgraded| socket::serve(own, upgraded, room, token, voice, address);
    upgrade(&app, request, protocol, serve)
}

/// What the address of a Hocuspocus socket may say: providers of version 2 have no other place for a token when they have
/// none in band.
#[derive(serde::Deserialize)]
struct Address {
    #[serde(default)]
    token: String,
}

/// `GET /hocuspocus`: the Hocuspocus family. Which documents are wanted, and by whom, is said in band.
pub(super) async fn hocuspocus(State(app): State<Arc<App>>, request: Request) -> Response {
    let address = Query::<Address>::try_from_uri(request.uri()).ok();
    let token =
        address.map(|Query(Address { token })| token).filter(|token| !token.is_empty()).map(Token::from);
    let protocol = choose_protocol(request.headers());
    let (own, from) = (Arc::clone(&app), front::address(&request));
    let serve = move |upgraded| socket::serve_many(own, upgraded, token, from);
    upgrade(&app, request, protocol, serve)
}

/// What conformance tests talk to (`tests/autobahn`): a socket that sends back what comes. The server has no such route.
pub(super) async fn echo(State(app): State<Arc<App>>, request: Request) -> Response {
    let own = Arc::clone(&app);
    upgrade(&app, request, None, move |upgraded| socket::echo(own, upgraded))
}

/// Turns a request into a WebSocket of any family, which `serve` serves to its end.
pub(super) fn upgrade<F: Future<Output = ()> + Send>(
    app: &Arc<App>,
    request: Request,
    protocol: Option<HeaderValue>,
    serve: impl FnOnce(Upgraded) -> F + Send + 'static,
) -> Response {
    let accept = match accept_key(&request) {
        Ok(accept) => accept,
        Err(refusal) => return *refusal,
    };
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server restarts\n").into_response();
    }
    let (pass, refused) = match app.throttle.knock(front::address(&request)) {
        Knock::In(pass) => (pass, None),
        Knock::Told(pass, refused) => (pass, Some(refused)),
        Knock::Turned(refused) => return turned_away(refused),
    };
    let app = Arc::clone(app);
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let _pass = pass;
        match upgrade.await {
            Ok(upgraded) => match refused {
                None => serve(upgraded).await,
                // Boxed, so that those who are let in do not carry it along.
                Some(refused) => Box::pin(socket::turn_away(app, upgraded, refused.into())).await,
            },
            Err(error) => tracing::debug!(%error, "a client left during the upgrade"),
        }
    });
    switching_protocols(&accept, protocol)
}

/// Too many are being told already.
fn turned_away(refused: Refused) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10")], format!("{refused}\n")).into_response()
}

fn switching_protocols(accept: &str, protocol: Option<HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The value of `Sec-WebSocket-Accept`, if the request is an upgrade.
fn accept_key(request: &Request) -> Result<String, Box<Response>> {
    let headers = request.headers();
    let refuse = |response: (StatusCode, [(HeaderName, &'static str); 1], &'static str)| {
        Err(Box::new(response.into_response()))
    };
    let is_upgrade = has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket");
    if !is_upgrade || request.version() < Version::HTTP_11 {
        let hint = "this path speaks WebSocket; point a Yjs provider at it\n";
        return refuse((StatusCode::UPGRADE_REQUIRED, [(UPGRADE, "websocket")], hint));
    }
    let version = [(SEC_WEBSOCKET_VERSION, "13")];
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return refuse((StatusCode::BAD_REQUEST, version, "WebSocket version 13 is spoken here\n"));
    }
    match headers.get(SEC_WEBSOCKET_KEY) {
        Some(key) => Ok(derive_accept_key(key.as_bytes())),
        None => refuse((StatusCode::BAD_REQUEST, version, "the header Sec-WebSocket-Key is missing\n")),
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Picks a subprotocol of those that the client offers: `ruang.v1` first, then any that is not a
/// token. A token is only echoed if nothing else is offered: some clients give up when an offer
/// is left unanswered.
fn choose_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offers = || tokens(headers, &SEC_WEBSOCKET_PROTOCOL).filter(|offer| !offer.is_empty());
    let chosen = offers()
        .find(|offer| *offer == RUANG_V1)
        .or_else(|| offers().find(|offer| !offer.starts_with(BEARER)))
        .or_else(|| offers().next())?;
    HeaderValue::from_str(chosen).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(offers: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offers));
        choose_protocol(&headers).map(|protocol| protocol.to_str().unwrap().to_owned())
    }

    /// [W4] Acks are chosen when offered; tokens are echoed only to clients that offer nothing else.
    #[test]
    fn subprotocols_are_chosen_from_the_offer() {
        assert_eq!(chosen("bearer.x, ruang.v1").as_deref(), Some("ruang.v1"));
        assert_eq!(chosen("bearer.x,yjs").as_deref(), Some("yjs"));
        assert_eq!(chosen("bearer.x").as_deref(), Some("bearer.x"));
        assert_eq!(choose_protocol(&HeaderMap::new()), None);
    }
}
