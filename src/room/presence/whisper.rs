//! Who is here, between instances. Each tells of its own people only, and of whose each id is: what one
//! instance has taken from its session and stamped, the others need not judge, but no session gets another
//! user's id by coming to another instance.

use bytes::Bytes;

use super::{Entry, Owner, Presence, Said, write_entry};
use crate::gate::{PresenceUser, parse_whispered, write_presence_user};
use crate::ids::InstanceId;
use crate::limits::{BUS_WHISPER_BYTES_MAX, PRESENCE_STATE_BYTES_MAX, PRESENCE_USER_BYTES_SPARE};
use crate::wire::lib0::write_var_uint;

impl Presence {
    /// Takes what another instance whispers of its sessions: see [`Presence::ours`]. Returns whether anything
    /// is new. What is malformed is dropped: it was judged, and stamped, where it came in.
    pub(crate) fn announce_of(&mut self, instance: InstanceId, whisper: &[u8], now_ms: u64) -> bool {
        let Ok(entries) = parse_whispered(whisper) else { return false };
        let owner = Owner::Elsewhere(instance);
        let mut places = self.places(owner);
        let mut news = false;
        for (entry, PresenceUser { user, first_hand }) in entries {
            let said = Said { entry, owner, user, first_hand };
            if self.is_news(&said) && entry.check_state().is_err() {
                continue;
            }
            // Its session has moved there.
            if let Some(known) = self.entries.get_mut(&entry.client)
                && known.user.as_deref() == user
                && known.leaves_ms.is_some()
                && known.clock == entry.clock
                && entry.state.is_some()
            {
                (known.owner, known.seen_ms, known.leaves_ms) = (owner, now_ms, None);
            }
            news |= self.announce_one(&said, &mut places, now_ms);
        }
        self.changed |= news;
        news
    }

    /// What changed in a tick with the sessions of this instance, for the others: awareness updates of
    /// bounded size, each with who is behind its ids.
    pub(crate) fn ours_in(&self, tick: u64) -> Vec<Bytes> {
        self.whispers(|entry| entry.tick == tick && matches!(entry.owner, Owner::Session(_)))
    }

    /// Everyone who is here by this instance, for one that asks.
    pub(crate) fn ours(&self) -> Vec<Bytes> {
        self.whispers(|entry| entry.state.is_some() && matches!(entry.owner, Owner::Session(_)))
    }

    fn whispers(&self, include: impl Fn(&Entry) -> bool) -> Vec<Bytes> {
        const SPARE: usize = PRESENCE_STATE_BYTES_MAX + PRESENCE_USER_BYTES_SPARE;
        let mut whispers = Vec::new();
        let (mut body, mut users, mut count) = (Vec::new(), Vec::new(), 0);
        let mut finish = |body: &mut Vec<u8>, users: &mut Vec<u8>, count: &mut u64| {
            let mut whisper = Vec::with_capacity(body.len() + users.len() + 3);
            write_var_uint(&mut whisper, std::mem::take(count));
            whisper.append(body);
            whisper.append(users);
            whispers.push(Bytes::from(whisper));
        };
        for (client, entry) in self.entries.iter().filter(|(_, entry)| include(entry)) {
            write_entry(&mut body, *client, entry);
            let who = PresenceUser { user: entry.user.as_deref(), first_hand: entry.first_hand };
            write_presence_user(&mut users, who);
            count += 1;
            if body.len() + users.len() >= BUS_WHISPER_BYTES_MAX - SPARE {
                finish(&mut body, &mut users, &mut count);
            }
        }
        if count > 0 {
            finish(&mut body, &mut users, &mut count);
        }
        whispers
    }
}
