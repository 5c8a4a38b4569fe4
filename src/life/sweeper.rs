//! The sweeper: one task per instance that goes through all rooms, closed ones among them, and
//! removes those whose time has passed. `deadline` decides which. Those that stay are compacted if
//! they were left with more than is worth keeping as it is: by a crash, or while their store was away.
//!
//! It rests between pages of names, so that a store with many rooms notices little of it, and looks
//! at the clocks more often than it sweeps.

mod drafts;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::archive::{Archive, ArchiveError};
use super::deadline::{Now, Sweeps, is_expiring, left_ms};
use super::in_ms;
use crate::history::{Compacted, Outcome, Tail};
use crate::ids::{Position, RoomName};
use crate::limits::{
    CLOCK_LOOK_MS, EXPIRY_WARNING_MS, SWEEP_DUE_MAX, SWEEP_MS, SWEEP_PAGE_ROOMS, SWEEP_PAUSE_MS,
};
use crate::log::{Head, Log, LogError};
use crate::room::Rooms;
use crate::webhooks::{Kind, Notice};

/// Goes through the rooms of a store.
pub struct Sweeper {
    rooms: Arc<Rooms>,
    log: Arc<dyn Log>,
    archive: Option<Archive>,
    sweeps: Sweeps,
    /// Rooms that could not be compacted up to here: not tried again before they have changed. Only
    /// rooms with trouble are in it.
    not_compacted: HashMap<RoomName, Position>,
    /// Rooms whose deadline is near, with the deadline that was told of.
    warned: HashMap<RoomName, u64>,
    /// The archive has failed in this sweep: the other rooms are not even tried, nor each reported.
    archive_fails: bool,
}

/// What one sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Rooms looked at.
    pub rooms: u64,
    /// Rooms that are gone.
    pub expired: u64,
    /// Closed rooms that got a snapshot.
    pub compacted: u64,
    /// Rooms that were to go and stay: they could not be archived, or not be removed.
    pub kept: u64,
}

/// Why a room that may go stays.
#[derive(Debug, thiserror::Error)]
enum Stays {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Log(#[from] LogError),
    /// Somebody is back: no failure.
    #[error("it is in use again")]
    InUse,
}

impl Sweeper {
    /// A sweeper for the rooms of this instance. Its time without expiry begins now.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>) -> Self {
        let options = &rooms.options;
        let archive = options.life.archive.as_deref().map(Archive::at);
        let now = options.life.clocks.now();
        let sweeps = Sweeps::new(options.ttl.map(in_ms), in_ms(options.life.grace), now);
        Self {
            log: Arc::clone(&rooms.log),
            archive,
            sweeps,
            not_compacted: HashMap::new(),
            warned: HashMap::new(),
            archive_fails: false,
            rooms,
        }
    }

