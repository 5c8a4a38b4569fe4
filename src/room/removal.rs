//! Removing a room: it is emptied, brought to rest and removed from the log while nobody can enter.
//!
//! Invariants:
//! - Whoever joins finds the room whole, or absent: while it is being removed, joins wait.
//! - Sessions are told that the room is deleted only once it is.
//! - A batch that was under way is decided before the room is removed, or cannot be stored after it.
//! - A room is on the list until it is at rest: one that does not come to rest stays there, so that nobody begins a second
//!   life of it beside the first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::registry::Listed;
use super::{Command, Rooms, Shared};
use crate::history;
use crate::ids::{Position, RoomName};
use crate::kind::RoomKind;
use crate::limits::RETIRE_MS_MAX;
use crate::log::LogError;
use crate::webhooks::{Kind, Notice};
use crate::wire::close::{self, Close};

/// Keeps everyone out of a room while it lives.
pub(crate) struct Reservation {
    rooms: Arc<Rooms>,
    name: RoomName,
    removed: CancellationToken,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.rooms.listed.lock().reserved.remove(&self.name);
        self.removed.cancel();
    }
}

/// What a room's task is asked when the room is to be removed.
pub(super) struct Retire {
    /// Answered when the room ends: whether nothing of it can change the log any more.
    pub(super) at_rest: oneshot::Sender<bool>,
    /// Then says how its sessions end. Dropped if the room is not removed after all.
    pub(super) goodbye: oneshot::Receiver<Close>,
}

impl Retire {
    /// Whether nobody waits for the room to come to rest any more.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.at_rest.is_closed()
    }
}

impl Rooms {
    /// Deletes a room: its sessions are sent away for good, its records and snapshots are gone, and a
    /// tombstone stays under its name. Goes on if the caller goes away. False if there was no such
    /// room; the tombstone is there all the same.
    ///
    /// # Errors
    /// [`LogError`]: the room is as it was (or may be deleted, after [`LogError::Unknown`]); its
    /// sessions were asked to come back.
    pub async fn delete(self: &Arc<Self>, name: &RoomName) -> Result<bool, LogError> {
        if self.stop.is_cancelled() {
            return Err(LogError::Unavailable("the server restarts".to_owned()));
        }
        let deletion = self.tasks.spawn(Arc::clone(self).delete_whole(name.clone()));
        deletion.await.unwrap_or_else(|failed| Err(LogError::Unknown(failed.to_string())))
    }

    /// A board's drafts go with it. They are looked for first: if the store does not say which there are, nothing is deleted. If
    /// the rest is cut off, the deletion that is asked again makes up for it.
    async fn delete_whole(self: Arc<Self>, name: RoomName) -> Result<bool, LogError> {
        let drafts = if self.is_free(&name).await { Vec::new() } else { self.drafts_of(&name).await? };
        let existed = self.delete_one(name).await?;
        for draft in drafts {
            self.delete_one(draft).await?;
        }
        Ok(existed)
    }

    /// Whether a room is known to be no board: then it has no drafts, and nobody has to look through all rooms for them.
    async fn is_free(&self, name: &RoomName) -> bool {
        let Ok(Some(head)) = self.log.open(name).await else { return false };
        let kind = history::kind_of(&*self.log, name, &head).await;
        kind.is_ok_and(|kind| kind == Some(RoomKind::Free))
    }

    async fn delete_one(self: &Arc<Self>, name: RoomName) -> Result<bool, LogError> {
        let (reserved, open) = self.reserve_open(&name).await;
        let goodbye = match open {
            Some(shared) => self.bring_to_rest(&shared).await?,
            None => None,
        };
        let existed = self.delete_from_log(&name).await?;
        if let Some(last) = existed {
            self.options.notices.tell(|| {
                let at_ms = self.now().wall_ms;
                Notice { at_ms, ..Notice::at(Kind::Deleted, &name, last) }
            });
            self.metrics.life.deleted.inc();
            tracing::info!(room = %name.log_id(), "a room is deleted");
        }
        // A room that nothing was stored in has no life that could be over: its sessions may return.
        if let Some(goodbye) = goodbye.filter(|_| existed.is_some()) {
            let _ = goodbye.send(Close::new(close::OTHER_GENERATION, "this room was deleted"));
        }
        drop(reserved);
        Ok(existed.is_some())
    }

