//! Bounds of hidden cards.

/// Draft rooms of one board that a reveal or a count looks at: one a person, and a room takes some thousand people.
pub const DRAFTS_PER_BOARD_MAX: usize = 4_096;

/// Names of rooms that are asked for at a time, to find a board's drafts among them.
pub const DRAFTS_PAGE: usize = 256;

/// How often a person's cards are tried to be moved while others write to the board or the person to the draft. Each try takes what
/// the one before has left.
pub const DRAFT_TRIES: usize = 32;

/// Tries that are stored only right behind what was read, so that two instances that reveal at once do not both copy a card. In a
/// board that is never quiet for that long, the tries behind these are stored wherever they come.
pub const DRAFT_EXACT_TRIES: usize = 16;

/// How long cards that came late wait for the next try if the store does not take them: in seconds, for each try.
pub const DRAFT_LATE_WAITS_S: [u64; 4] = [1, 5, 30, 120];
