//! Who is here: the awareness states of one room. Never in the log.
//!
//! Written for servers: y-protocols' own map has no owners and no bounds, and answers echoes.
//! Time is an argument, in milliseconds of any steady clock.
//!
//! Invariants:
//! - A state is taken only if its clock is newer than the known one. y-websocket clients send back
//!   every state they receive; such echoes change nothing and are never relayed.
//! - A removal is taken only from the session that announced the id last: a laptop that wakes up
//!   declares everyone gone.
//! - Removals by us keep the clock, so that the person's next renewal is newer.

use std::collections::HashMap;

use bytes::Bytes;

use crate::gate::{PresenceEntry, Refusal, parse_presence};
use crate::ids::{ClientId, InstanceId, SessionId};
use crate::limits::{
    BUS_WHISPER_BYTES_MAX, PRESENCE_FORGET_MS, PRESENCE_GRACE_MS, PRESENCE_IDS_PER_ROOM_MAX,
    PRESENCE_IDS_PER_SESSION_MAX, PRESENCE_STALE_MS, PRESENCE_STATE_BYTES_MAX,
};
use crate::wire::lib0::{write_buffer, write_var_uint};
use crate::wire::{websocket, y_websocket};

/// The presence of one room.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    entries: HashMap<ClientId, Entry>,
    /// Counts ticks: every tick that has changes is one frame for everyone.
    tick: u64,
    /// Something changed since the last tick.
    changed: bool,
}

#[derive(Debug)]
struct Entry {
    clock: u32,
    /// JSON, or `None` once removed.
    state: Option<Box<str>>,
    /// Who announced it last.
    owner: Owner,
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

impl Presence {
    /// Takes what a session announces. Returns whether anything is new.
    ///
    /// # Errors
    /// A state that is new and no JSON is refused, and all that came with it: it would throw in
    /// every client.
    pub(crate) fn announce(
        &mut self,
        session: SessionId,
        entries: &[PresenceEntry<'_>],
        now_ms: u64,
    ) -> Result<bool, Refusal> {
        let owner = Owner::Session(session);
        for entry in entries.iter().filter(|entry| self.is_news(owner, entry)) {
            entry.check_state()?;
        }
        let mut news = false;
        if let [entry] = entries {
            news = self.welcome_back(owner, entry, now_ms);
        }
        let mut places = self.places(owner);
        for entry in entries {
            news |= self.announce_one(owner, entry, &mut places, now_ms);
        }
        self.changed |= news;
        Ok(news)
    }

    /// Takes an awareness update with states of sessions of another instance. Returns whether anything is
    /// new. What is malformed is dropped: it was judged where it came in.
    pub(crate) fn announce_of(&mut self, instance: InstanceId, update: &[u8], now_ms: u64) -> bool {
        let Ok(entries) = parse_presence(update) else { return false };
        let owner = Owner::Elsewhere(instance);
        let mut places = self.places(owner);
        let mut news = false;
        for entry in &entries {
            if self.is_news(owner, entry) && entry.check_state().is_err() {
                continue;
            }
            // Its session has moved there.
            if let Some(known) = self.entries.get_mut(&entry.client)
                && known.leaves_ms.is_some()
                && known.clock == entry.clock
                && entry.state.is_some()
            {
                (known.owner, known.seen_ms, known.leaves_ms) = (owner, now_ms, None);
            }
            news |= self.announce_one(owner, entry, &mut places, now_ms);
        }
        self.changed |= news;
        news
    }

    /// A client that lost its socket comes back with the state it had, at the same clock. It is
    /// told from an echo by being alone in the session's first announcement: a newcomer that
    /// echoes what it was just sent has announced itself before.
    ///
    /// If it was with another instance before, that has to be told: it is news then.
    fn welcome_back(&mut self, owner: Owner, entry: &PresenceEntry<'_>, now_ms: u64) -> bool {
        if self.entries.values().any(|known| known.owner == owner) {
            return false;
        }
        if let Some(known) = self.entries.get_mut(&entry.client)
            && (known.leaves_ms.is_some() || matches!(known.owner, Owner::Elsewhere(_)))
            && entry.state.is_some()
            && known.state.as_deref() == entry.state
            && known.clock == entry.clock
        {
            let moved = matches!(known.owner, Owner::Elsewhere(_));
            (known.owner, known.seen_ms, known.leaves_ms) = (owner, now_ms, None);
            if moved {
                known.tick = self.tick + 1;
            }
            return moved;
        }
        false
    }

    fn is_news(&self, owner: Owner, entry: &PresenceEntry<'_>) -> bool {
        match (self.entries.get(&entry.client), entry.state) {
            (None, state) => state.is_some(),
            (Some(known), Some(_)) => entry.clock > known.clock,
            (Some(known), None) => {
                known.owner == owner && known.state.is_some() && entry.clock >= known.clock
            }
        }
    }

    fn announce_one(
        &mut self,
        owner: Owner,
        entry: &PresenceEntry<'_>,
        places: &mut usize,
        now_ms: u64,
    ) -> bool {
        let known = self.entries.contains_key(&entry.client);
        if !self.is_news(owner, entry) || !known && *places == 0 {
            return false;
        }
        *places -= usize::from(!known);
        let entry_new = Entry {
            clock: entry.clock,
            state: entry.state.map(Box::from),
            owner,
            tick: self.tick + 1,
            seen_ms: now_ms,
            leaves_ms: None,
        };
        self.entries.insert(entry.client, entry_new);
        true
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
        self.entries.retain(|_, entry| entry.state.is_some() || now_ms < entry.seen_ms + PRESENCE_FORGET_MS);
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

    /// What changed in a tick with the sessions of this instance, for the others: awareness updates of
    /// bounded size.
    pub(crate) fn ours_in(&self, tick: u64) -> Vec<Bytes> {
        self.updates(|entry| entry.tick == tick && matches!(entry.owner, Owner::Session(_)))
    }

    /// Everyone who is here by this instance, for one that asks.
    pub(crate) fn ours(&self) -> Vec<Bytes> {
        self.updates(|entry| entry.state.is_some() && matches!(entry.owner, Owner::Session(_)))
    }

    fn updates(&self, include: impl Fn(&Entry) -> bool) -> Vec<Bytes> {
        let mut updates = Vec::new();
        let (mut body, mut count) = (Vec::new(), 0);
        let mut finish = |body: &mut Vec<u8>, count: &mut u64| {
            let mut update = Vec::with_capacity(body.len() + 3);
            write_var_uint(&mut update, std::mem::take(count));
            update.append(body);
            updates.push(Bytes::from(update));
        };
        for (client, entry) in self.entries.iter().filter(|(_, entry)| include(entry)) {
            write_entry(&mut body, *client, entry);
            count += 1;
            if body.len() >= BUS_WHISPER_BYTES_MAX - PRESENCE_STATE_BYTES_MAX {
                finish(&mut body, &mut count);
            }
        }
        if count > 0 {
            finish(&mut body, &mut count);
        }
        updates
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
