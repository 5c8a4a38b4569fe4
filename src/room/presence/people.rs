//! Who is here, for who asks from outside.

use super::Presence;
use crate::caller::UserId;

/// Somebody who shows something, or did a while ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Who it is; `None` without identity.
    pub(crate) user: Option<UserId>,
    /// What is shown: JSON. `None`: nothing any more.
    pub(crate) state: Option<Box<str>>,
    /// How long ago something came, or the state went: milliseconds.
    pub(crate) ago_ms: u64,
}

impl Presence {
    /// Everyone who is here, on whichever instance, and who was lately: one entry for each id.
    pub(crate) fn people(&self, now_ms: u64) -> Vec<Shown> {
        let people = self.entries.values().map(|entry| Shown {
            user: entry.user.clone(),
            state: entry.state.clone(),
            ago_ms: now_ms.saturating_sub(entry.seen_ms),
        });
        people.collect()
    }
}