    /// Sweeps now and then until the rooms are stopped. A room that is on its way out is finished.
    pub async fn run(mut self) {
        let stop = self.rooms.stop.clone();
        let mut due = Instant::now() + Duration::from_millis(SWEEP_MS);
        loop {
            let look = Instant::now() + Duration::from_millis(CLOCK_LOOK_MS);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(look.min(due)) => {}
            }
            self.look_at_clocks();
            if due <= Instant::now() {
                if let Err(error) = self.sweep().await {
                    tracing::warn!(%error, "a sweep over the rooms has ended early");
                }
                due = Instant::now() + Duration::from_millis(SWEEP_MS);
            }
        }
    }

    /// Looks at every room once.
    ///
    /// # Errors
    /// The store cannot be read now. What fails in one room is reported, and no error.
    pub async fn sweep(&mut self) -> Result<Swept, LogError> {
        let mut swept = Swept::default();
        let mut after: Option<RoomName> = None;
        self.sweeps.begin();
        // Of rooms that went some other way nobody says so here.
        let long_ago_ms = self.look_at_clocks().wall_ms.saturating_sub(2 * EXPIRY_WARNING_MS);
        self.warned.retain(|_, deadline_ms| *deadline_ms > long_ago_ms);
        self.warned.shrink_to(2 * self.warned.len());
        self.archive_fails = false;
        loop {
            let page = self.log.rooms(after.as_ref(), SWEEP_PAGE_ROOMS).await?;
            if page.is_empty() {
                tracing::debug!(?swept, "all rooms are swept");
                return Ok(swept);
            }
            for room in &page {
                if self.rooms.stop.is_cancelled() {
                    return Ok(swept);
                }
                swept.rooms += 1;
                self.visit(room, &mut swept).await?;
            }
            after = page.last().cloned();
            if page.len() == SWEEP_PAGE_ROOMS {
                sleep(Duration::from_millis(SWEEP_PAUSE_MS)).await;
            }
        }
    }

    /// Looks at one room: what is open is its own task's business.
    async fn visit(&mut self, room: &RoomName, swept: &mut Swept) -> Result<(), LogError> {
        match self.keep_together(room).await {
            Err(error) if error.is_temporary() => return Err(error),
            Err(error) => {
                tracing::warn!(room = %room.log_id(), %error, "a draft cannot be kept with its board")
            }
            Ok(()) => {}
        }
        if self.rooms.is_open(room) {
            self.sweeps.forget(room);
            return Ok(());
        }
        match self.log.open(room).await {
            Ok(Some(head)) => self.on_closed(room, &head, swept).await,
            Ok(None) => {
                self.sweeps.forget(room);
                self.not_compacted.remove(room);
            }
            Err(error) if error.is_temporary() => return Err(error),
            Err(error) => tracing::warn!(room = %room.log_id(), %error, "a room cannot be looked at"),
        }
        Ok(())
    }

    /// A room that nobody is in.
    async fn on_closed(&mut self, room: &RoomName, head: &Head, swept: &mut Swept) {
        let now = self.look_at_clocks();
        self.warn(room, head, now);
        let Some(deadline_ms) = self.sweeps.on_closed(room, head, now) else {
            return self.compact(room, head, swept).await;
        };
        if self.archive_fails {
            swept.kept += 1;
            return;
        }
        let removed = self.remove(room, head, deadline_ms).await;
        let (metrics, room_id) = (&self.rooms.metrics.life, room.log_id());
        match removed {
            Ok(()) => {
                self.sweeps.forget(room);
                metrics.expired.inc();
                swept.expired += 1;
                self.warned.remove(room);
                let notice = || Notice { at_ms: now.wall_ms, ..Notice::at(Kind::Expired, room, head.last) };
                self.rooms.options.notices.tell(notice);
                tracing::info!(room = %room_id, "a room's time has passed: it is gone");
            }
            Err(Stays::InUse | Stays::Archive(ArchiveError::Changed)) => self.sweeps.forget(room),
            Err(stays @ Stays::Archive(_)) => {
                metrics.archive_failures.inc();
                swept.kept += 1;
                self.archive_fails = matches!(stays, Stays::Archive(ArchiveError::Io(_)));
                tracing::error!(
                    room = %room_id, %stays,
                    "a room's time has passed, but it stays, and so do others: its export cannot be kept"
                );
            }
            Err(stays @ Stays::Log(_)) => {
                swept.kept += 1;
                tracing::warn!(room = %room_id, %stays, "a room's time has passed, but it cannot be removed now");
            }
        }
    }

    /// Tells once of each deadline that is near.
    fn warn(&mut self, room: &RoomName, head: &Head, now: Now) {
        let is_near = |deadline_ms: &u64| is_expiring(left_ms(*deadline_ms, now.wall_ms));
        let Some(deadline_ms) = head.deadline_ms.filter(is_near).filter(|_| self.rooms.options.ttl.is_some())
        else {
            self.warned.remove(room);
            return;
        };
        if self.warned.len() >= SWEEP_DUE_MAX || self.warned.get(room) == Some(&deadline_ms) {
            return;
        }
        self.warned.insert(room.clone(), deadline_ms);
        self.rooms.options.notices.tell(|| Notice {
            at_ms: now.wall_ms,
            expires_ms: Some(deadline_ms),
            ..Notice::at(Kind::Expiring, room, head.last)
        });
    }

    /// Compacts a closed room that stays, if it has enough behind its newest snapshot.
    async fn compact(&mut self, room: &RoomName, head: &Head, swept: &mut Swept) {
        let tail = Tail::of(head).since(head.snapshots.last().map(Tail::covered_by).unwrap_or_default());
        let tried = self.not_compacted.get(room) == Some(&head.last);
        if head.frozen || tried || !tail.is_worth_it() {
            return;
        }
        // How it went is reported there.
        match self.rooms.compact(room).await {
            Ok(Some(Ok(Compacted { outcome: Outcome::Written(_), .. }))) => {
                self.not_compacted.remove(room);
                swept.compacted += 1;
            }
            Ok(None) => {} // it is under way already
            _ => {
                self.not_compacted.insert(room.clone(), head.last);
            }
        }
    }

    /// Archives a room, then removes it, if it is still as it was.
    async fn remove(&self, room: &RoomName, head: &Head, deadline_ms: u64) -> Result<(), Stays> {
        // Before the room is reserved: people who come back meanwhile do not wait for it.
        let kept = match &self.archive {
            Some(archive) => Some((archive, archive.keep(&self.log, room, head).await?)),
            None => None,
        };
        let removed = self.remove_unchanged(room, head, deadline_ms).await;
        match (&removed, kept) {
            // Without an answer it may be gone, and the export all that is left of it.
            (Ok(()) | Err(Stays::Log(LogError::Unknown(_))), _) | (_, None) => {}
            (Err(_), Some((archive, file))) => self.forget_export(room, head, archive, &file).await,
        }
        removed
    }

    /// Removes a room that is as `head` says. Nobody can enter it meanwhile.
    async fn remove_unchanged(&self, room: &RoomName, head: &Head, deadline_ms: u64) -> Result<(), Stays> {
        let _reserved = self.rooms.reserve_closed(room).ok_or(Stays::InUse)?;
        let unchanged = self.log.open(room).await?.is_some_and(|now| now == *head);
        if unchanged && self.log.expire(room, deadline_ms).await? { Ok(()) } else { Err(Stays::InUse) }
    }

    /// An export was kept of a room that did not expire here. It goes if the room lives, or was deleted;
    /// otherwise another instance has removed the room, and relies on this very file.
    async fn forget_export(&self, room: &RoomName, head: &Head, archive: &Archive, file: &Path) {
        let of_no_use = match self.log.open(room).await {
            Ok(Some(now)) => now.last >= head.last,
            Ok(None) => {
                let tombstone = self.log.tombstone(room).await.ok().flatten();
                tombstone.is_some_and(|tombstone| tombstone.deleted_ms >= head.last.ms)
            }
            Err(_) => false,
        };
        if of_no_use {
            archive.forget(file).await;
        }
    }

    /// Reads both clocks, and notices when one has run away from the other.
    fn look_at_clocks(&mut self) -> Now {
        let clocks = &self.rooms.options.life.clocks;
        let now = clocks.now();
        if let Some(jump_ms) = self.sweeps.on_clock(now) {
            tracing::error!(
                jump_s = jump_ms / 1000, ttl = ?self.rooms.options.ttl,
                "the clock has jumped: no room expires until one --room-ttl has passed since"
            );
        }
        self.rooms.metrics.life.expiry_suspended.set(i64::from(self.sweeps.is_suspended(now.steady_ms)));
        now
    }
}
