//! Bounds of what several instances share: the bus, healing, Redis.

/// Milliseconds after which a room's channel on Redis counts as quiet, and the head of its log is looked at: a
/// message that was lost last shows by nothing else.
pub const REDIS_BUS_QUIET_MS: u64 = 250;

/// Milliseconds between two such looks while a room stays quiet, at most.
pub const REDIS_BUS_REST_MS_MAX: u64 = 10_000;

/// Milliseconds within which a batch of our own comes back on its channel, if the channel is alive.
pub const REDIS_BUS_ECHO_MS: u64 = 1_000;

/// Calls of the bus to Redis under way at once: a reconnect of ten thousand rooms goes in batches.
pub const REDIS_BUS_CALLS_MAX: usize = 256;

/// Messages to other instances about presence that wait to be published; more are dropped.
pub const REDIS_WHISPERS_MAX: usize = 1_024;

/// What one room's follower of the bus may leave waiting, in messages. A batch is one; whoever has
/// missed some reads the log instead, so that more would only delay that.
pub const BUS_HEARD_MAX: usize = 64;

/// Bytes of one message about presence on the bus: as much as a batch may have there.
pub const BUS_WHISPER_BYTES_MAX: usize = 64 << 10;

/// Records of batches that a room holds back because records before them are not here yet. One page: more
/// is read from the log.
pub const BUS_HELD_RECORDS_MAX: usize = 512;

/// Milliseconds that an append's answer waits for batches of others before it, which the bus brings as a
/// rule sooner, before they are read from the log.
pub const BUS_REPLY_AHEAD_MS: u64 = 50;

/// Milliseconds before a log that did not answer is read again.
pub const BUS_READ_AGAIN_MS: u64 = 500;

/// How often an edit that can be stored at one position only is judged anew because another instance was faster there,
/// while its room waits. Where every second batch is another instance's, one of 500 such edits fails.
pub const EXACT_TRIES_MAX: u32 = 8;

/// How often a room that the store has lost is healed again because others did so at the same moment.
pub const HEAL_TRIES: usize = 32;

/// In so many parts the sessions of a healed room are asked for what they have, so many milliseconds
/// apart: two seconds for all, so that their answers are no burst.
pub const HEAL_ASKS: usize = 20;
/// See [`HEAL_ASKS`].
pub const HEAL_ASK_MS: u64 = 100;

/// How long an append to Redis, or another short call, may take before its outcome counts as unknown. A disk
/// that is slow makes Redis hold writes for up to two seconds (`appendfsync everysec`).
pub const REDIS_CALL_MS_MAX: u64 = 2_000;

/// The same for a page of records or a chunk of a snapshot.
pub const REDIS_BULK_MS_MAX: u64 = 5_000;

/// How long making a connection to Redis may take, its greeting included.
pub const REDIS_CONNECT_MS_MAX: u64 = 2_000;

/// The pause before the second try to reach Redis; it doubles …
pub const REDIS_RECONNECT_MS: u64 = 20;

/// … up to this, so that a Redis that is back is in use within a second.
pub const REDIS_RECONNECT_MS_MAX: u64 = 500;

/// A connection that held for so long was a good one: when it is lost, the first try comes without a pause.
pub const REDIS_STEADY_MS: u64 = 5_000;

/// Calls that wait to be written to one connection; later ones wait outside of the queue, within their bound.
pub const REDIS_QUEUE_MAX: usize = 1_024;

/// A connection that says nothing for so long is probed by the system …
pub const REDIS_KEEPALIVE_S: u64 = 15;

/// … and again after each of these.
pub const REDIS_KEEPALIVE_PROBE_S: u64 = 5;

/// Bytes of one batch that is sent to Redis. Redis closes a connection that sends 1 GiB at once.
pub const REDIS_BATCH_BYTES_MAX: usize = 256 << 20;

/// Bytes of a batch that is published with its records; of a larger one readers are told that it is there.
pub const REDIS_PUBLISH_BYTES_MAX: usize = 64 << 10;

/// Records that one page of a read asks Redis for: it serves nobody else meanwhile, some 100 µs; 1 ms where a script has
/// to count their bytes.
pub const REDIS_PAGE_RECORDS: u64 = 512;

/// How long after its deadline Redis itself removes a room that no instance has: sweepers look every ten minutes, and
/// may have to export it first.
pub const REDIS_EXPIRY_GRACE_MS: u64 = 3_600_000;

/// Uploads of one room that are open at the same time, of all instances.
pub const REDIS_UPLOADS_MAX: usize = 64;

/// Names that one listing of rooms keeps, so that the pages after the first one need no scan of their own.
pub const REDIS_NAMES_MAX: usize = 65_536;

/// How long such a listing is good for.
pub const REDIS_NAMES_MS_MAX: u64 = 60_000;

/// Keys that one step of a scan looks at.
pub const REDIS_SCAN_KEYS: usize = 1_000;

/// Times that a change which others overtook is tried again.
pub const REDIS_TRIES_MAX: u32 = 32;

/// Rooms of which positions are remembered, so that a reader who goes on finds its place at once …
pub const REDIS_PLACES_ROOMS_MAX: usize = 4_096;

/// … and how many of each.
pub const REDIS_PLACES_MAX: usize = 20;

/// How often the settings of Redis are looked at.
pub const REDIS_WATCH_MS: u64 = 10_000;

/// The same while something is wrong with them: a server that has loaded its data is well within a second.
pub const REDIS_TROUBLED_MS: u64 = 1_000;

/// How long a start waits for a Redis that is loading its data.
pub const REDIS_LOADING_MS_MAX: u64 = 30_000;

/// How often Sentinel is asked who the primary is.
pub const REDIS_SENTINEL_MS: u64 = 1_000;

/// How long a sentinel may take to say so, connecting included.
pub const REDIS_SENTINEL_ANSWER_MS_MAX: u64 = 500;

/// How often a cluster is asked who has which slots, if nothing else is the reason …
pub const REDIS_TOPOLOGY_MS: u64 = 10_000;

/// … and how long it is let alone after it was asked.
pub const REDIS_TOPOLOGY_PAUSE_MS: u64 = 100;

/// How long a server of a cluster may take to say so, connecting included.
pub const REDIS_TOPOLOGY_ANSWER_MS_MAX: u64 = 1_000;

/// How often one call follows servers of a cluster that say that another has the slot, or that nobody has it now.
pub const REDIS_REDIRECTS_MAX: u32 = 32;

/// The first pause before a call asks again for a slot that nobody has now; it doubles three times.
pub const REDIS_REDIRECT_MS: u64 = 10;
