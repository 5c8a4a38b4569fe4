//! Every bound of the system, with unit and reason. A limit that an operator may change has its
//! default here and its flag in `config.rs`.

/// Bytes in a room's name. Names become keys and file names of exports; 128 leaves room for
/// percent-encoding each byte.
pub const ROOM_NAME_BYTES_MAX: usize = 128;

/// The largest client id: JavaScript's `Number.MAX_SAFE_INTEGER`, so 53 bits.
pub const CLIENT_ID_MAX: u64 = (1 << 53) - 1;

/// Bits of a generation's nonce. The nonce is a block length, and lengths stay below [`CLOCK_MAX`].
pub const GENERATION_NONCE_BITS: u32 = 30;

/// Clocks, and clock plus length, stay below 2^31: yrs wraps there, Yjs ignores what is above.
pub const CLOCK_MAX: u32 = 1 << 31;

/// Levels of arrays and maps within one JSON or `Any` value. Yjs and yrs recurse per level; yrs
/// overflows a 2 MiB stack at 7,000.
pub const VALUE_DEPTH_MAX: usize = 32;

/// Levels of shared types inside each other. yrs aborts when 8,000 levels are deleted; honest
/// documents have fewer than ten.
pub const TYPE_DEPTH_MAX: u8 = 64;

/// Bytes of the name of a root, a map key, a format key or an XML node. They are kept for the life
/// of the room.
pub const NAME_BYTES_MAX: usize = 1024;

/// Sets of one key that name the same left neighbour, within one update. Integrating n of them
/// costs n^2; 20,000 take yrs 1.8 s. A chain of sets, as a drag writes it, counts as one.
pub const SIBLING_SETS_PER_UPDATE_MAX: u32 = 256;

/// The same within a Step2, which may honestly bring what many people set at once.
pub const SIBLING_SETS_PER_STEP2_MAX: u32 = 4_096;

/// Client ids in one document. Every reload of a page makes one; yrs needs stack for each client
/// in an update.
pub const CLIENTS_PER_DOCUMENT_MAX: usize = 65_536;

/// Bytes of an Update message. A Step2 is bounded by [`DOCUMENT_BYTES_MAX`] instead: what we hand
/// out as one Step2 we accept back as one.
pub const UPDATE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a document in its encoded form, and so of a Step2 and of a WebSocket message.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Bytes of one person's presence state (JSON).
pub const PRESENCE_STATE_BYTES_MAX: usize = 8 << 10;

/// Presence ids in one room. Everyone's state is sent to everyone.
pub const PRESENCE_IDS_PER_ROOM_MAX: usize = 4_096;

/// Updates in one batch: what one append carries.
pub const BATCH_UPDATES_MAX: usize = 256;

/// Bytes in one batch, unless a single update is larger.
pub const BATCH_BYTES_MAX: usize = 256 << 10;

/// An update above this many bytes is judged and folded on the blocking pool: below it, the work
/// is shorter than moving it.
pub const INLINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a record's metadata. Most of it is claims, ten bytes each, and a document has at most
/// [`CLIENTS_PER_DOCUMENT_MAX`] of them.
pub const RECORD_METADATA_BYTES_MAX: usize = 1 << 20;

/// Bytes of a record: a Step2 of a whole document is one update.
pub const RECORD_BYTES_MAX: usize = RECORD_HEADER_BYTES + RECORD_METADATA_BYTES_MAX + DOCUMENT_BYTES_MAX;

/// Bytes before a record's metadata.
pub const RECORD_HEADER_BYTES: usize = 16;

/// Instances whose last batch a room remembers, so that a retry is recognised. A batch is retried
/// within seconds; the embedded store has one instance at a time, Redis as many as serve one room.
pub const BATCH_MEMORY_INSTANCES_MAX: usize = 16;

/// Appends that wait for the embedded store's writer; later ones wait outside of the queue. Each
/// room has one under way.
pub const EMBEDDED_QUEUE_MAX: usize = 4_096;

/// Bytes in one transaction of the embedded store, unless a single batch is larger. It bounds what
/// a commit must write, and so how long those who came next wait.
pub const EMBEDDED_COMMIT_BYTES_MAX: usize = 4 << 20;

/// Batches in one transaction of the embedded store, for the same reason.
pub const EMBEDDED_COMMIT_BATCHES_MAX: usize = 1_024;

/// Bytes of the embedded store's page cache. redb's own default is 1 GiB.
pub const EMBEDDED_CACHE_BYTES: usize = 64 << 20;

/// Reads of the embedded store that run at once, each on a thread of the blocking pool.
pub const EMBEDDED_READS_MAX: usize = 16;

/// Bytes that must be free before a store that was full takes appends again: enough for a commit,
/// little enough to be found soon.
pub const EMBEDDED_PROBE_BYTES: usize = 4 << 20;

/// The embedded store saves what makes a restart after kill -9 instant in each commit, above this
/// many bytes, with a second sync. Below, such a restart reads the file, at about 2 s per GiB.
pub const EMBEDDED_QUICK_REPAIR_BYTES: u64 = 1 << 30;

