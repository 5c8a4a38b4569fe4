//! A session in which little is said: keepalives, and who does not answer any more.

use std::time::Duration;

use tokio::time::Instant;

use super::Shell;
use super::channel::Channel;
use super::end::End;
use crate::limits::{HALF_OPEN_BEATS, LATE_ANSWER_MS, PING_BEATS};
use crate::wire::y_websocket;

impl<C: Channel> Shell<C> {
    /// A client that waits for an answer hears a keepalive while that is late, whatever it asks meanwhile.
    pub(super) fn keep_waiting(&mut self) {
        if !self.greeted || !self.session.owes_answer() {
            self.late_due = None;
            return;
        }
        let now = Instant::now();
        let due = *self.late_due.get_or_insert(now + Duration::from_millis(LATE_ANSWER_MS));
        if due <= now && self.out.is_empty() {
            self.say(y_websocket::KEEPALIVE);
        }
    }

    /// Keeps clients that hear nothing from giving up, and notices those that are gone. Beats that
    /// pass while we are stuck in a write count as one: we could not have heard an answer.
    pub(super) async fn on_beat(&mut self) -> Result<(), End> {
        if std::mem::replace(&mut self.quiet, true) && self.out.is_empty() {
            self.say(y_websocket::KEEPALIVE);
        }
        if self.channel.is_shared() {
            return Ok(());
        }
        // Who is not read cannot be heard.
        self.deaf_beats = if self.channel.is_held_back() { 0 } else { self.deaf_beats + 1 };
        if self.deaf_beats >= HALF_OPEN_BEATS {
            self.app.metrics.sockets_half_open.inc();
            return Err(End::Gone);
        }
        if self.deaf_beats >= PING_BEATS {
            self.channel.ping().await?;
        }
        Ok(())
    }
}
