//! Who is here, and what each shows: states of JSON that pass unread. Others' are forgotten when the connection ends.

use std::sync::Arc;

use ruang::gate::{PresenceEntry, Refusal, parse_presence};
use ruang::ids::ClientId;
use ruang::limits::{CLOCK_MAX, PRESENCE_IDS_PER_ROOM_MAX, PRESENCE_STATE_BYTES_MAX};
use ruang::wire::lib0::{write_buffer, write_var_uint};

/// States that are others than before, by id and in order; `None` is gone.
pub type Changes = Vec<(ClientId, Option<Arc<str>>)>;

/// Everyone's presence, as one client knows it.
#[derive(Debug)]
pub struct Presence {
    own: ClientId,
    /// Of this client's newest state; 0: it has never shown any.
    clock: u32,
    state: Option<Arc<str>>,
    /// Sorted by id.
    others: Vec<Other>,
}

#[derive(Debug)]
struct Other {
    client: ClientId,
    clock: u32,
    state: Option<Arc<str>>,
}

impl Presence {
    /// Of a client that shows nothing yet.
    #[must_use]
    pub fn new(own: ClientId) -> Self {
        Self { own, clock: 0, state: None, others: Vec::new() }
    }

    /// Shows another state from now on; `None`: none.
    ///
    /// # Errors
    /// [`Refusal`] if it is no JSON that a server takes.
    pub fn set(&mut self, state: Option<&str>) -> Result<Changes, Refusal> {
        if let Some(state) = state {
            if state.len() > PRESENCE_STATE_BYTES_MAX {
                return Err(Refusal::PresenceTooLarge);
            }
            PresenceEntry { client: self.own, clock: 0, state: Some(state) }.check_state()?;
        }
        self.state = state.filter(|state| state.trim_ascii() != "null").map(Arc::from);
        Ok(vec![(self.own, self.state.clone())])
    }

    /// The message that says (again) what this client shows; nothing if it never showed anything.
    pub fn announce(&mut self) -> Option<Vec<u8>> {
        if self.clock == 0 && self.state.is_none() {
            return None;
        }
        self.clock = (self.clock + 1).min(CLOCK_MAX - 1);
        let mut message = Vec::new();
        write_var_uint(&mut message, 1);
        write_var_uint(&mut message, self.own);
        write_var_uint(&mut message, u64::from(self.clock));
        write_buffer(&mut message, self.state.as_deref().unwrap_or("null").as_bytes());
        Some(message)
    }

    /// Takes in what others show. Also tells whether this client has to say again what it shows: the server has
    /// taken it for gone.
    ///
    /// # Errors
    /// [`Refusal`] if it is no presence message; nothing was taken.
    pub fn take(&mut self, message: &[u8]) -> Result<(Changes, bool), Refusal> {
        let entries = parse_presence(message)?;
        entries.iter().try_for_each(PresenceEntry::check_state)?;
        let (mut changes, mut again) = (Changes::new(), false);
        for PresenceEntry { client, clock, state } in entries {
            if client == self.own {
                if clock >= self.clock && state.is_none() && self.state.is_some() {
                    again = true;
                }
                self.clock = self.clock.max(clock);
                continue;
            }
            let state: Option<Arc<str>> = state.map(Arc::from);
            let before = match self.others.binary_search_by_key(&client, |other| other.client) {
                Ok(at) => {
                    let known = &mut self.others[at];
                    let is_end = clock == known.clock && state.is_none();
                    if clock <= known.clock && !is_end {
                        continue;
                    }
                    known.clock = clock;
                    std::mem::replace(&mut known.state, state.clone())
                }
                Err(_) if self.others.len() >= PRESENCE_IDS_PER_ROOM_MAX => continue,
                Err(at) => {
                    self.others.insert(at, Other { client, clock, state: state.clone() });
                    None
                }
            };
            if before != state {
                changes.push((client, state));
            }
        }
        Ok((changes, again))
    }

    /// The connection is gone, and with it what is known of others.
    pub fn closed(&mut self) -> Changes {
        let others = std::mem::take(&mut self.others);
        others.into_iter().filter(|other| other.state.is_some()).map(|other| (other.client, None)).collect()
    }

    /// Everyone's states, this client's own included.
    pub fn states(&self) -> impl Iterator<Item = (ClientId, &Arc<str>)> {
        let own = self.state.as_ref().map(|state| (self.own, state));
        own.into_iter()
            .chain(self.others.iter().filter_map(|other| Some((other.client, other.state.as_ref()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(entries: &[(u64, u32, &str)]) -> Vec<u8> {
        let mut message = Vec::new();
        write_var_uint(&mut message, entries.len() as u64);
        for &(client, clock, state) in entries {
            write_var_uint(&mut message, client);
            write_var_uint(&mut message, u64::from(clock));
            write_buffer(&mut message, state.as_bytes());
        }
        message
    }

    /// [C8] Newer states are shown, older ones and echoes are not; who is gone is gone, and everyone is when the connection
    /// is.
    #[test]
    fn the_newest_state_of_each_is_shown() {
        let mut presence = Presence::new(7);
        let (changes, again) = presence.take(&message(&[(1, 5, "{\"a\":1}"), (2, 1, "null")])).unwrap();
        assert_eq!((changes.len(), again), (1, false), "{changes:?}");
        for old in [(1, 4, "{}"), (1, 5, "{}")] {
            assert_eq!(presence.take(&message(&[old])).unwrap().0, Changes::new());
        }
        assert_eq!(presence.take(&message(&[(1, 5, "null")])).unwrap().0, vec![(1, None)]);
        presence.take(&message(&[(1, 6, "2"), (3, 1, "3")])).unwrap();
        assert_eq!(presence.states().count(), 2);
        assert_eq!(presence.closed(), vec![(1, None), (3, None)]);
        for bad in [&b"\x01\x01\x01\x01{"[..], b"\x01", b"\x02\x01\x01\x011\x01\x01\x011"] {
            assert!(presence.take(bad).is_err());
        }
    }

    /// [C8] One's own state is said with a higher clock each time, and again if the server has taken it for gone.
    #[test]
    fn ones_own_state_is_kept_up() {
        let mut presence = Presence::new(7);
        assert_eq!(presence.announce(), None, "nothing was ever shown");
        presence.set(Some("{\"x\":1}")).unwrap();
        assert_eq!(presence.announce(), Some(message(&[(7, 1, "{\"x\":1}")])));
        assert_eq!(presence.take(&message(&[(7, 9, "null")])).unwrap(), (Changes::new(), true));
        assert_eq!(presence.announce(), Some(message(&[(7, 10, "{\"x\":1}")])));
        assert_eq!(presence.set(None).unwrap(), vec![(7, None)]);
        assert_eq!(presence.announce(), Some(message(&[(7, 11, "null")])));
        assert!(presence.set(Some("{")).is_err() && presence.set(Some(&"[".repeat(99))).is_err());
        assert!(presence.set(Some(&format!("\"{}\"", "x".repeat(9_000)))).is_err());
    }
}
