//! The end of a socket, as far as we say it. The session has left its room by then.

use std::time::Duration;

use tokio::time::sleep;

use super::io::Socket;
use crate::http::App;
use crate::limits::{DRAIN_SPREAD_MS_MAX, DRAIN_SPREAD_PER_SOCKET_US, OTHER_LIFE_PAUSE_MS};
use crate::wire::close::{self, Close};

/// Says why, and lets the client hear it.
pub(super) async fn refuse(app: &App, socket: Socket, close: Close) {
    if (4400..4500).contains(&close.code) {
        app.metrics.sockets_refused.inc();
    }
    match close.code {
        close::RESTART => spread_out(app).await,
        close::OTHER_GENERATION => sleep(Duration::from_millis(OTHER_LIFE_PAUSE_MS)).await,
        _ => {}
    }
    socket.close(close).await;
}

/// A restart sends everyone away; clients come back at once, so they are not sent all at once.
async fn spread_out(app: &App) {
    let sockets = u64::try_from(app.metrics.sockets_open.get()).unwrap_or(0);
    let spread_ms = (sockets * DRAIN_SPREAD_PER_SOCKET_US / 1000).min(DRAIN_SPREAD_MS_MAX);
    sleep(Duration::from_millis(rand::random_range(0..=spread_ms))).await;
}