/// Milliseconds before the embedded store is tried again after a failure; doubles up to
/// [`EMBEDDED_RETRY_MS_MAX`].
pub const EMBEDDED_RETRY_MS_MIN: u64 = 50;

/// The longest that the embedded store waits before it is tried again: people wait for it.
pub const EMBEDDED_RETRY_MS_MAX: u64 = 2_000;
/// Sets of one key that name the same left neighbour, from all updates while a room is loaded:
/// what [`SIBLING_SETS_PER_UPDATE_MAX`] is for one. Integrating 8,000 costs 0.3 s in all.
pub const SIBLING_SETS_PER_ROOM_MAX: u32 = 8_192;

/// Buckets in which a loaded room counts such sets: 2 KiB, allocated when a room has had as many
/// sets as one update may bring.
pub const SIBLING_BUCKETS: usize = 1_024;

/// After this many sets all buckets are halved. With 1,024 buckets an honest one stays near 64.
pub const SIBLING_SETS_REMEMBERED: u32 = 32_768;
/// Committed frames that a room keeps for sessions that are slow. One that falls behind further
/// gets a diff.
pub const RING_FRAMES_MAX: usize = 1_024;

/// Bytes of those frames: what a stalled reader can cost.
pub const RING_BYTES_MAX: usize = 1 << 20;

/// Diffs that a room keeps for sessions that fell off the ring. They stand at one of the last two
/// beats, almost always.
pub const CATCH_UP_ANSWERS_MAX: usize = 2;

/// Presence ids that one session may announce anew. One tab has one; a page with several
/// documents or a bridge has a few.
pub const PRESENCE_IDS_PER_SESSION_MAX: usize = 32;

/// How long a crashed session's presence stays, so that a reconnect does not flicker.
pub const PRESENCE_GRACE_MS: u64 = 5_000;

/// How long a presence state stays without being renewed. Clients renew after 15 s and drop others
/// after 30 s.
pub const PRESENCE_STALE_MS: u64 = 45_000;

/// How long a removed presence id is remembered, so that a late echo of it is not news.
pub const PRESENCE_FORGET_MS: u64 = 60_000;

/// Updates of one room that may wait for the log, in units of [`INFLOW_UNIT_BYTES`]: 16 MiB, or
/// 4,096 small updates. Above it the room's sockets are not read.
pub const INFLOW_UNITS_MAX: u32 = 4_096;

/// What an update costs of [`INFLOW_UNITS_MAX`]: one unit per started 4 KiB.
pub const INFLOW_UNIT_BYTES: usize = 4 << 10;

/// In rooms above this many sessions, fan-out goes in rounds.
pub const ROUND_SESSIONS_MIN: usize = 100;

/// The least time from the start of one round of fan-out to the next: a write costs as much as
/// everything else in a delivery, so writes should carry several updates. At 100 updates a second
/// 10 ms merge next to none of them. Figures for 10 to 20 ms are in `docs/BENCHMARKS.md`.
pub const ROUND_MS: u64 = 12;

/// Seats for which a thread more takes part in a round: writing to fewer costs less than waking it.
pub const SEATS_PER_THREAD_MIN: usize = 128;

/// How often presence changes go out: in small rooms, and in those above [`ROUND_SESSIONS_MIN`].
pub const PRESENCE_TICK_MS: (u64, u64) = (25, 50);

/// How often a room looks at its sessions: keepalives, pings, stale presence. Clients give up
/// after 30 s without a message; a silent session gets one at every beat.
pub const BEAT_MS: u64 = 10_000;

/// Bytes of records after which one read of the log ends, so that opening a room of large records
/// does not hold all of them.
pub const READ_BYTES_MAX: usize = 4 << 20;

/// How long a room lives after its last edit and its last leave: a retrospective is over the day
/// after. The default of `--room-ttl`.
pub const ROOM_TTL_MS: u64 = 24 * 3_600_000;

/// Bytes of one piece of a snapshot in the store: what one write carries, so that no other room
/// waits long for its turn.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;

/// How long an upload that nobody adopts stays: a snapshot is written within seconds.
pub const UPLOAD_MS_MAX: u64 = 3_600_000;

/// Records that one page of a load reads.
pub const LOAD_PAGE_RECORDS: usize = 2_048;

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

/// Bytes of frames that a session takes from the ring at once, unless a single one is larger:
/// what one write carries.
pub const RING_TAKE_BYTES_MAX: usize = 64 << 10;

/// A batch of at most this many blocks is folded where the room runs, however large the document.
pub const INLINE_BLOCKS_MAX: u64 = 8;

/// A larger batch goes to the blocking pool if its blocks times the document's runs, the most
/// steps that integrating it can take, are above this: about 50 ms.
pub const INLINE_STEPS_MAX: u64 = 100_000;

/// Connections that the system may hold for us before they are accepted. With the usual 128, a
/// thousand people who join at once wait a second for their connection to be tried again.
pub const LISTEN_BACKLOG: u32 = 4_096;
