//! Which tokens do not count any more, though their signatures hold.
//!
//! Pure but for the lock. The list only grows, until the tokens that its entries are about have expired: entries of
//! several instances are merged by putting them together, in any order, any number of times.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::caller::Caller;
use crate::ids::RoomName;
use crate::limits::{NOTES_MAX, TOKEN_ID_BYTES_MAX, USER_ID_BYTES_MAX};

/// By so much the clocks of instances and issuers may be wrong.
const CLOCK_SLACK_MS: u64 = 3_600_000;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// One token, by its claim `jti`.
    Token(Arc<str>),
    /// All tokens of a user, by the claim `sub`.
    User(Arc<str>),
}

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Which tokens.
    pub target: Target,
    /// Where; `None`: everywhere.
    pub room: Option<RoomName>,
    /// Of these only those that were issued before this, in ms since 1970; tokens that do not say when count as such.
    pub issued_before_ms: u64,
    /// When no such token is left that has not expired.
    pub until_ms: u64,
}

/// Why a revocation is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// It could never match.
    #[error("a token's id has 1 to {TOKEN_ID_BYTES_MAX} bytes, a user's {USER_ID_BYTES_MAX}")]
    Target,
    /// Not what [`Revocation::to_bytes`] makes.
    #[error("it is not of the form of a revocation")]
    Form,
}

/// As it is stored. Fields are added, never changed.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    target: Target,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    before: u64,
    until: u64,
}

impl Revocation {
    /// Takes tokens back. `issued_before_ms`: see there; `None`: all of a token's, and of a user those issued until now.
    /// No token lives longer than `life_ms_max`.
    ///
    /// # Errors
    /// [`RevocationError::Target`]
    pub fn new(
        target: Target,
        room: Option<RoomName>,
        issued_before_ms: Option<u64>,
        now_ms: u64,
        life_ms_max: u64,
    ) -> Result<Self, RevocationError> {
        let issued_before_ms = issued_before_ms.unwrap_or(match target {
            Target::Token(_) => u64::MAX,
            Target::User(_) => now_ms,
        });
        // A clock that is set back makes nothing valid that was revoked.
        let last_issued_ms = match target {
            Target::Token(_) => now_ms,
            Target::User(_) => issued_before_ms.clamp(now_ms, now_ms.saturating_add(life_ms_max)),
        };
        let until_ms = last_issued_ms.saturating_add(life_ms_max).saturating_add(CLOCK_SLACK_MS);
        let revocation = Self { target, room, issued_before_ms, until_ms };
        revocation.check()?;
        Ok(revocation)
    }

    fn check(&self) -> Result<(), RevocationError> {
        let (text, bytes_max) = match &self.target {
            Target::Token(id) => (id, TOKEN_ID_BYTES_MAX),
            Target::User(user) => (user, USER_ID_BYTES_MAX),
        };
        if text.is_empty() || text.len() > bytes_max { Err(RevocationError::Target) } else { Ok(()) }
    }

    /// As all instances read it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = Stored {
            target: self.target.clone(),
            room: self.room.as_ref().map(|room| room.as_str().to_owned()),
            before: self.issued_before_ms,
            until: self.until_ms,
        };
        serde_json::to_vec(&stored).expect("texts and numbers are JSON")
    }

    /// Back from [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`RevocationError`]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RevocationError> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_| RevocationError::Form)?;
        let room = stored.room.map(|room| RoomName::parse(&room)).transpose();
        let revocation = Self {
            target: stored.target,
            room: room.map_err(|_| RevocationError::Form)?,
            issued_before_ms: stored.before,
            until_ms: stored.until,
        };
        revocation.check()?;
        Ok(revocation)
    }

    fn covers(&self, caller: &Caller, room: Option<&RoomName>, now_ms: u64) -> bool {
        // What is taken back in one room only is still good elsewhere.
        let here = self.room.is_none() || (room.is_some() && self.room.as_ref() == room);
        here && caller.issued_ms < self.issued_before_ms && now_ms < self.until_ms
    }
}

/// All revocations that are known here.
pub(super) struct Revoked {
    list: RwLock<List>,
    /// Counts changes, for those who are in already.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct List {
    by_id: HashMap<u128, Revocation>,
    /// Ids, since a caller may be meant by several.
    by_target: HashMap<Target, Vec<u128>>,
}

impl Default for Revoked {
    fn default() -> Self {
        Self { list: RwLock::default(), changed: watch::channel(0).0 }
    }
}

impl Revoked {
    pub(super) fn covers(&self, caller: &Caller, room: &RoomName, now_ms: u64) -> bool {
        self.list.read().covers(caller, Some(room), now_ms)
    }

    /// The same for what is about all rooms.
    pub(super) fn covers_everywhere(&self, caller: &Caller, now_ms: u64) -> bool {
        self.list.read().covers(caller, None, now_ms)
    }

    /// Adds what is new. False if the list is full.
    pub(super) fn add(&self, id: u128, revocation: Revocation) -> bool {
        let mut list = self.list.write();
        if list.by_id.contains_key(&id) {
            return true;
        }
        if list.by_id.len() >= NOTES_MAX {
            return false;
        }
        list.by_target.entry(revocation.target.clone()).or_default().push(id);
        list.by_id.insert(id, revocation);
        drop(list);
        self.changed.send_modify(|count| *count += 1);
        true
    }

    /// Forgets what is about tokens that have expired.
    pub(super) fn forget_expired(&self, now_ms: u64) {
        let mut list = self.list.write();
        if list.by_id.values().all(|revocation| now_ms < revocation.until_ms) {
            return;
        }
        let List { by_id, by_target } = &mut *list;
        by_id.retain(|_, revocation| now_ms < revocation.until_ms);
        by_target.retain(|_, ids| {
            ids.retain(|id| by_id.contains_key(id));
            !ids.is_empty()
        });
    }

    pub(super) fn all(&self) -> Vec<(u128, Revocation)> {
        self.list.read().by_id.iter().map(|(id, revocation)| (*id, revocation.clone())).collect()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl List {
    fn covers(&self, caller: &Caller, room: Option<&RoomName>, now_ms: u64) -> bool {
        if self.by_id.is_empty() {
            return false;
        }
        let targets = [caller.token.clone().map(Target::Token), caller.user.clone().map(Target::User)];
        let ids = targets.iter().flatten().filter_map(|target| self.by_target.get(target)).flatten();
        ids.filter_map(|id| self.by_id.get(id)).any(|revocation| revocation.covers(caller, room, now_ms))
    }
}
