//! Bounds of boards: what their schema takes. A value beyond them is not read, as if it were not there.

/// Bytes of the id of a card, group, column or action item; ids are random or words, never text.
pub const BOARD_ID_BYTES_MAX: usize = 128;

/// Bytes of a card's or an action item's text: a hundred pages. Longer ones are documents.
pub const BOARD_TEXT_BYTES_MAX: usize = 128 << 10;

/// Bytes of a title, a name, an assignee or a due date.
pub const BOARD_LINE_BYTES_MAX: usize = 1 << 10;

/// Cards on one board that are read. A retrospective has a hundred.
pub const BOARD_ITEMS_MAX: usize = 20_000;

/// Columns of one board: they stand side by side.
pub const BOARD_COLUMNS_MAX: usize = 64;

/// Votes that one person has on one board at most, whatever `voteLimit` says.
pub const BOARD_VOTES_MAX: u32 = 999;

/// The votes that each person has where `meta` does not say.
pub const BOARD_VOTES: u32 = 5;

/// The largest whole number that JavaScript has exactly: times and counts are at most this.
pub const BOARD_WHOLE_MAX: u64 = (1 << 53) - 1;

/// Coordinates on a board, in pixels of an unscaled page, from the middle; beyond, cards are unreachable.
pub const BOARD_COORDINATE_MAX: f64 = 1_000_000.0;

/// Digits behind the point that a coordinate keeps: a hundredth of a pixel.
pub const BOARD_COORDINATE_STEP: f64 = 0.01;

/// Bytes of one value of a board as it is encoded: a text of a card, the columns, what a newer schema has.
pub const BOARD_VALUE_BYTES_MAX: usize = 160 << 10;

/// Bytes of a position, a group, a color or a count of votes as it is encoded.
pub const BOARD_SMALL_VALUE_BYTES_MAX: usize = 4 << 10;

/// Keys of a board at which one update may break a rule, and what was there is set again. At others it is kept as it was: what
/// would set it is garbage, what would delete it is not deleted. A page that clears the votes of a thousand people, or
/// takes away all cards of others, comes above it.
pub const BOARD_BROKEN_MAX: usize = 4_096;

/// Bytes of what is set again behind the broken acts of one update: it is stored, and shown to everyone. What is beyond
/// is kept as it was instead, see `room::state::rules`.
pub const BOARD_RESTORED_BYTES_MAX: usize = 1 << 20;

/// Bytes of one card that is set again, its fields together: the text and all that readers show fit. Of what only newer
/// schemas know it has as much as fits, so no card can be padded until it cannot be set again.
pub const BOARD_CARD_RESTORED_BYTES_MAX: usize = 384 << 10;

/// Formats of a shared text that are set again with it: to read them the engine takes memory by their square, here 10 MiB.
/// A text with more comes back without formats.
pub const BOARD_TEXT_MARKS_MAX: u64 = 512;

/// Edits of one person in one room that are mended in [`BOARD_OFFENCES_MS`]; who breaks rules more often has to come back
/// later. Whoever does what a page offers and the server forbids stays below: two a second.
pub const BOARD_OFFENCES_MAX: u32 = 120;

/// Bytes that are set again behind one person's edits in [`BOARD_OFFENCES_MS`]: an offence of 30 bytes may have 1 MiB
/// stored and sent to everyone.
pub const BOARD_OFFENCES_BYTES_MAX: usize = 8 << 20;

/// A minute, in milliseconds: for so long offences are counted.
pub const BOARD_OFFENCES_MS: u64 = 60_000;
