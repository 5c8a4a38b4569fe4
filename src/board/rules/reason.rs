//! Which rule an edit has broken: a code for programs, a sentence for people.

use crate::limits::{BOARD_BROKEN_MAX, BOARD_SMALL_VALUE_BYTES_MAX, BOARD_VALUE_BYTES_MAX};

/// The rule that was broken. Codes and meanings stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Reason {
    /// Viewers write nothing.
    #[error("you may read this board, not write to it")]
    ReadOnly,
    /// `meta` is the facilitator's.
    #[error("only the facilitator sets the title, the phase, the columns and the like")]
    Meta,
    /// Somebody else's card is deleted or replaced.
    #[error("only the author of a card, or the facilitator, takes it away")]
    OthersCard,
    /// The author or the time of somebody else's card is changed.
    #[error("only the author of a card, or the facilitator, changes what it says of who wrote it and when")]
    OthersSignature,
    /// A card is signed with somebody else's name.
    #[error("a card can be signed with your own name only")]
    AuthorIsNotYou,
    /// Votes under somebody else's name.
    #[error("you can vote for yourself only")]
    OthersVotes,
    /// A root that a board does not have.
    #[error(
        "this room is a board, and what was written is in none of its parts: is it another kind of document?"
    )]
    UnknownRoot,
    /// Something stands where a board has nothing.
    #[error("a board has nothing at this place")]
    Misplaced,
    /// A shared type, or bytes, where a value belongs.
    #[error("a plain value belongs at this place")]
    NotPlain,
    /// Something else within a text.
    #[error("only text belongs into a text")]
    NotText,
    /// A value is too large.
    #[error(
        "a value has at most {} KiB, those of positions, groups, colors and votes {} KiB",
        BOARD_VALUE_BYTES_MAX >> 10,
        BOARD_SMALL_VALUE_BYTES_MAX >> 10
    )]
    TooLarge,
    /// More broken rules than can be mended.
    #[error(
        "one edit breaks the rules of this board at more than {BOARD_BROKEN_MAX} places, or on very large cards"
    )]
    TooMany,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ReadOnly,
        Self::Meta,
        Self::OthersCard,
        Self::OthersSignature,
        Self::AuthorIsNotYou,
        Self::OthersVotes,
        Self::UnknownRoot,
        Self::Misplaced,
        Self::NotPlain,
        Self::NotText,
        Self::TooLarge,
        Self::TooMany,
    ];

    /// For programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Meta => "meta_is_the_facilitators",
            Self::OthersCard => "card_of_another",
            Self::OthersSignature => "signature_of_another",
            Self::AuthorIsNotYou => "author_is_not_you",
            Self::OthersVotes => "votes_of_another",
            Self::UnknownRoot => "unknown_root",
            Self::Misplaced => "misplaced",
            Self::NotPlain => "not_plain",
            Self::NotText => "not_text",
            Self::TooLarge => "value_too_large",
            Self::TooMany => "too_many_broken_rules",
        }
    }
}
