//! What the server offers over HTTP: sockets, API, pages, operations. Nothing axum-shaped elsewhere.

mod access;
pub mod admin;
pub mod api;
pub mod front;
pub mod ops;
pub mod pages;
mod socket;
mod upgrade;
mod y_sweet;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::routing::get;

use crate::auth::Auth;
use crate::log::Log;
use crate::room::Rooms;
use crate::telemetry::Metrics;
use crate::throttle::Throttle;
use front::Front;

/// What the routes share.
pub struct App {
    /// The open rooms.
    pub rooms: Arc<Rooms>,
    /// The store, for its health.
    pub log: Arc<dyn Log>,
    /// Who may enter.
    pub auth: Arc<Auth>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How many, and how fast.
    pub throttle: Arc<Throttle>,
    /// Who may ask, and under which address.
    pub front: Front,
    /// The kind of store, as in `--store`, without its address.
    pub store: &'static str,
    /// When this instance began.
    pub started: Instant,
    /// What requests to the API share.
    pub api: api::Shares,
    /// Whether everybody who reaches the server is shown metrics, and not its operators alone.
    pub public_metrics: bool,
    /// No new sockets: the server is on its way down.
    pub draining: AtomicBool,
}

impl App {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// For conformance tests alone: `/echo`, a WebSocket by the same upgrade as every other, which sends back what comes.
pub fn echo_router(app: Arc<App>) -> Router {
    Router::new().route("/echo", get(upgrade::echo)).with_state(app)
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/", get(pages::home))
        .route("/ws/{*room}", get(upgrade::y_websocket))
        .route("/hocuspocus", get(upgrade::hocuspocus))
        .merge(api::routes())
        .merge(y_sweet::routes())
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz));
    let routes = if app.public_metrics { routes.route("/metrics", get(ops::metrics)) } else { routes };
    let routes = routes.fallback(pages::not_found).with_state(Arc::clone(&app));
    front::before(app, routes)
}
