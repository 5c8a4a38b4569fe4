//! Who has written in a room, and who is here.

use std::collections::BTreeMap;

use super::Rooms;
pub(crate) use super::presence::Shown;
use crate::caller::UserId;
use crate::ids::RoomName;

/// The people of a room that is open here.
#[derive(Debug, Default)]
pub(crate) struct People {
    /// Who has written in this life of the room; when last, in milliseconds since 1970, if that is known.
    pub(crate) wrote: BTreeMap<UserId, Option<u64>>,
    /// Users with a session on this instance.
    pub(crate) connected: Vec<UserId>,
    /// Who shows something, on whichever instance, or did a while ago.
    pub(crate) shown: Vec<Shown>,
}

impl Rooms {
    /// The people of a room; `None` if it is not open here.
    pub(crate) fn people(&self, name: &RoomName) -> Option<People> {
        let shared = self.listed.lock().open.get(name).cloned()?;
        let shown = shared.presence.lock().people(shared.steady_ms());
        Some(People { wrote: shared.owners.writers(), connected: shared.owners.connected(), shown })
    }
}
