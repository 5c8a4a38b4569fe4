//! The names and the forms of a board's values, and what of a document's values has these forms.

use serde::{Deserialize, Serialize};

use crate::limits::{
    BOARD_COORDINATE_MAX, BOARD_COORDINATE_STEP, BOARD_ID_BYTES_MAX, BOARD_LINE_BYTES_MAX,
    BOARD_TEXT_BYTES_MAX,
};

/// Title, phase, columns, limits, timer: one value a key. The facilitator's.
pub const META: &str = "meta";
/// Card id to a map: text, column, author, createdAt.
pub const ITEMS: &str = "items";
/// Card id to `{x, y}`, one value.
pub const ITEM_POSITIONS: &str = "itemPositions";
/// Card id to the id of the group that it is in.
pub const ITEM_GROUPS: &str = "itemGroups";
/// Group id to a map: title, order.
pub const GROUPS: &str = "groups";
/// A person's signature to the color of its cards.
pub const SIGNATURE_COLORS: &str = "signatureColors";
/// `user/target` to a count. Flat: a nested map under a key that two tabs of one person make at once would lose the
/// votes of one.
pub const VOTES: &str = "votes";
/// Id to a map: text, assignee, due, done, order.
pub const ACTION_ITEMS: &str = "actionItems";

/// All roots of a board.
pub const ROOTS: [&str; 8] =
    [META, ITEMS, ITEM_POSITIONS, ITEM_GROUPS, GROUPS, SIGNATURE_COLORS, VOTES, ACTION_ITEMS];

/// Where a card lies: pixels of an unscaled page from the middle, to the right and down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

impl Point {
    /// A point on the board: within bounds, in hundredths of a pixel. Nothing if a coordinate is no number.
    #[must_use]
    pub fn new(x: f64, y: f64) -> Option<Self> {
        let on_board = |at: f64| {
            let step =
                (at.clamp(-BOARD_COORDINATE_MAX, BOARD_COORDINATE_MAX) / BOARD_COORDINATE_STEP).round();
            step * BOARD_COORDINATE_STEP + 0.0 // no negative zero
        };
        (x.is_finite() && y.is_finite()).then(|| Self { x: on_board(x), y: on_board(y) })
    }
}

/// One of the columns, in which cards begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its id, which cards name.
    pub id: String,
    /// What stands over it.
    pub title: String,
    /// Its color, `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
}

/// Where a retrospective stands. The order is the usual one; nothing enforces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Cards are written.
    #[default]
    Write,
    /// Cards are grouped.
    Group,
    /// Votes are given.
    Vote,
    /// What has most votes is talked about, action items are noted.
    Discuss,
    /// It is over.
    Done,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 5] = [Self::Write, Self::Group, Self::Vote, Self::Discuss, Self::Done];

    /// As the document writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Group => "group",
            Self::Vote => "vote",
            Self::Discuss => "discuss",
            Self::Done => "done",
        }
    }

    /// Back from that; `None` for what a newer schema may write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

/// Whether a text can be an id: one line without control characters, not empty, of bounded length.
#[must_use]
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= BOARD_ID_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Whether a text can be a title, a name or a date.
#[must_use]
pub fn is_line(text: &str) -> bool {
    text.len() <= BOARD_LINE_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Whether a text can stand on a card.
#[must_use]
pub fn is_text(text: &str) -> bool {
    text.len() <= BOARD_TEXT_BYTES_MAX
}

/// Whether a text is a color, `#rrggbb`.
#[must_use]
pub fn is_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The key of a person's votes on a target: `user/target`, with `%` and `/` in the user's name percent-encoded.
#[must_use]
pub fn vote_key(user: &str, target: &str) -> String {
    format!("{}/{target}", user.replace('%', "%25").replace('/', "%2F"))
}

/// Whether a key is of this person's votes, on whatever target.
#[must_use]
pub fn is_vote_key_of(key: &str, user: &str) -> bool {
    !user.is_empty() && key.starts_with(&vote_key(user, ""))
}

/// Back from that: the person and the target. Nothing if it is no such key.
#[must_use]
pub fn parse_vote_key(key: &str) -> Option<(String, &str)> {
    let (user, target) = key.split_once('/')?;
    let name = user.replace("%2F", "/").replace("%25", "%");
    (is_id(target) && !name.is_empty() && vote_key(&name, target) == key).then_some((name, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [B1] Keys of votes name one person and one target, whatever signs the names are made of.
    #[test]
    fn vote_keys_mean_one_person_and_one_target() {
        for user in ["ann", "a/b", "a%2Fb", "%", "é 房", "a%b/c%25"] {
            for target in ["t", "a/b", "%2F"] {
                let key = vote_key(user, target);
                assert_eq!(parse_vote_key(&key), Some((user.to_owned(), target)), "{key}");
                assert!(is_vote_key_of(&key, user), "{key}");
                for other in ["an", "ann ", "a", "", "a/b/t", "%2"] {
                    assert!(other == user || !is_vote_key_of(&key, other), "{key} {other}");
                }
            }
        }
        for bad in ["", "/", "ann", "ann/", "/t", "a%2f/t", "a%/t", "ann/\n"] {
            assert_eq!(parse_vote_key(bad), None, "{bad:?}");
        }
    }

    /// [B1] A point is on the board, whatever was asked for.
    #[test]
    fn points_are_on_the_board() {
        assert_eq!(Point::new(1.2345, -0.001), Some(Point { x: 1.23, y: 0.0 }));
        assert_eq!(Point::new(f64::MAX, -1e300), Some(Point { x: 1e6, y: -1e6 }));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Point::new(bad, 0.0), None);
            assert_eq!(Point::new(0.0, bad), None);
        }
        assert!(Point::new(-0.0, 0.0).unwrap().x.is_sign_positive());
    }

    /// [B1] Phases, colors and lines are what they are written as.
    #[test]
    fn words_are_checked() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(phase.as_str()), Some(phase));
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
        assert_eq!(Phase::parse("party"), None);
        assert!(is_color("#00ffAA") && !is_color("red") && !is_color("#00ffa") && !is_color("#00ffax"));
        assert!(is_line("") && is_line("x y") && !is_line("x\ny") && !is_id(""));
    }
}
