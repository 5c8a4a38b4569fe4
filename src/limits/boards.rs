//! Bounds of boards over HTTP.

/// Users of a room that are remembered for having written, beside those who own client ids: names and times, a megabyte.
pub const BOARD_WRITERS_MAX: usize = 10_000;

/// Bytes of boards as JSON that are kept for the next who asks, as long as their rooms stay at the same position: a hundred
/// boards of a thousand cards. One that is larger than a quarter of it is made anew each time.
pub const BOARDS_KEPT_BYTES_MAX: usize = 32 << 20;

/// How many of them: looked through from the newest on.
pub const BOARDS_KEPT_MAX: usize = 256;

/// Bytes of a request that begins a board: the name of a template.
pub const BOARD_BEGIN_BYTES_MAX: usize = 4 << 10;

/// Bytes of a board that is imported: a whole document's, as JSON.
pub const BOARD_IMPORT_BYTES_MAX: usize = super::DOCUMENT_BYTES_MAX;

/// Bytes of a room's name in the name of a file.
pub const BOARD_FILE_NAME_BYTES_MAX: usize = 80;
