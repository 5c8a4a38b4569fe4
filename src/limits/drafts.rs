//! Bounds of hidden cards.

/// Draft rooms of one board that a reveal or a count looks at: one a person, and a room takes some thousand people.
pub const DRAFTS_PER_BOARD_MAX: usize = 4_096;

/// Names of rooms that are asked for at a time, to find a board's drafts among them.
pub const DRAFTS_PAGE: usize = 256;

/// How often a person's cards are tried to be moved while others write to the board or the person to the draft. Each try takes what
/// the one before has left, and is stored only right behind what was read.
pub const DRAFT_TRIES: usize = 32;

/// A draft is compacted only when so many times more is new than in other rooms: what its author changes in a card that was moved
/// is told by the records from then on, one by one, and by what they stand in. 16,000 records take some tens of milliseconds to fold.
pub const DRAFT_COMPACT_TIMES: u64 = 16;

/// How long a process remembers that a board's drafts were looked through for cards that a reveal has left: in ms. A look costs a
/// listing of the board's drafts.
pub const REVEALS_FINISHED_MS: u64 = 600_000;

/// How long an instance that hears of another one's reveal waits before it looks whether cards were left: in ms. A reveal of a
/// thousand drafts takes some seconds.
pub const REVEALS_OF_OTHERS_MS: u64 = 60_000;

/// How long cards that came late wait for the next try if the store does not take them: in seconds, for each try.
pub const DRAFT_LATE_WAITS_S: [u64; 4] = [1, 5, 30, 120];

/// So many more tries follow, each after the longest wait: about an hour.
pub const DRAFT_LATE_TRIES: usize = 30;

/// Drafts whose cards are on their way at a time, in all boards of an instance: each has copies of its board and of itself.
pub const DRAFTS_MOVED_MAX: usize = 4;

/// Reveals that are asked for and not answered, on one instance: above that it is busy.
pub const REVEALS_MAX: usize = 16;

/// Drafts whose number of cards is remembered, and how far their boards have followed them.
pub const DRAFT_COUNTS_MAX: usize = 16_384;

/// A draft and its board go at the same time, but for this: what the clocks of an instance and of a store may differ by.
pub const DRAFT_APART_MS_MAX: u64 = 300_000;
