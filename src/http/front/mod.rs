//! What stands before every route: who asks, whether that page may, and under which address all this is.
//!
//! Invariants:
//! - A request whose `Origin` is not allowed reaches no route, whatever it asks.
//! - Headers of proxies count only if a trusted proxy has sent them.
//! - Every answer has the headers that keep browsers from guessing.

mod forwarded;
mod headers;
mod origin;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{HOST, HeaderMap, LOCATION, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

pub use forwarded::{Client, ForwardedBy, Network, Proxies};
pub(super) use origin::is_this_machine;
pub use origin::{AllowedOrigin, Origin};

use super::App;
use crate::throttle::Address;

/// The other end of the connection that a request came on. The server puts it into a request's extensions;
/// without it nobody is a trusted proxy.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// How the server is reached.
#[derive(Debug, Clone, Default)]
pub struct FrontOptions {
    /// Pages that may use it, besides its own.
    pub allowed: Vec<AllowedOrigin>,
    /// Nobody needs a token: pages of this machine are allowed, and its own ones only under a name that
    /// nobody elsewhere can have given it.
    pub development: bool,
    /// Proxies that are believed.
    pub proxies: Proxies,
    /// The path under which everything is, besides under `/`: `` or `/ruang`.
    pub base: BasePath,
    /// What clients are told as its address, instead of what their request says.
    pub public: Option<PublicUrl>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Front {
    options: FrontOptions,
    warned: Warned,
}

/// Which warnings were given.
#[derive(Debug, Default)]
struct Warned {
    untrusted: AtomicBool,
    /// When an origin was named last, in milliseconds since 1970.
    origin_ms: AtomicU64,
}

/// An origin that is refused is named in the log at most this often.
const ORIGIN_WARNING_MS: u64 = 60_000;

impl Front {
    /// A front with these settings.
    #[must_use]
    pub fn new(options: FrontOptions) -> Self {
        Self { options, warned: Warned::default() }
    }

    /// The address under which the sender of a request reaches this server: scheme, host, and the path before
    /// all paths, without a slash at its end. `--public-url` where it is set.
    #[must_use]
    pub fn public_url(&self, client: &Client) -> String {
        if let Some(public) = &self.options.public {
            return public.to_string();
        }
        let scheme = if client.secure { "https" } else { "http" };
        let host = client.host.as_deref().unwrap_or("localhost");
        format!("{scheme}://{host}{}", client.prefix)
    }

    /// Whether an address was set, so that what a request says does not matter.
    #[must_use]
    pub fn has_public_url(&self) -> bool {
        self.options.public.is_some()
    }

    /// Whether a page of `origin` may use this server, by way of `client`.
    fn allows(&self, origin: &str, client: &Client) -> bool {
        let Some(origin) = Origin::parse(origin) else { return false };
        let FrontOptions { allowed, development, public, .. } = &self.options;
        allowed.iter().any(|entry| entry.allows(&origin))
            || public.as_ref().is_some_and(|public| public.origin == origin)
            || (*development && allowed.is_empty() && origin.is_loopback())
            || self.is_own(&origin, client)
    }

    /// Whether a page is one of this server's own: of the host that the request was sent to. Where nobody needs
    /// a token this must not be a name that somebody could have pointed here to get at it (DNS rebinding).
    fn is_own(&self, origin: &Origin, client: &Client) -> bool {
        let scheme = if client.secure { "https" } else { "http" };
        let Some(host) = &client.host else { return false };
        let is_same = Origin::parse(&format!("{scheme}://{host}")).as_ref() == Some(origin);
        is_same && (!self.options.development || client.proxied || origin::is_local_host(&origin.host))
    }

    /// Whether a request from this machine itself was sent to a name that somebody may have pointed here to read what
    /// needs no token: browsers name no origin when a page reads from its own host.
    /// A name that cannot be parsed (`evil.example.`, with a dot at its end) may be such a one.
    fn is_rebound(&self, client: &Client, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        let FrontOptions { allowed, development, public, .. } = &self.options;
        let is_from_here = peer.is_some_and(|peer| peer.is_loopback());
        if !*development || !is_from_here || client.proxied {
            return false;
        }
        let Some(authority) = &client.host else { return headers.contains_key(HOST) };
        let is_local = origin::split_authority(authority).is_none_or(|(host, _)| origin::is_local_host(host));
        let mut origins = ["http", "https"].into_iter();
        let is_named = |scheme: &str| {
            Origin::parse(&format!("{scheme}://{authority}")).is_some_and(|origin| {
                allowed.iter().any(|entry| entry.allows(&origin))
                    || public.as_ref().is_some_and(|public| public.origin == origin)
            })
        };
        !is_local && !origins.any(is_named)
    }

    fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Client {
        let client = self.options.proxies.client(peer, headers);
        let is_forwarded = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        if is_forwarded && !client.proxied && !self.warned.untrusted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a request came through a proxy that is not in --trusted-proxies: what it says of its clients is not believed"
            );
        }
        client
    }

