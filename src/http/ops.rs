//! For operators: is it alive, may it be sent traffic, what does it count.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::App;

/// The store has this long to say how it is.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// 200 while the store takes appends, 503 with the reason otherwise. Says what an ack means here.
pub async fn healthz(State(app): State<Arc<App>>) -> Response {
    let problem = store_problem(&app).await;
    let status = if problem.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if problem.is_none() { "ok" } else { "failing" },
        "problem": problem,
        "store": app.store,
        "durability": app.log.durability().to_string(),
        "rooms": app.rooms.open_count(),
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": app.started.elapsed().as_secs(),
    });
    (status, Json(body)).into_response()
}

/// Why the store does not take appends, if it does not.
pub(super) async fn store_problem(app: &App) -> Option<String> {
    match tokio::time::timeout(HEALTH_TIMEOUT, app.log.health()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the store did not answer within 2 s".to_owned()),
    }
}

/// 200 while new sockets are taken, 503 on the way down.
pub async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else {
        (StatusCode::OK, "ready\n").into_response()
    }
}

/// Metrics for Prometheus.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.render()).into_response()
}
