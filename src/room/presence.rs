//! Who is here: the awareness states of one room. Never in the log.
//!
//! Written for servers: y-protocols' own map has no owners and no bounds, and answers echoes.
//! Time is an argument, in milliseconds of any steady clock.
//!
//! Invariants:
//! - A state is taken only if its clock is newer than the known one. y-websocket clients send back
//!   every state they receive; such echoes change nothing and are never relayed.
//! - An id belongs to the user who announced it last, and of a user with an identity it is remembered as
//!   long as there is place. What others say of it is dropped silently: they may only pass on, late, what
//!   they were shown. All who have no identity are one user.
//! - What a state says of who somebody is, the server says: see `stamp`.
//! - A removal is taken only from the session that announced the id last: a laptop that wakes up
//!   declares everyone gone.
//! - Removals by us keep the clock, so that the person's next renewal is newer.

mod people;
mod stamp;
mod whisper;

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;

use crate::caller::{Caller, UserId};
use crate::gate::{PresenceEntry, Refusal};
use crate::ids::{ClientId, InstanceId, SessionId};
use crate::limits::{
    PRESENCE_FORGET_MS, PRESENCE_GRACE_MS, PRESENCE_IDS_PER_ROOM_MAX, PRESENCE_IDS_PER_SESSION_MAX,
    PRESENCE_STALE_MS, PRESENCE_STATE_BYTES_MAX, PRESENCE_USERS_REMEMBERED_MAX,
};
use crate::wire::lib0::{write_buffer, write_var_uint};
use crate::wire::{websocket, y_websocket};
pub(crate) use people::Shown;
use stamp::Stamp;

/// The presence of one room.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    entries: HashMap<ClientId, Entry>,
    /// Whose ids were that have been forgotten otherwise: of users, at first hand.
    #[allow(clippy::box_collection, reason = "a word, not six, in rooms without identities")]
    remembered: Option<Box<HashMap<ClientId, UserId>>>,
    /// Counts ticks: every tick that has changes is one frame for everyone.
    tick: u64,
    /// Something changed since the last tick.
    changed: bool,
    /// What was dropped as another user's since that was asked last.
    stripped: u64,
}

#[derive(Debug)]
struct Entry {
    clock: u32,
    /// JSON, or `None` once removed.
    state: Option<Box<str>>,
    /// Which session announced it last.
    owner: Owner,
    /// Whose id it is.
    user: Option<UserId>,
    /// One of the user's sessions has said of itself that this is its id.
    first_hand: bool,
    /// The tick in which it changed last.
    tick: u64,
    /// When it was announced last, or removed.
    seen_ms: u64,
    /// When it goes, because its session crashed.
    leaves_ms: Option<u64>,
}

/// Who may remove a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Session(SessionId),
    /// A session of another instance.
    Elsewhere(InstanceId),
}

/// A session, as presence knows it.
#[derive(Debug)]
pub(crate) struct Announcer {
    session: SessionId,
    user: Option<UserId>,
    stamp: Option<Stamp>,
}

/// What became of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Announced {
    /// Something is new.
    pub(crate) news: bool,
    /// Newer states of other users' ids that were dropped.
    pub(crate) stripped: u32,
}

impl Announcer {
    pub(crate) fn new(session: SessionId, caller: &Caller) -> Self {
        Self { session, user: caller.user.clone(), stamp: Stamp::of(caller) }
    }

    fn said<'a>(&'a self, entry: PresenceEntry<'a>, first_hand: bool) -> Said<'a> {
        Said { entry, owner: Owner::Session(self.session), user: self.user.as_deref(), first_hand }
    }

    /// A state as it is shown.
    fn stamped<'a>(&self, state: &'a str) -> Cow<'a, str> {
        self.stamp.as_ref().map_or(Cow::Borrowed(state), |stamp| Cow::Owned(stamp.on(state)))
    }
}

