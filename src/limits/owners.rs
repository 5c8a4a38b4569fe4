//! Bounds of who owns which id.

/// Bytes that a whisper of presence keeps free for the user id of its last entry, beside that entry's state.
pub const PRESENCE_USER_BYTES_SPARE: usize = 2 << 10;

/// Presence ids of users who have left a room that are remembered while it is loaded, so that nobody else takes
/// them: 64 KiB for a thousand. Beyond that the ids of new people are free a minute after they have left.
pub const PRESENCE_USERS_REMEMBERED_MAX: usize = 8_192;

/// The newest edits of a room that are remembered by a hash, to tell one that comes again from another one
/// under the same client id and clocks. Two tabs that share an id are both awake: few edits lie between.
pub const RECENT_EDITS_MAX: usize = 64;
