//! What draft rooms are called: `board~user`.
//!
//! In the user's name each sign of [`ESCAPED`] is written as `~` and its two hex digits: those that an address takes for something
//! else, so that a name is the same however a client puts it into an address and however often that is decoded. A board that has
//! drafts has no `~` in its own name, so that a name has one meaning at most. Names that look so and are written differently are
//! nobody's.

use crate::ids::RoomName;

/// Between a board's name and a user's, and before what stands for a sign of the latter.
pub(super) const MARK: char = '~';

/// Signs of a user's name that an address may lose, or take for its own, and what they are written as.
const ESCAPED: [(char, &str); 7] =
    [(' ', "20"), ('#', "23"), ('%', "25"), ('/', "2F"), ('?', "3F"), ('\\', "5C"), (MARK, "7E")];

/// What a draft room's name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Of which board.
    pub board: RoomName,
    name: RoomName,
}

impl Draft {
    /// Reads a name; `None`: it is no draft room's. Whatever has a `~` between two parts is one, so that no way of writing a draft's
    /// name makes it a room that others may enter.
    #[must_use]
    pub fn of(name: &RoomName) -> Option<Self> {
        let (board, user) = name.as_str().split_once(MARK)?;
        let board = RoomName::parse(board).ok().filter(|_| !user.is_empty())?;
        Some(Self { board, name: name.clone() })
    }

    /// Whether it is this user's.
    #[must_use]
    pub fn is_of(&self, user: &str) -> bool {
        name(&self.board, user).is_some_and(|name| name == self.name)
    }

    /// Whose it is; `None`: nobody's.
    #[must_use]
    pub fn user(&self) -> Option<String> {
        let (_, written) = self.name.as_str().split_once(MARK)?;
        let user = unescape(written)?;
        self.is_of(&user).then_some(user)
    }
}

/// The name of a user's draft room; `None`: the board or the user has a name that gives none, most of all because the two are
/// too long together.
#[must_use]
pub fn name(board: &RoomName, user: &str) -> Option<RoomName> {
    if user.is_empty() || board.as_str().contains(MARK) {
        return None;
    }
    let mut name = format!("{}{MARK}", board.as_str());
    for letter in user.chars() {
        match ESCAPED.iter().find(|(escaped, _)| *escaped == letter) {
            Some((_, written)) => name.extend(["~", *written]),
            None => name.push(letter),
        }
    }
    RoomName::parse(&name).ok()
}

/// What the names of all drafts of a board begin with; none of them is this. `None`: it has none.
#[must_use]
pub fn beginning(board: &RoomName) -> Option<RoomName> {
    let has = !board.as_str().contains(MARK);
    RoomName::parse(&format!("{}{MARK}", board.as_str())).ok().filter(|_| has)
}

fn unescape(text: &str) -> Option<String> {
    let mut user = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MARK) {
        user.push_str(before);
        let written = after.get(..2)?;
        user.push(ESCAPED.iter().find(|(_, escaped)| *escaped == written)?.0);
        rest = &after[2..];
    }
    user.push_str(rest);
    Some(user)
}