/// One entry of an announcement, with who is behind it.
#[derive(Clone, Copy)]
struct Said<'a> {
    entry: PresenceEntry<'a>,
    owner: Owner,
    user: Option<&'a str>,
    first_hand: bool,
}

impl Entry {
    /// Whether this user may say what the id shows. Who has the id at first hand takes it from a user who
    /// has only passed it on: two people in one browser hear of each other past the server.
    fn is_open_to(&self, said: &Said<'_>) -> bool {
        self.user.as_deref() == said.user || said.first_hand && !self.first_hand
    }
}

impl Presence {
    /// Takes what a session announces. `is_taken`: whether an id that is new here belongs to another user
    /// for other reasons.
    ///
    /// # Errors
    /// A state that is new and no JSON, or too large with its stamp, is refused, and all that came with it: it
    /// would throw in every client.
    pub(crate) fn announce(
        &mut self,
        by: &Announcer,
        is_taken: impl Fn(ClientId) -> bool,
        entries: &[PresenceEntry<'_>],
        now_ms: u64,
    ) -> Result<Announced, Refusal> {
        let owner = Owner::Session(by.session);
        // Who moves a cursor is known by its own id: nobody else has to be looked at.
        let is_own = |entry: &PresenceEntry<'_>| {
            self.entries.get(&entry.client).is_some_and(|known| known.owner == owner)
        };
        let first_hand = matches!(entries, [only] if !is_own(only))
            && !self.entries.values().any(|known| known.owner == owner);
        let mut announced = Announced::default();
        let mut states: Vec<(usize, Cow<'_, str>)> = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let said = by.said(*entry, first_hand);
            let Some(state) = entry.state else { continue };
            let returns = first_hand && self.may_return(&said);
            if !self.is_news(&said) && !returns {
                announced.stripped += u32::from(self.is_stripped(&said));
            } else if !self.entries.contains_key(&entry.client) && is_taken(entry.client) {
                announced.stripped += 1;
            } else {
                entry.check_state()?;
                let state = by.stamped(state);
                if state.len() > PRESENCE_STATE_BYTES_MAX {
                    return Err(Refusal::PresenceTooLarge);
                }
                states.push((at, state));
            }
        }
        let mut states = states.into_iter().peekable();
        let is_new = |entry: &PresenceEntry<'_>| !self.entries.contains_key(&entry.client);
        let mut places = if entries.iter().any(is_new) { self.places(owner) } else { 0 };
        for (at, entry) in entries.iter().enumerate() {
            let state = states.next_if(|(of, _)| *of == at).map(|(_, state)| state);
            if state.is_none() && entry.state.is_some() {
                continue;
            }
            let entry = PresenceEntry { state: state.as_deref(), ..*entry };
            let said = by.said(entry, first_hand);
            announced.news |= first_hand && self.welcome_back(&said, now_ms);
            announced.news |= self.announce_one(&said, &mut places, now_ms);
        }
        self.changed |= announced.news;
        self.stripped += u64::from(announced.stripped);
        Ok(announced)
    }

    /// A client that lost its socket comes back with the state it had, at the same clock. It is
    /// told from an echo by being alone in the session's first announcement: a newcomer that
    /// echoes what it was just sent has announced itself before.
    ///
    /// If it was with another instance before, that has to be told: it is news then.
    fn welcome_back(&mut self, said: &Said<'_>, now_ms: u64) -> bool {
        if self.may_return(said)
            && let Some(known) = self.entries.get_mut(&said.entry.client)
            && known.state.as_deref() == said.entry.state
        {
            let moved = matches!(known.owner, Owner::Elsewhere(_));
            (known.owner, known.seen_ms, known.leaves_ms) = (said.owner, now_ms, None);
            if moved {
                known.tick = self.tick + 1;
            }
            return moved;
        }
        false
    }

