//! The plain page at `/`: what runs here, and how to connect.

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::App;
use super::front::Client;
use crate::log::Durability;

const HOME: &str = include_str!("home.html");

/// What the page may do: run its own script, look as its own style says, and nothing else; not inside a frame.
static HOME_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let (_, rest) = HOME.split_once(&format!("<{tag}>")).expect("the page has one");
        let (content, _) = rest.split_once(&format!("</{tag}>")).expect("which ends");
        BASE64_STANDARD.encode(Sha256::digest(content))
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash("style"),
        hash("script")
    )
});

/// Says what runs here, with a snippet to copy.
pub async fn home(State(app): State<Arc<App>>, client: Client) -> Response {
    // `http` becomes `ws`, `https` becomes `wss`.
    let sockets = format!("ws{}/ws", app.front.public_url(&client).trim_start_matches("http"));
    let (access, options) = if app.auth.is_open() {
        ("open: no key is set, so whoever reaches this server may read, write and delete every room", "")
    } else {
        ("by token: a JWT that is signed with a key of this server", ", { protocols: ['bearer.' + token] }")
    };
    let durability = match app.log.durability() {
        Durability::Memory => "memory: the store has it, in memory",
        Durability::Fsync => "fsync: the store has it, on its disk",
    };
    let page = HOME
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{store}", app.store)
        .replace("{durability}", durability)
        .replace("{access}", access)
        .replace("{options}", options)
        .replace("{sockets}", &sockets);
    ([(header::CONTENT_SECURITY_POLICY, HOME_POLICY.as_str())], Html(page)).into_response()
}

/// For every other path.
pub async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "nothing is served at this path; GET / says what is\n").into_response()
}
