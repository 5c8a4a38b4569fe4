//! How often people break the rules of a board. Each time costs a batch of its own, and what is set again is sent to
//! everyone: more than that is for another minute.

use std::collections::HashMap;

use crate::caller::UserId;
use crate::ids::SessionId;
use crate::limits::{BOARD_OFFENCES_BYTES_MAX, BOARD_OFFENCES_MAX, BOARD_OFFENCES_MS};
use crate::room::state::Submission;

/// Who is counted: a person with all its sessions, or a session of nobody.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Offender {
    User(UserId),
    Session(SessionId),
}

impl Offender {
    pub(super) fn of(submission: &Submission) -> Self {
        match &submission.caller.user {
            Some(user) => Self::User(user.clone()),
            None => Self::Session(submission.session),
        }
    }
}

/// What somebody has done in the minute that began then.
struct Minute {
    began_ms: u64,
    edits: u32,
    bytes: usize,
}

impl Minute {
    /// Also where the clock was set back.
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms < self.began_ms || now_ms - self.began_ms >= BOARD_OFFENCES_MS
    }
}

/// Those who have broken a rule in the last minute, or a little before.
#[derive(Default)]
pub(super) struct Offences {
    by: HashMap<Offender, Minute>,
}

impl Offences {
    /// Whether one more is mended now.
    pub(super) fn may(&self, by: &Offender, now_ms: u64) -> bool {
        self.by.get(by).is_none_or(|minute| {
            minute.is_over(now_ms)
                || minute.edits < BOARD_OFFENCES_MAX && minute.bytes < BOARD_OFFENCES_BYTES_MAX
        })
    }

    /// One is mended, with so many bytes that are set again.
    pub(super) fn note(&mut self, by: Offender, now_ms: u64, bytes: usize) {
        if !self.by.contains_key(&by) {
            self.by.retain(|_, minute| !minute.is_over(now_ms));
        }
        let new = || Minute { began_ms: now_ms, edits: 0, bytes: 0 };
        let minute = self.by.entry(by).or_insert_with(new);
        if minute.is_over(now_ms) {
            *minute = new();
        }
        minute.edits += 1;
        minute.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [B30] Edits and bytes are counted for a minute, each person for itself; also when the clock is set back.
    #[test]
    fn a_minute_is_counted() {
        let by = |user: &str| Offender::User(UserId::from(user));
        let mut offences = Offences::default();
        for _ in 0..BOARD_OFFENCES_MAX {
            assert!(offences.may(&by("ann"), 1_000));
            offences.note(by("ann"), 1_000, 0);
        }
        assert!(!offences.may(&by("ann"), 1_000 + BOARD_OFFENCES_MS - 1));
        assert!(offences.may(&by("bob"), 1_000) && offences.may(&by("ann"), 1_000 + BOARD_OFFENCES_MS));
        assert!(offences.may(&by("ann"), 999), "the clock was set back");
        offences.note(by("bob"), 1_000, BOARD_OFFENCES_BYTES_MAX - 1);
        assert!(offences.may(&by("bob"), 1_000));
        offences.note(by("bob"), 1_000, 1);
        assert!(!offences.may(&by("bob"), 1_000));
        offences.note(Offender::Session(SessionId(1)), 1_000 + BOARD_OFFENCES_MS, 0);
        assert_eq!(offences.by.len(), 1, "others are forgotten");
    }
}