    fn may_return(&self, said: &Said<'_>) -> bool {
        self.entries.get(&said.entry.client).is_some_and(|known| {
            (known.leaves_ms.is_some() || matches!(known.owner, Owner::Elsewhere(_)))
                && known.user.as_deref() == said.user
                && known.clock == said.entry.clock
                && known.state.is_some()
        })
    }

    fn is_news(&self, said: &Said<'_>) -> bool {
        let entry = &said.entry;
        match (self.entries.get(&entry.client), entry.state) {
            (None, state) => state.is_some() && self.is_free(said),
            (Some(known), Some(_)) if known.user.as_deref() == said.user => entry.clock > known.clock,
            (Some(known), Some(_)) => known.is_open_to(said) && entry.clock >= known.clock,
            (Some(known), None) => {
                known.owner == said.owner
                    && known.user.as_deref() == said.user
                    && known.state.is_some()
                    && entry.clock >= known.clock
            }
        }
    }

    /// Whether somebody says something new of another user's id.
    fn is_stripped(&self, said: &Said<'_>) -> bool {
        match self.entries.get(&said.entry.client) {
            Some(known) => !known.is_open_to(said) && said.entry.clock > known.clock,
            None => !self.is_free(said),
        }
    }

    /// Whether an id that nobody is here under was not another user's before.
    fn is_free(&self, said: &Said<'_>) -> bool {
        self.remembered(said.entry.client).is_none_or(|user| Some(user.as_ref()) == said.user)
    }

    fn announce_one(&mut self, said: &Said<'_>, places: &mut usize, now_ms: u64) -> bool {
        let known = self.entries.get(&said.entry.client);
        if !self.is_news(said) || known.is_none() && *places == 0 {
            return false;
        }
        *places -= usize::from(known.is_none());
        let same_user = known.filter(|known| known.user.as_deref() == said.user);
        let entry_new = Entry {
            clock: said.entry.clock,
            state: said.entry.state.map(Box::from),
            owner: said.owner,
            user: same_user.map_or_else(|| said.user.map(UserId::from), |known| known.user.clone()),
            first_hand: said.first_hand
                || same_user.is_some_and(|known| known.first_hand)
                || self.remembered(said.entry.client).is_some(),
            tick: self.tick + 1,
            seen_ms: now_ms,
            leaves_ms: None,
        };
        self.entries.insert(said.entry.client, entry_new);
        true
    }

    /// How many states were dropped, since this was asked last, because their ids are another user's.
    pub(crate) fn take_stripped(&mut self) -> u64 {
        std::mem::take(&mut self.stripped)
    }

    /// Whose an id is that somebody shows something under; the inner one is `None` for people without an
    /// identity.
    pub(crate) fn holder(&self, client: ClientId) -> Option<Option<&UserId>> {
        self.entries.get(&client).filter(|entry| entry.state.is_some()).map(|entry| entry.user.as_ref())
    }

    fn remembered(&self, client: ClientId) -> Option<&UserId> {
        self.remembered.as_ref()?.get(&client)
    }

    /// Whether an id is, or was lately, another user's than this one's.
    pub(crate) fn was_of_another(&self, client: ClientId, user: Option<&UserId>) -> bool {
        let here = self.entries.get(&client).map(|entry| entry.user.as_ref());
        here.or(self.remembered(client).map(Some)).is_some_and(|of| of != user)
    }

    /// Whether a user is here, on whichever instance, as far as it shows.
    pub(crate) fn shows(&self, user: &str) -> bool {
        self.entries.values().any(|entry| entry.state.is_some() && entry.user.as_deref() == Some(user))
    }

