//! Presence messages (Yjs: awareness updates): who is here and what they show, as JSON.

use super::parse::once_each;
use super::read::{Reader, put_text};
use super::refusal::Refusal;
use super::value::check_foreign_json;
use crate::ids::ClientId;
use crate::limits::{PRESENCE_IDS_PER_ROOM_MAX, PRESENCE_STATE_BYTES_MAX};

/// One person's presence in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceEntry<'a> {
    /// Its presence id. In Yjs 14 that is not the client id of its edits.
    pub client: ClientId,
    /// Which of its states this is; higher is newer.
    pub clock: u32,
    /// The state as JSON that every client can parse; nothing if it leaves (`null`).
    pub state: Option<&'a str>,
}

impl PresenceEntry<'_> {
    /// Checks the state's JSON. Clients parse it inside their message handlers, so what does not
    /// parse, or nests deeply, must not reach them. Left to the caller because most entries of a
    /// large room are echoes that are dropped by their clock.
    ///
    /// # Errors
    /// [`Refusal`] if it is no JSON, or too deep.
    pub fn check_state(&self) -> Result<(), Refusal> {
        self.state.map_or(Ok(()), check_foreign_json)
    }
}

/// Reads a presence message, all but the JSON in it: see [`PresenceEntry::check_state`].
///
/// # Errors
/// The rule that is broken.
pub fn parse_presence(bytes: &[u8]) -> Result<Vec<PresenceEntry<'_>>, Refusal> {
    let mut reader = Reader::new(bytes);
    let entries = read_entries(&mut reader)?;
    reader.finish()?;
    Ok(entries)
}

/// Who is behind a presence id, as one instance tells another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PresenceUser<'a> {
    /// The user, if the session has an identity.
    pub user: Option<&'a str>,
    /// The session said of itself that this is its id; it did not pass on what others show.
    pub first_hand: bool,
}

/// Writes who is behind the next entry of a whispered presence message. All of them come behind the last entry.
pub fn write_presence_user(out: &mut Vec<u8>, who: PresenceUser<'_>) {
    out.push(u8::from(who.first_hand) | u8::from(who.user.is_some()) << 1);
    if let Some(user) = who.user {
        put_text(out, user);
    }
}

/// Reads a presence message with who is behind each id, as another instance whispers it: the entries, then
/// as many users. Without users everyone is anonymous.
///
/// # Errors
/// The rule that is broken.
pub fn parse_whispered(bytes: &[u8]) -> Result<Vec<(PresenceEntry<'_>, PresenceUser<'_>)>, Refusal> {
    let mut reader = Reader::new(bytes);
    let entries = read_entries(&mut reader)?;
    if reader.at() == bytes.len() {
        return Ok(entries.into_iter().map(|entry| (entry, PresenceUser::default())).collect());
    }
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let flags = reader.byte()?;
        let user = if flags & 2 != 0 { Some(reader.text()?) } else { None };
        all.push((entry, PresenceUser { user, first_hand: flags & 1 != 0 }));
    }
    reader.finish()?;
    Ok(all)
}

fn read_entries<'a>(reader: &mut Reader<'a>) -> Result<Vec<PresenceEntry<'a>>, Refusal> {
    // An id, a clock and at least one byte of JSON after its length.
    let count = reader.count(4)?;
    if count as usize > PRESENCE_IDS_PER_ROOM_MAX {
        return Err(Refusal::TooManyPresences);
    }
    let mut entries = Vec::new();
    for _ in 0..count {
        let (client, clock, state) = (reader.number()?, reader.clock()?, reader.text()?);
        if state.len() > PRESENCE_STATE_BYTES_MAX {
            return Err(Refusal::PresenceTooLarge);
        }
        let state = (state.trim_ascii() != "null").then_some(state);
        entries.push(PresenceEntry { client, clock, state });
    }
    once_each(entries.iter().map(|entry| entry.client))?;
    Ok(entries)
}
