//! Who owns which client id, and whose new blocks a session may therefore bring.
//!
//! A client id becomes a user's when one of the user's sessions is the first to write under it, and it is clear
//! that it writes as itself: it shows itself under that id, or it edits live and has no id yet. It stays the
//! user's for the life of the room. While the owner is here, on whichever instance, new blocks come
//! from the owner only; of an owner who is away others may honestly have what nobody stored (a copy in a
//! browser, another way from person to person).
//!
//! Without identity there are no owners, and nothing here is asked: see [`Owners::is_off`].
//!
//! Invariants:
//! - An id has one owner: the first claim in the order of the log counts, as in every fold of it.
//! - What is shown and what is written belong to one person: an id that a user is here under cannot be claimed
//!   by another one, and an owned id cannot be announced by another one.

mod metrics;
mod writers;

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::presence::Presence;
use crate::caller::UserId;
use crate::history::Wrote;
use crate::ids::{ClientId, SessionId};
pub use metrics::Metrics as OwnerMetrics;

/// The owners in one room, shared by its state and its sessions.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// Locked behind `inner` or alone, never before it.
    presence: Arc<Mutex<Presence>>,
    /// Nothing in a room without identities: most rooms of an open server are quiet, and small.
    inner: Mutex<Option<Box<Inner>>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By records that are stored.
    stored: HashMap<ClientId, UserId>,
    /// By records on their way into the log.
    in_flight: HashMap<ClientId, UserId>,
    /// Who was the first to bring ids that may be anybody's: the only one who can still claim them.
    brought: HashMap<ClientId, UserId>,
    /// Sessions of this instance that have an identity.
    seated: HashMap<SessionId, Seated>,
    /// How many of them each user has.
    connected: HashMap<UserId, usize>,
    /// By stored records.
    wrote: Wrote,
}

#[derive(Debug)]
struct Seated {
    user: UserId,
    /// The id that the session writes as.
    own: Option<ClientId>,
}

/// A session that brings something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bringer<'a> {
    pub(crate) session: SessionId,
    pub(crate) user: Option<&'a UserId>,
}

/// What is to be written down of who made an update.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attribution {
    /// Who made it; the bringer, where several did.
    pub(crate) user: Option<UserId>,
    /// Who brought it, where others made it, or a part of it.
    pub(crate) relayed_by: Option<UserId>,
    /// Ids that are the bringer's from here on.
    pub(crate) claims: Vec<ClientId>,
}

impl Owners {
    pub(crate) fn new(presence: Arc<Mutex<Presence>>) -> Self {
        Self { presence, inner: Mutex::default() }
    }

    /// A session with an identity has come.
    pub(crate) fn seat(&self, session: SessionId, user: Option<&UserId>) {
        let Some(user) = user else { return };
        let mut inner = self.inner.lock();
        let Inner { seated, connected, .. } = &mut **inner.get_or_insert_default();
        seated.insert(session, Seated { user: Arc::clone(user), own: None });
        *connected.entry(Arc::clone(user)).or_insert(0) += 1;
    }

