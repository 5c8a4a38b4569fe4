//! Bounds of the Hocuspocus family: many documents on one socket, and who they are for is said in band.

/// Bytes of what a client writes behind a room's name and a NUL to tell its sessions apart. The provider writes 11.
pub const HOCUSPOCUS_SESSION_BYTES_MAX: usize = 64;

/// Bytes of a document's full name on the wire; a longer one is not even answered by name.
pub const HOCUSPOCUS_NAME_BYTES_MAX: usize = super::ROOM_NAME_BYTES_MAX + 1 + HOCUSPOCUS_SESSION_BYTES_MAX;

/// Bytes of a token in band: as many as the head of a request may have.
pub const HOCUSPOCUS_TOKEN_BYTES_MAX: usize = super::REQUEST_HEAD_BYTES_MAX;

/// Documents that one socket has open or waits for. An application opens a handful.
pub const HOCUSPOCUS_DOCUMENTS_MAX: usize = 100;

/// Documents that a socket was denied and that are remembered, so that what the client still says of them is
/// dropped and not asked about again.
pub const HOCUSPOCUS_DENIED_MAX: usize = 100;

/// Bytes of messages for documents about which nothing is decided, on one socket.
pub const HOCUSPOCUS_QUEUE_BYTES_MAX: usize = 5 << 20;

/// How many such messages.
pub const HOCUSPOCUS_QUEUE_MESSAGES_MAX: usize = 1_000;

/// From a document's first message to its token, at most.
pub const HOCUSPOCUS_AUTH_MS_MAX: u64 = 10_000;

/// A document that begins without a token, and gets in by none, waits for one that long: a page that fetches its token
/// may ask to sync before it has it.
pub const HOCUSPOCUS_LATE_TOKEN_MS: u64 = 1_000;

/// So long before a token expires its client is asked for another one, with each beat. Versions 3 and 4 send it; others
/// come back when it has expired.
pub const HOCUSPOCUS_ASK_TOKEN_MS: u64 = 25_000;

/// A socket that has no document for so long is closed, from its opening on, whatever it says.
pub const HOCUSPOCUS_EMPTY_MS_MAX: u64 = 30_000;

/// Messages that one document has read and not dealt with. Above it the socket is not read.
pub const HOCUSPOCUS_INBOX_MAX: usize = 64;

/// Bytes of such messages of all documents of a socket, in units of [`HOCUSPOCUS_INBOX_UNIT_BYTES`]: 8 MiB, or one
/// message that is larger.
pub const HOCUSPOCUS_INBOX_UNITS: u32 = 2_048;

/// See [`HOCUSPOCUS_INBOX_UNITS`].
pub const HOCUSPOCUS_INBOX_UNIT_BYTES: usize = 4 << 10;

/// Bytes of a stateless message.
pub const STATELESS_BYTES_MAX: usize = 16 << 10;

/// Stateless messages that wait for one session. A session that does not take them loses the newer ones: they are
/// not part of any document.
pub const STATELESS_WAITING_MAX: usize = 64;

/// Messages of one document that its client waits to be told of, and refused ones beside them: numbers of eight bytes. What
/// waits for the store is bounded elsewhere, so who gets above it has left a question of the server unanswered for as many
/// edits, and is asked to come back.
pub const HOCUSPOCUS_OWED_MAX: usize = 16_384;

/// Bytes of a frame that a shared socket takes from a room without its session. What such a socket does not take at
/// once is copied.
pub const SHARED_OFFER_BYTES_MAX: usize = 64 << 10;
