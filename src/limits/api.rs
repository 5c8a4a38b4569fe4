//! Bounds of the HTTP API and of webhooks.

use super::UPDATE_BYTES_MAX;

/// Operations of one edit that is described in JSON.
pub const EDIT_OPERATIONS_MAX: usize = 1_000;

/// Steps of the path of such an operation: deeper than types can be nested, and one for the root.
pub const EDIT_PATH_MAX: usize = 66;

/// Bytes of such an edit: it becomes one update.
pub const EDIT_BYTES_MAX: usize = UPDATE_BYTES_MAX;

/// Edits of one room in JSON in which the engine may panic, until edits of that kind are refused in that room: each keeps
/// its copy of the document in memory until the process ends.
pub const EDIT_PANICS_PER_ROOM_MAX: usize = 2;

/// The same for all rooms together.
pub const EDIT_PANICS_MAX: usize = 16;

/// Requests that may have a document in memory for themselves at the same time: a walk through a room's history,
/// a copy to edit, a document as JSON. Others wait for their turn.
pub const API_DOCUMENTS_MAX: usize = 4;

/// Bodies of requests above [`EDIT_BYTES_MAX`], or of a length that is not said, that are read at the same time: each
/// may be a whole document.
pub const API_LARGE_BODIES_MAX: usize = 4;

/// Answers above [`API_PIECE_BYTES`] that are written at the same time, exports among them.
pub const API_LARGE_ANSWERS_MAX: usize = 16;

/// The part of each of these shares that one address may have, of how many: the rest is for others, who would have to wait for
/// a reader that is as slow as is allowed.
pub const API_SHARES_OF_AN_ADDRESS: (usize, usize) = (3, 4);

/// Bytes of a piece of such an answer: what a reader that does not read keeps in memory.
pub const API_PIECE_BYTES: usize = 256 << 10;

/// Such a reader is given up after this time without a piece taken …
pub const API_STALL_MS_MAX: u64 = 30_000;

/// … and when it has been waited for longer than that and what its pieces take at this rate, 1 Mbit/s: a document of 64 MiB
/// has nine minutes.
pub const API_READ_BYTES_PER_S_MIN: u64 = 128 << 10;

/// The body of a request has this long to arrive: a document of 64 MiB comes in that time at 10 Mbit/s. What the request
/// asks for is answered within [`API_MS_MAX`](super::API_MS_MAX) after that.
pub const API_BODY_MS_MAX: u64 = 60_000;

/// Records in one answer about a room's log, if the request does not say.
pub const API_LOG_RECORDS: usize = 100;

/// The same, whatever the request says.
pub const API_LOG_RECORDS_MAX: usize = 1_000;

/// Client ids of a room that edits of the API are written under, kept for the next ones. Each edit takes one that no
/// other edit uses just then: a new id for each would fill a document's table of clients.
pub const API_CLIENTS_KEPT_MAX: usize = 64;

/// Receivers of webhooks.
pub const WEBHOOK_TARGETS_MAX: usize = 8;

/// Notices that wait for one receiver: a few hundred bytes each.
pub const WEBHOOK_QUEUE_MAX: usize = 4_096;

/// Requests to one receiver under way at once.
pub const WEBHOOKS_UNDER_WAY_MAX: usize = 4;

/// How long changes of a room are collected before they are told as one. The default of `--webhook-debounce`.
pub const WEBHOOK_DEBOUNCE_MS: u64 = 2_000;

/// How long a receiver may take to answer: what the specification of webhooks recommends.
pub const WEBHOOK_REQUEST_MS_MAX: u64 = 15_000;

/// Seconds from one try to the next, each with up to half as much again at random: two days in all, by which a room is
/// gone as a rule.
pub const WEBHOOK_WAITS_S: [u64; 10] = [5, 60, 300, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 72_000];

/// How long a receiver that has failed is left alone; twice as long after each further failure …
pub const WEBHOOK_REST_MS: u64 = 500;

/// … but no longer than this, whatever it asks for.
pub const WEBHOOK_REST_MS_MAX: u64 = 300_000;

/// On the way down, what waits for receivers is told within this time, or forgotten.
pub const WEBHOOK_GOODBYE_MS: u64 = 3_000;
