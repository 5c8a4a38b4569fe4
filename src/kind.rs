//! What kind a room is of, and who decides. Pure.
//!
//! A room's kind is chosen when the room is made, by [`Boards::kind_of`] alone, and stands in its genesis record. It never
//! changes after that: whoever opens the room reads it from there, or from the snapshot that covers it, whatever the settings
//! say by then.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::board::drafts::Draft;
use crate::ids::RoomName;
use crate::limits::ROOM_NAME_BYTES_MAX;

/// What is asked of a room's content. The order of the variants is stored: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RoomKind {
    /// A retrospective board: the board's rules are enforced.
    Board,
    /// Any document that the gate takes.
    Free,
}

impl RoomKind {
    /// As tokens, settings and answers write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Free => "free",
        }
    }
}

impl fmt::Display for RoomKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RoomKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Board, Self::Free].into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| "a kind is board or free".to_owned())
    }
}

/// What the names of boards begin with, as it is set: nothing of an empty prefix is left to chance, so that is written `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardPrefix(Box<str>);

impl FromStr for BoardPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // As tokens write prefixes.
        let prefix = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || prefix.len() > ROOM_NAME_BYTES_MAX || prefix.chars().any(char::is_control) {
            return Err(format!(
                "a prefix of room names has 1 to {ROOM_NAME_BYTES_MAX} bytes without control characters, such as retro/; \
                 * is every room"
            ));
        }
        Ok(Self(prefix.into()))
    }
}

impl fmt::Display for BoardPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "*" } else { &self.0 })
    }
}

/// Which rooms are boards when they are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Boards {
    prefixes: Arc<[BoardPrefix]>,
}

impl Boards {
    /// Those whose names begin so.
    #[must_use]
    pub fn new(prefixes: Vec<BoardPrefix>) -> Self {
        Self { prefixes: prefixes.into() }
    }

    /// Every room.
    #[must_use]
    pub fn all() -> Self {
        Self::new(vec![BoardPrefix("".into())])
    }

    /// The kind of a room that is made now, by somebody whose token has such a claim. The claim wins over the name; but a draft
    /// room is a board, whatever anybody says.
    #[must_use]
    pub fn kind_of(&self, room: &RoomName, claim: Option<RoomKind>) -> RoomKind {
        let is_board = || self.prefixes.iter().any(|prefix| room.as_str().starts_with(&*prefix.0));
        if Draft::of(room).is_some() {
            return RoomKind::Board;
        }
        claim.unwrap_or_else(|| if is_board() { RoomKind::Board } else { RoomKind::Free })
    }

    /// Whether no room is a board by its name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boards(prefixes: &[&str]) -> Boards {
        Boards::new(prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect())
    }

    /// [B10] The claim of whoever makes the room wins over its name; without one the name's beginning decides; a server
    /// that is told nothing makes free rooms.
    #[test]
    fn a_claim_wins_over_the_name() {
        use RoomKind::{Board, Free};
        for (prefixes, room, claim, kind) in [
            (&[][..], "retro/1", None, Free),
            (&[], "retro/1", Some(Board), Board),
            (&["retro/"], "retro/1", None, Board),
            (&["retro/"], "retro/1", Some(Free), Free),
            (&["retro/"], "retro", None, Free),
            (&["retro/"], "Retro/1", None, Free),
            (&["team/", "retro/*"], "retro/1", None, Board),
            (&["*"], "x", None, Board),
            (&["*"], "x", Some(Free), Free),
            (&[], "x~ada", None, Board),
            (&[], "x~ada", Some(Free), Board),
        ] {
            let found = boards(prefixes).kind_of(&RoomName::parse(room).unwrap(), claim);
            println!("{prefixes:?} {room} {claim:?}: {found}");
            assert_eq!(found, kind);
        }
        let everything = boards(&["*"]);
        assert_eq!(everything, Boards::all());
        assert_eq!(everything.prefixes[0].to_string(), "*");
    }

    /// [B16] What is no prefix is refused with what is allowed; a kind is one of two.
    #[test]
    fn what_is_no_prefix_is_refused() {
        for bad in ["", " ", "a\nb", &"x".repeat(129)] {
            let error = bad.parse::<BoardPrefix>().unwrap_err();
            println!("{bad:?}: {error}");
            assert!(error.contains("retro/") && !error.contains('\n'));
        }
        assert_eq!(" retro/ ".parse::<BoardPrefix>().unwrap().to_string(), "retro/");
        assert!("Board".parse::<RoomKind>().is_err() && "".parse::<RoomKind>().is_err());
        for kind in [RoomKind::Board, RoomKind::Free] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
    }
}
