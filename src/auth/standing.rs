//! A live session's right to go on: until its token expires or is revoked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Auth;
use crate::caller::Caller;
use crate::clock::wall_ms;
use crate::ids::RoomName;
use crate::limits::STANDING_LOOK_MS;
use crate::wire::close::{self, Close};

/// How a right ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Its time is over: a new token brings it back.
    #[error("the token has expired")]
    Expired,
    /// It was taken back.
    #[error("the token is revoked")]
    Revoked,
}

impl Ended {
    /// How a socket says so.
    #[must_use]
    pub fn close(self) -> Close {
        let code = match self {
            Self::Expired => close::EXPIRED,
            Self::Revoked => close::UNAUTHORIZED,
        };
        Close::new(code, self.to_string())
    }
}

/// One session's right, by the token that it came with. Whoever came without one, where none is needed, stays.
pub struct Standing {
    auth: Arc<Auth>,
    caller: Arc<Caller>,
    room: RoomName,
    changes: watch::Receiver<u64>,
    /// Another token of the same caller, if its client has sent one since.
    renewed: Option<watch::Receiver<Arc<Caller>>>,
    /// As it was found the last time.
    ended: Option<Ended>,
}

impl Standing {
    /// The right of somebody who was admitted to a room.
    #[must_use]
    pub fn new(auth: &Arc<Auth>, caller: &Arc<Caller>, room: &RoomName) -> Self {
        let mut changes = auth.revoked.changes();
        // What was revoked since the caller was admitted is looked at once.
        changes.mark_changed();
        Self {
            auth: Arc::clone(auth),
            caller: Arc::clone(caller),
            room: room.clone(),
            changes,
            renewed: None,
            ended: None,
        }
    }

    /// Who it is, as of the token that the session came with.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Which room it is about.
    #[must_use]
    pub fn room(&self) -> &RoomName {
        &self.room
    }

    /// Lets a client send a new token over a session that is open.
    pub fn renewal(&mut self) -> Renewal {
        let (renewal, renewed) = watch::channel(Arc::clone(&self.caller));
        self.renewed = Some(renewed);
        Renewal(renewal)
    }

    /// Asked before anything of the session is taken in. Costs some nanoseconds while nothing has changed.
    ///
    /// # Errors
    /// [`Ended`], from then on for ever.
    pub fn check(&mut self) -> Result<(), Ended> {
        self.renew();
        let expires = self.caller.expires_ms.is_some();
        if self.ended.is_none() && (expires || self.changes.has_changed().unwrap_or(false)) {
            self.look(wall_ms());
        }
        self.ended.map_or(Ok(()), Err)
    }

    /// Whether it never ends: of somebody without a token, where none is needed.
    #[must_use]
    pub fn is_for_ever(&self) -> bool {
        self.caller.user.is_none() && self.caller.expires_ms.is_none()
    }

    /// Resolves when the right has ended; for those who always have it, never. Cancel-safe.
    pub async fn ended(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.check() {
                return ended;
            }
            if self.is_for_ever() {
                return std::future::pending().await;
            }
            let left_ms = self.caller.expires_ms.map_or(u64::MAX, |at| at.saturating_sub(wall_ms()));
            let wait = Duration::from_millis(left_ms.clamp(1, STANDING_LOOK_MS));
            tokio::select! {
                () = sleep(wait) => {}
                // The sender lives in `auth`, which is held.
                _ = self.changes.changed() => self.changes.mark_changed(),
                () = until_renewed(&mut self.renewed) => {}
            }
        }
    }

    /// Goes on with the newest token.
    fn renew(&mut self) {
        let Some(renewed) = &mut self.renewed else { return };
        if renewed.has_changed().unwrap_or(false) {
            self.caller = Arc::clone(&renewed.borrow_and_update());
            self.changes.mark_changed();
        }
    }

    fn look(&mut self, now_ms: u64) {
        let changed = self.changes.has_changed().unwrap_or(false);
        if changed {
            self.changes.mark_unchanged();
        }
        if self.caller.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
            self.ended = Some(Ended::Expired);
        } else if changed && self.auth.is_revoked(&self.caller, &self.room, now_ms) {
            self.ended = Some(Ended::Revoked);
        }
    }
}

/// The other end of a [`Standing`]: new tokens for a session that is open.
#[derive(Debug, Clone)]
pub struct Renewal(watch::Sender<Arc<Caller>>);

impl Renewal {
    /// When the newest token of the session expires, in milliseconds since 1970.
    #[must_use]
    pub fn expires_ms(&self) -> Option<u64> {
        self.0.borrow().expires_ms
    }

    /// The session goes on by a token that was admitted to its room, if it is the same user's and for the same. False if not:
    /// what others see of a session does not change while it is open.
    #[must_use]
    pub fn renew(&self, caller: &Arc<Caller>) -> bool {
        let before = Arc::clone(&self.0.borrow());
        let same = before.user == caller.user && before.role == caller.role;
        if same {
            let _ = self.0.send(Arc::clone(caller));
        }
        same
    }
}

/// Ends when there is another token. Without anybody who could send one, never.
async fn until_renewed(renewed: &mut Option<watch::Receiver<Arc<Caller>>>) {
    let Some(receiver) = renewed else { return std::future::pending().await };
    // `renew` takes it from there.
    match receiver.changed().await {
        Ok(()) => receiver.mark_changed(),
        Err(_) => std::future::pending().await,
    }
}
