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
