//! The last word on a copy from another life of the room.
//!
//! It is final for whoever gets it, so it is said only by who knows the newest of the log: somebody who has been with another
//! instance may know of a life that this one has not heard of yet. Until it has, they are asked to come back.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::order::is_current;
use super::Actor;
use crate::generation::GenerationError;
use crate::limits::{BEAT_MS, VERDICT_LOOK_MS};
use crate::log::bus::Seen;
use crate::wire::close::{self, Close};

/// How far the log went when a copy was last doubted, and when that was.
pub(super) struct Doubt {
    head: Seen,
    at: Instant,
}

impl Actor {
    /// What ends a session that has no place in this life of the room, as far as it is known here.
    pub(super) async fn verdict(&mut self, error: &GenerationError) -> Close {
        let close = error.close();
        if close.code != close::OTHER_GENERATION || !self.line.hears() || self.knows_the_newest().await {
            return close;
        }
        self.start_reading();
        Close::new(close::BUSY, "this room has changed and is being read: come back")
    }

    /// Whether all is known here that was in the log now, or when another copy was doubted not long ago: a busy log is always a
    /// little ahead.
    async fn knows_the_newest(&mut self) -> bool {
        let asked = self.rooms.log.open(&self.shared.name);
        // A store that does not answer must not keep the room.
        let Ok(Ok(head)) = timeout(Duration::from_millis(VERDICT_LOOK_MS), asked).await else { return false };
        let head = head.map_or(Seen::default(), |head| Seen { last: head.last, epoch: head.epoch });
        let now = Instant::now();
        let fresh = Duration::from_millis(BEAT_MS);
        let then = self.doubt.as_ref().filter(|doubt| now - doubt.at < fresh).map(|doubt| doubt.head);
        let is_current = is_current(self.state().seen(), head, then);
        if !is_current && then.is_none() {
            self.doubt = Some(Box::new(Doubt { head, at: now }));
        }
        is_current
    }
}
