//! Bounds of connections: how they are read and written, when they are given up, how they begin and end.

/// Bytes that one read of a socket takes, by way of the stack: a connection that waits holds no
/// buffer. Most messages are below 100 bytes; a busy client's come several at once.
pub const READ_SCRATCH_BYTES: usize = 4 << 10;

/// Bytes that one read takes of a frame that is larger, straight into the place of that frame.
pub const READ_CHUNK_BYTES: usize = 256 << 10;

/// Messages up to this many bytes are copied together into one write; larger ones are written
/// from the memory that all sessions share.
pub const WRITE_COPY_BYTES_MAX: usize = 4 << 10;

/// A client that does not read for this long is given up.
pub const WRITE_STALL_MS_MAX: u64 = 30_000;

/// A client sends its SyncStep1 within this time after the upgrade.
pub const GREETING_MS_MAX: u64 = 30_000;

/// Frames of one socket that are dealt with before its writes get their turn.
pub const READS_PER_TURN_MAX: usize = 64;

/// Silent beats after which a socket is pinged.
pub const PING_BEATS: u32 = 2;

/// Silent beats after which a socket is given up: 40 to 50 s.
pub const HALF_OPEN_BEATS: u32 = 5;

/// Bytes of large initial syncs that are being written at the same time, by all sessions, in
/// units of [`INITIAL_SYNC_UNIT_BYTES`]: 64 MiB.
pub const INITIAL_SYNC_UNITS: u32 = 1_024;

/// How long one session holds its share of [`INITIAL_SYNC_UNITS`]; a reader that is slower is
/// written to without one.
pub const INITIAL_SYNC_SHARE_MS: u64 = 2_000;

/// See [`INITIAL_SYNC_UNITS`].
pub const INITIAL_SYNC_UNIT_BYTES: usize = 64 << 10;

/// On the way down, sockets are closed over this time for each socket that is open …
pub const DRAIN_SPREAD_PER_SOCKET_US: u64 = 5_000;

/// … but over no more than this.
pub const DRAIN_SPREAD_MS_MAX: u64 = 5_000;

/// From the signal to the exit, at most.
pub const DRAIN_MS_MAX: u64 = 25_000;

/// A request's head has this long to arrive.
pub const REQUEST_HEAD_MS_MAX: u64 = 10_000;

/// Bytes of a request's head.
pub const REQUEST_HEAD_BYTES_MAX: usize = 16 << 10;

/// Header fields of a request.
pub const REQUEST_HEADERS_MAX: usize = 64;