    /// How many ids this session may announce that are not known yet. Those who have left do not
    /// count, but for a bound on what is remembered of them.
    fn places(&self, owner: Owner) -> usize {
        let here = self.entries.values().filter(|entry| entry.state.is_some());
        let (mut all, mut own) = (0, 0);
        for entry in here {
            all += 1;
            own += usize::from(entry.owner == owner);
        }
        (PRESENCE_IDS_PER_ROOM_MAX.saturating_sub(all))
            .min(match owner {
                Owner::Session(_) => PRESENCE_IDS_PER_SESSION_MAX.saturating_sub(own),
                Owner::Elsewhere(_) => usize::MAX, // each of them is bounded where it is
            })
            .min((2 * PRESENCE_IDS_PER_ROOM_MAX).saturating_sub(self.entries.len()))
    }

    /// A session has gone. What it announced last goes too, after a grace in which it may return.
    pub(crate) fn leave(&mut self, session: SessionId, now_ms: u64) {
        let owner = Owner::Session(session);
        for entry in self.entries.values_mut().filter(|entry| entry.owner == owner && entry.state.is_some()) {
            entry.leaves_ms = Some(now_ms + PRESENCE_GRACE_MS);
        }
    }

    /// Removes who has crashed or fallen silent, and forgets who was removed long ago. Returns
    /// when to sweep again, if there is anything to wait for.
    pub(crate) fn sweep(&mut self, now_ms: u64) -> Option<u64> {
        let Self { entries, remembered, .. } = self;
        entries.retain(|client, entry| {
            let stays = entry.state.is_some() || now_ms < entry.seen_ms + PRESENCE_FORGET_MS;
            if let (false, true, Some(user)) = (stays, entry.first_hand, &entry.user)
                && remembered.as_ref().map_or(0, |of| of.len()) < PRESENCE_USERS_REMEMBERED_MAX
            {
                remembered.get_or_insert_default().insert(*client, UserId::clone(user));
            }
            stays
        });
        let mut next = None;
        for entry in self.entries.values_mut() {
            let due = match (&entry.state, entry.leaves_ms) {
                (Some(_), Some(leaves_ms)) => leaves_ms,
                (Some(_), None) => entry.seen_ms + PRESENCE_STALE_MS,
                (None, _) => entry.seen_ms + PRESENCE_FORGET_MS,
            };
            if entry.state.is_some() && due <= now_ms {
                entry.state = None;
                entry.seen_ms = now_ms;
                entry.tick = self.tick + 1;
                self.changed = true;
            }
            let due = due.max(now_ms + 1);
            next = Some(next.map_or(due, |next: u64| next.min(due)));
        }
        next
    }

    /// Ends a tick: its number and one frame with all that changed in it.
    pub(crate) fn end_tick(&mut self) -> Option<(u64, Bytes)> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.tick += 1;
        let tick = self.tick;
        self.frame(|entry| entry.tick == tick).map(|frame| (tick, frame))
    }

    /// All that changed after a tick, removals included, as one frame.
    pub(crate) fn since(&self, tick: u64) -> Option<Bytes> {
        self.frame(|entry| entry.tick > tick)
    }

    /// Everyone who is here, as one frame.
    pub(crate) fn everyone(&self) -> Option<Bytes> {
        self.frame(|entry| entry.state.is_some())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.values().filter(|entry| entry.state.is_some()).count()
    }

    fn frame(&self, include: impl Fn(&Entry) -> bool) -> Option<Bytes> {
        let mut body = Vec::new();
        let mut count = 0;
        for (client, entry) in self.entries.iter().filter(|(_, entry)| include(entry)) {
            count += 1;
            write_entry(&mut body, *client, entry);
        }
        let mut update = Vec::with_capacity(body.len() + 3);
        write_var_uint(&mut update, count);
        update.extend_from_slice(&body);
        (count > 0).then(|| websocket::frame(&y_websocket::presence(&update)))
    }
}

fn write_entry(body: &mut Vec<u8>, client: ClientId, entry: &Entry) {
    write_var_uint(body, client);
    write_var_uint(body, u64::from(entry.clock));
    write_buffer(body, entry.state.as_deref().unwrap_or("null").as_bytes());
}

#[cfg(test)]
mod tests;