    /// Ends the sessions of a room, and the room with them. It stays in the log; who comes next finds it there.
    pub(super) async fn send_away(self: &Arc<Self>, name: &RoomName, close: Close) {
        let (_reserved, open) = self.reserve_open(name).await;
        let Some(shared) = open else { return };
        match self.bring_to_rest(&shared).await {
            Ok(Some(goodbye)) => drop(goodbye.send(close)),
            Ok(None) => {}
            Err(error) => tracing::warn!(room = %name.log_id(), %error, "people could not be sent away"),
        }
    }

    /// Asks the log until it has answered, but not for ever. Returns the newest position of the room, if there was one.
    async fn delete_from_log(&self, name: &RoomName) -> Result<Option<Position>, LogError> {
        // Asked first: after an answer that was lost, the log only knows that there is nothing now.
        let existed = self.log.open(name).await?.map(|head| head.last);
        let mut waits = DELETE_WAITS.iter();
        loop {
            match (self.log.delete(name).await, waits.next()) {
                (Ok(deleted), _) => return Ok(existed.or(deleted.then_some(Position::START))),
                (Err(error), Some(wait)) if error.is_temporary() => {
                    tracing::warn!(room = %name.log_id(), %error, "a room cannot be deleted yet");
                    sleep(*wait).await;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Keeps everyone out of a room. Waits for another removal of it. Returns the room too, if it is open: it is still on
    /// the list.
    async fn reserve_open(self: &Arc<Self>, name: &RoomName) -> (Reservation, Option<Arc<Shared>>) {
        loop {
            let other = {
                let mut listed = self.listed.lock();
                match listed.reserved.get(name) {
                    Some(other) => other.clone(),
                    None => {
                        let open = listed.open.get(name).cloned();
                        return (self.reservation(&mut listed, name), open);
                    }
                }
            };
            other.cancelled().await;
        }
    }

    /// Brings an open room to rest and takes it off the list. Returns where to say how its sessions end; `None` if it has
    /// ended by itself.
    ///
    /// # Errors
    /// [`LogError::Unavailable`]: it is on the list as before. A room that is too busy goes on once it comes to it.
    async fn bring_to_rest(&self, shared: &Arc<Shared>) -> Result<Option<oneshot::Sender<Close>>, LogError> {
        let goodbye = retire(shared).await?;
        self.forget(shared);
        Ok(goodbye)
    }

    /// Keeps everyone out of a room that is not open. `None` if it is, or is being removed.
    pub(crate) fn reserve_closed(self: &Arc<Self>, name: &RoomName) -> Option<Reservation> {
        let mut listed = self.listed.lock();
        let free = !listed.open.contains_key(name) && !listed.reserved.contains_key(name);
        free.then(|| self.reservation(&mut listed, name))
    }

    fn reservation(self: &Arc<Self>, listed: &mut Listed, name: &RoomName) -> Reservation {
        let removed = CancellationToken::new();
        listed.reserved.insert(name.clone(), removed.clone());
        Reservation { rooms: Arc::clone(self), name: name.clone(), removed }
    }
}

/// Asks a room to come to rest. One that has not heard it in time does not any more: the question is withdrawn.
async fn retire(shared: &Shared) -> Result<Option<oneshot::Sender<Close>>, LogError> {
    let (at_rest, resting) = oneshot::channel();
    let (goodbye, heard) = oneshot::channel();
    if shared.inbox.send(Command::Retire(Retire { at_rest, goodbye: heard })).is_err() {
        return Ok(None);
    }
    match timeout(Duration::from_millis(RETIRE_MS_MAX), resting).await {
        Ok(Ok(true)) => Ok(Some(goodbye)),
        Ok(Ok(false)) => Err(LogError::Unavailable("the room's first batch is not decided yet".to_owned())),
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(LogError::Unavailable("the room does not come to rest".to_owned())),
    }
}

/// Between tries to delete a room.
const DELETE_WAITS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1)];