    /// Says once a minute which origin was refused: who runs a page would not know why it does not work.
    fn warn_of_origin(&self, origin: &str) {
        let now_ms = crate::clock::wall_ms();
        let before_ms = self.warned.origin_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(before_ms) >= ORIGIN_WARNING_MS {
            self.warned.origin_ms.store(now_ms, Ordering::Relaxed);
            let origin: String = origin.chars().take(128).collect();
            tracing::warn!(
                ?origin,
                "a page of an origin that is not allowed was refused; see --allow-origin"
            );
        }
    }
}

/// Puts the front before all routes.
pub(super) fn before(app: Arc<App>, routes: Router) -> Router {
    Router::new().fallback_service(routes).layer(from_fn_with_state(app, pass))
}

/// The way of every request.
async fn pass(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let front = &app.front;
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let mut client = front.client(peer, request.headers());
    match front.options.base.strip(request.uri()) {
        Stripped::No => {}
        Stripped::Bare => {
            let to = format!("{}/", front.options.base.0);
            return finish((StatusCode::PERMANENT_REDIRECT, [(LOCATION, to)]).into_response());
        }
        Stripped::To(uri) => {
            if client.prefix.is_empty() {
                client.prefix.clone_from(&front.options.base.0);
            }
            *request.uri_mut() = uri;
        }
    }
    let mut origins = request.headers().get_all(ORIGIN).iter();
    let (origin, second) = (origins.next().cloned(), origins.next());
    if let Some(given) = &origin {
        let text = String::from_utf8_lossy(given.as_bytes());
        if second.is_some() || !front.allows(&text, &client) {
            app.throttle.metrics().origins_refused.inc();
            front.warn_of_origin(&text);
            return finish((StatusCode::FORBIDDEN, NOT_ALLOWED).into_response());
        }
    }
    if front.is_rebound(&client, peer, request.headers()) {
        app.throttle.metrics().origins_refused.inc();
        return finish((StatusCode::FORBIDDEN, NOT_THIS_NAME).into_response());
    }
    let is_preflight = origin.is_some() && headers::is_preflight(request.method(), request.headers());
    request.extensions_mut().insert(client);
    let mut response = if is_preflight { headers::preflight() } else { next.run(request).await };
    if let Some(origin) = &origin {
        headers::share(response.headers_mut(), origin);
    }
    finish(response)
}

const NOT_THIS_NAME: &str = "a server that asks for no tokens is not read under this name from its own machine; set --public-url, or \
     --trusted-proxies if a proxy has sent this\n";

const NOT_ALLOWED: &str =
    "pages of this origin may not use this server; its operator can allow them (--allow-origin)\n";

fn finish(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        headers::secure(response.headers_mut());
        headers::vary(response.headers_mut());
    }
    response
}

/// What is known of the sender of a request; nothing where there is no front.
pub(super) fn client(request: &Request) -> &Client {
    static UNKNOWN: Client = Client::UNKNOWN;
    request.extensions().get().unwrap_or(&UNKNOWN)
}

/// Where a request comes from, as bounds by address count it.
pub(super) fn address(request: &Request) -> Option<Address> {
    client(request).counted()
}

impl Client {
    const UNKNOWN: Self =
        Self { address: None, proxied: false, secure: false, host: None, prefix: String::new() };

    /// What bounds by address count it as. What comes from this machine, and not by way of a trusted proxy, comes
    /// from a proxy that was not named, or from its operator: its people are not one.
    #[must_use]
    pub fn counted(&self) -> Option<Address> {
        let known = self.address.filter(|address| self.proxied || !address.to_canonical().is_loopback());
        known.map(Address::of)
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    /// Nothing is known where there is no front.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// A path before all paths: `` or `/ruang`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BasePath(String);

/// A path without the base.
enum Stripped {
    /// It does not begin with it.
    No,
    /// It is the base, without the slash that makes relative links work.
    Bare,
    /// What is left.
    To(Uri),
}

impl BasePath {
    fn strip(&self, uri: &Uri) -> Stripped {
        let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        if self.0.is_empty() {
            return Stripped::No;
        }
        if uri.path() == self.0 {
            return Stripped::Bare;
        }
        let rest = whole.strip_prefix(&self.0).filter(|rest| rest.starts_with('/'));
        rest.and_then(|rest| rest.parse().ok()).map_or(Stripped::No, Stripped::To)
    }
}

impl FromStr for BasePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        forwarded::valid_prefix(text)
            .map(Self)
            .ok_or_else(|| "a path of letters, digits and -._~ is expected, such as /ruang".to_owned())
    }
}

/// The address that clients are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: Origin,
    /// As given, without a slash at its end.
    text: String,
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "an address is expected, such as https://sync.example.com or https://example.com/ruang";
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let origin = Origin::parse(&format!("{scheme}://{}", host.to_ascii_lowercase()));
        let origin =
            origin.filter(|origin| matches!(origin.scheme.as_str(), "http" | "https")).ok_or_else(form)?;
        let path = forwarded::valid_prefix(path).ok_or_else(form)?;
        Ok(Self { origin, text: format!("{scheme}://{}{path}", host.to_ascii_lowercase()) })
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
