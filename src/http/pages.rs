//! The plain page at `/`: what runs here, and how to connect.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::App;

const HOME: &str = include_str!("home.html");

/// Says what runs here, with a snippet to copy.
pub async fn home(State(app): State<Arc<App>>) -> Response {
    let page = HOME
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{store}", app.store)
        .replace("{durability}", &app.log.durability().to_string());
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], Html(page))
        .into_response()
}

/// For every other path.
pub async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "nothing is served at this path; GET / says what is\n").into_response()
}
