//! Bounds of how many and how fast: sockets, sessions, new rooms, messages. What an operator may change has
//! its default here and its flag in `src/config/limits.rs`.

/// Sockets of one instance: 2.5 to 3.5 KiB each while they wait (docs/BENCHMARKS.md, connect), and a file descriptor.
pub const SOCKETS_MAX: usize = 20_000;

/// Sockets of one address, or of one network of 64 bits in IPv6. An office, a conference or a mobile carrier
/// is one address; a thousand of its people in one room are honest.
pub const SOCKETS_PER_ADDRESS_MAX: usize = 2_000;

/// Sockets above the bound of an address that are still told why, in a close frame; the next ones get a bare
/// 503. Telling keeps a socket for up to three seconds.
pub const SOCKETS_TOLD_MAX: usize = 64;

/// Sessions of one instance. A socket of the y-websocket family has one, one of Hocuspocus up to
/// [`HOCUSPOCUS_DOCUMENTS_MAX`](super::HOCUSPOCUS_DOCUMENTS_MAX).
pub const SESSIONS_MAX: usize = 50_000;

/// Sessions of one user, of all rooms: a person has some tabs, and a page may have some dozen documents.
pub const SESSIONS_PER_USER_MAX: usize = 256;

/// Sessions in one room. Each delivery goes to each of them; presence has room for as many ids.
pub const SESSIONS_PER_ROOM_MAX: usize = 4_096;

/// Rooms that one address may begin within a minute: forty people who each begin six.
pub const NEW_ROOMS_PER_ADDRESS_PER_MINUTE: u32 = 240;

/// Rooms that may be begun within a minute by everyone together.
pub const NEW_ROOMS_PER_MINUTE: u32 = 6_000;

/// Messages that one socket may send a second, for as long as it likes. A drag on a fast screen is 120 edits,
/// 120 states of presence and, in the y-sweet family, 120 questions whether all is stored.
pub const SOCKET_MESSAGES_PER_S: u32 = 500;

/// Bytes of messages that one socket may send a second, for as long as it likes.
pub const SOCKET_BYTES_PER_S: u32 = 1 << 20;

/// Seconds of both that may come at once. A network that stands still for as long as a socket is kept without
/// a sign of life ([`HALF_OPEN_BEATS`](super::HALF_OPEN_BEATS)) brings all of that in one go.
pub const SOCKET_BURST_S: u32 = 40;

/// Milliseconds that a socket is not read because it was too fast, in sum, before it is closed. The sum begins
/// anew when half of a burst is free again.
pub const FLOOD_MS_MAX: u64 = 10_000;

/// Connections that have not sent a whole request yet, above which the oldest make room. A head takes one
/// round trip, so that even a crowd that joins at once is below it.
pub const HANDSHAKES_MAX: usize = 4_096;

/// No connection makes room that is younger than this: its head is on its way.
pub const HANDSHAKE_FRESH_MS: u64 = 2_000;

/// Connections without a whole request that make room at a time when file descriptors run out: each wait for
/// one costs those who come 100 ms.
pub const HANDSHAKES_SHED: usize = 64;

/// Addresses of which is remembered how many rooms they have begun lately: 65,536 of them take 4 MiB. An
/// attacker who has more than that forgets others, and gains no more than by having them.
pub const ADDRESSES_MAX: usize = 65_536;

/// Entries of a list of forwarding proxies that are looked at, from the last one on.
pub const FORWARDED_HOPS_MAX: usize = 32;

/// Pieces of a message that cost as much as a message. Browsers cut at 128 KiB, so that honest ones are below
/// what their bytes cost.
pub const FRAMES_PER_CHARGE: u32 = 16;

/// Pieces that one message may be in: the largest document in pieces of 1 KiB.
pub const FRAMES_PER_MESSAGE_MAX: u32 = 65_536;
