//! How a socket ends: why, and what is said.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::channel::Channel;
use super::io::{Gone, Unreadable};
use crate::http::App;
use crate::limits::{DRAIN_SPREAD_MS_MAX, DRAIN_SPREAD_PER_SOCKET_US, FINAL_PAUSE_MS};
use crate::wire::close::{self, Close};
use crate::wire::websocket::FrameError;

/// How a socket ends.
pub(super) enum End {
    /// We say why.
    Close(Close),
    /// The client has gone, or does not answer.
    Gone,
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        tracing::debug!(%gone, "a socket is given up");
        Self::Gone
    }
}

impl From<Unreadable> for End {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Gone(gone) => gone.into(),
            Unreadable::TooFast(why) => Close::new(close::TOO_FAST, why).into(),
            Unreadable::Frame(error @ FrameError::TooLarge { .. }) => {
                Close::new(close::TOO_LARGE, error.to_string()).into()
            }
            Unreadable::Frame(error) => Close::new(close::MALFORMED, error.to_string()).into(),
        }
    }
}

/// Counts a socket while it is open, however it ends.
pub(super) struct Open(Arc<App>);

impl Open {
    pub(super) fn new(app: Arc<App>) -> Self {
        app.metrics.sockets_open.inc();
        Self(app)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.sockets_open.dec();
    }
}

/// Counts a socket that we close.
pub(super) fn count_close(app: &App, close: &Close) {
    if (4400..4500).contains(&close.code) {
        app.metrics.sockets_refused.inc();
    }
    if close.code == close::TOO_FAST {
        app.throttle.metrics().sockets_too_fast.inc();
    }
}

/// Says why, and lets the client hear it. The session has left its room by then.
pub(super) async fn refuse(app: &App, channel: impl Channel, close: Close) {
    match close.code {
        close::RESTART => spread_out(app).await,
        // Refused in band, a client does not come back by itself.
        close::OTHER_GENERATION | close::UNAUTHORIZED | close::FORBIDDEN if !channel.is_shared() => {
            sleep(Duration::from_millis(FINAL_PAUSE_MS)).await;
        }
        _ => {}
    }
    refuse_at_once(app, channel, close).await;
}

/// The same without a pause: for clients that wait by themselves before they come back.
pub(super) async fn refuse_at_once(app: &App, channel: impl Channel, close: Close) {
    count_close(app, &close);
    channel.close(close).await;
}

/// A restart sends everyone away; clients come back at once, so they are not sent all at once.
async fn spread_out(app: &App) {
    let sockets = u64::try_from(app.metrics.sockets_open.get()).unwrap_or(0);
    let spread_ms = (sockets * DRAIN_SPREAD_PER_SOCKET_US / 1000).min(DRAIN_SPREAD_MS_MAX);
    sleep(Duration::from_millis(rand::random_range(0..=spread_ms))).await;
}