    /// A session has gone.
    pub(crate) fn leave(&self, session: SessionId) {
        let mut inner = self.inner.lock();
        let Some(Inner { seated, connected, .. }) = inner.as_deref_mut() else { return };
        let Some(Seated { user, .. }) = seated.remove(&session) else { return };
        if let Some(count) = connected.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                connected.remove(&user);
            }
        }
    }

    /// Nobody here has, or had, an identity: there is nothing to judge and nothing to write down.
    pub(crate) fn is_off(&self) -> bool {
        self.inner.lock().as_ref().is_none_or(|inner| {
            inner.seated.is_empty() && inner.stored.is_empty() && inner.in_flight.is_empty()
        })
    }

    /// Claims of stored records, in the order of the log.
    pub(crate) fn learn(&self, claims: impl IntoIterator<Item = (ClientId, UserId)>) {
        let mut inner = self.inner.lock();
        for (client, user) in claims {
            let inner = inner.get_or_insert_default();
            inner.in_flight.remove(&client);
            inner.stored.entry(client).or_insert(user);
        }
    }

    /// Claims of stored records that come before all that are known here.
    pub(crate) fn overrule(&self, claims: impl IntoIterator<Item = (ClientId, UserId)>) {
        let mut inner = self.inner.lock();
        if let Some(inner) = inner.as_mut() {
            inner.in_flight.clear();
        }
        for (client, user) in claims {
            inner.get_or_insert_default().stored.insert(client, user);
        }
    }

    /// Claims of a record that is on its way into the log.
    pub(crate) fn pend(&self, claims: &[(ClientId, UserId)]) {
        let mut inner = self.inner.lock();
        let Inner { in_flight, brought, .. } = &mut **inner.get_or_insert_default();
        for (client, user) in claims {
            brought.remove(client);
            in_flight.entry(*client).or_insert_with(|| Arc::clone(user));
        }
    }

    /// What was on its way is dropped.
    pub(crate) fn revert(&self) {
        if let Some(inner) = self.inner.lock().as_mut() {
            inner.in_flight.clear();
        }
    }

    /// All that are stored, for who goes on with them.
    pub(crate) fn stored(&self) -> Vec<(ClientId, UserId)> {
        let inner = self.inner.lock();
        let stored = inner.iter().flat_map(|inner| &inner.stored);
        stored.map(|(client, user)| (*client, Arc::clone(user))).collect()
    }

    /// Who owns an id.
    pub(crate) fn owner(&self, client: ClientId) -> Option<UserId> {
        self.inner.lock().as_ref()?.owner(client).cloned()
    }

    /// Those of these ids that are another user's than this one's.
    pub(crate) fn taken(
        &self,
        user: Option<&UserId>,
        clients: impl Iterator<Item = ClientId>,
    ) -> Vec<ClientId> {
        let inner = self.inner.lock();
        let owns = |inner: &&Inner| !inner.stored.is_empty() || !inner.in_flight.is_empty();
        let Some(inner) = inner.as_deref().filter(owns) else { return Vec::new() };
        clients.filter(|client| inner.owner(*client).is_some_and(|owner| Some(owner) != user)).collect()
    }

    /// Those of these clients, of which the bringer has new blocks, whose own people are here: they are
    /// not the bringer's to bring.
    pub(crate) fn foreign(&self, by: Bringer<'_>, new: impl Iterator<Item = ClientId>) -> Vec<ClientId> {
        let inner = self.inner.lock();
        let Some(inner) = inner.as_deref() else { return Vec::new() };
        // Whom presence shows takes a look at all of it: once for each owner.
        let mut shown = HashMap::new();
        let is_foreign = |client: &ClientId| match inner.owner(*client) {
            Some(owner) if Some(owner) == by.user => false,
            Some(owner) if inner.connected.contains_key(owner) => true,
            Some(owner) => *shown.entry(owner).or_insert_with(|| self.presence.lock().shows(owner)),
            None => self.presence.lock().holder(*client).is_some_and(|holder| holder != by.user),
        };
        new.filter(is_foreign).collect()
    }

    /// Who made what was admitted (each client with its first new clock), and what of it the bringer owns
    /// from now on. `is_edit`: it came as an edit comes, one client's new blocks and nothing that was known. A copy may
    /// hold what others have made, and tells nothing.
    pub(crate) fn attribute(
        &self,
        by: Bringer<'_>,
        is_edit: bool,
        admitted: impl Iterator<Item = (ClientId, u32)>,
    ) -> Attribution {
        let Some(user) = by.user else { return Attribution::default() };
        let mut inner = self.inner.lock();
        let inner = &mut **inner.get_or_insert_default();
        let (mut mine, mut unclear, mut claims) = (Vec::new(), Vec::new(), Vec::new());
        let (mut others, mut several) = (None::<UserId>, false);
        for (client, from) in admitted {
            match inner.owner(client) {
                Some(owner) if owner == user => mine.push(client),
                Some(owner) => {
                    several |= others.replace(Arc::clone(owner)).is_some_and(|before| before != *owner)
                }
                None if !inner.is_first(client, from, user) => unclear.push((client, false)),
                None => {
                    let presence = self.presence.lock();
                    let is_shown = presence.holder(client).is_some_and(|holder| holder == by.user);
                    if is_shown {
                        claims.push(client);
                    } else {
                        unclear.push((client, !presence.was_of_another(client, by.user)));
                    }
                }
            }
        }
        if let Some(seated) = inner.seated.get_mut(&by.session).filter(|_| is_edit) {
            if let [(client, true)] = unclear[..]
                && seated.own.is_none()
            {
                claims.push(client);
                unclear.clear();
            }
            seated.own = mine.first().or(claims.first()).copied().or(seated.own);
        }
        for (client, _) in &unclear {
            inner.brought.entry(*client).or_insert_with(|| Arc::clone(user));
        }
        let (bringer, partly) = (Some(Arc::clone(user)), mine.len() + unclear.len() + claims.len() > 0);
        match others {
            None => Attribution { user: bringer, relayed_by: None, claims },
            Some(owner) if !partly && !several => {
                Attribution { user: Some(owner), relayed_by: bringer, claims }
            }
            Some(_) => Attribution { user: bringer.clone(), relayed_by: bringer, claims },
        }
    }
}

impl Inner {
    fn owner(&self, client: ClientId) -> Option<&UserId> {
        self.stored.get(&client).or_else(|| self.in_flight.get(&client))
    }

    /// Whether nobody else has brought blocks of a client before these.
    fn is_first(&self, client: ClientId, from: u32, user: &UserId) -> bool {
        from == 0 || self.brought.get(&client) == Some(user)
    }
}
