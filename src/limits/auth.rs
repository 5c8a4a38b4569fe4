//! Bounds of tokens, keys and revocations.

/// Bytes of a token. What issuers send has some hundred; a request's head has [`super::REQUEST_HEAD_BYTES_MAX`].
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Bytes of a user's id, the claim `sub`. It is in the metadata of each record.
pub const USER_ID_BYTES_MAX: usize = 256;

/// Bytes of the name that others see.
pub const USER_NAME_BYTES_MAX: usize = 128;

/// Bytes of a token's own name, the claim `jti`.
pub const TOKEN_ID_BYTES_MAX: usize = 128;

/// Rooms and prefixes that one token names.
pub const TOKEN_ROOMS_MAX: usize = 256;

/// Keys that tokens may be signed with.
pub const AUTH_KEYS_MAX: usize = 64;

/// Bytes of a file with keys.
pub const KEY_FILE_BYTES_MAX: u64 = 256 << 10;

/// Bytes of a shared secret, at least: as many as HMAC-SHA-256 gives (RFC 7518, 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// Different bytes in a shared secret, at least. 32 random bytes in hex have 16 or a few less; a word that is repeated
/// has fewer than this.
pub const SECRET_VARIETY_MIN: usize = 8;

/// Clocks of issuers may differ from ours by so many seconds, at most.
pub const AUTH_LEEWAY_S_MAX: u64 = 30;

/// The longest that `--auth-token-life` can be: a year and a day. A revocation is kept so long.
pub const TOKEN_LIFE_S_MAX: u64 = 366 * 24 * 3_600;

/// How often an instance looks for revocations of others. With the time that the store may take to answer it stays
/// below five seconds.
pub const REVOCATIONS_LOOK_MS: u64 = 2_000;

/// How long that may take.
pub const REVOCATIONS_LOOK_MS_MAX: u64 = 2_000;

/// Notes that a store keeps at a time: some megabytes. Each lasts as long as a token may.
pub const NOTES_MAX: usize = 16_384;

/// Bytes of one note: a user's id and a room's name, and what frames them.
pub const NOTE_BYTES_MAX: usize = 2 << 10;

/// How often all notes on Redis are read although nothing says that there are new ones: to see what it has lost.
pub const REDIS_NOTES_MS: u64 = 30_000;

/// Notes that one call stores on Redis: half a megabyte.
pub const REDIS_NOTES_PER_CALL: usize = 256;

/// How long a document token lives if nobody says otherwise.
pub const DOCUMENT_TOKEN_S: u64 = 3_600;

/// Bytes of a request to the admin listener.
pub const ADMIN_CALL_BYTES_MAX: usize = 16 << 10;

/// A live session is looked at again after this, whatever its timer says: clocks are set.
pub const STANDING_LOOK_MS: u64 = 60_000;
