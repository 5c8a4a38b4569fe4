//! Every bound of the system, with unit and reason. A limit that an operator may change has its
//! default here and its flag in `config.rs`.

mod api;
mod auth;
mod board;
mod boards;
mod drafts;
mod embedded;
mod hocuspocus;
mod instances;
mod moving;
mod owners;
mod sockets;
mod throttle;
mod y_sweet;

pub use api::*;
pub use auth::*;
pub use board::*;
pub use boards::*;
pub use drafts::*;
pub use embedded::*;
pub use hocuspocus::*;
pub use instances::*;
pub use moving::*;
pub use owners::*;
pub use sockets::*;
pub use throttle::*;
pub use y_sweet::*;

/// Bytes in a room's name. Names become keys and file names of exports; 128 leaves room for
/// percent-encoding each byte.
pub const ROOM_NAME_BYTES_MAX: usize = 128;

/// The largest client id: JavaScript's `Number.MAX_SAFE_INTEGER`, so 53 bits.
pub const CLIENT_ID_MAX: u64 = (1 << 53) - 1;

/// Bits of a generation's nonce. The nonce is a block length, and lengths stay below [`CLOCK_MAX`].
pub const GENERATION_NONCE_BITS: u32 = 30;

/// Client ids of markers are at least this: the ids of Yjs 13 and yrs have 32 bits and need no hash
/// to be told apart. One generation in two million is drawn again for it.
pub const MARKER_CLIENT_MIN: u64 = 1 << 32;

/// Markers of one room, and so lives that it has been through: one more for each time that it
/// expired and somebody came back. A room that is revived every day gets there in three years.
pub const MARKERS_PER_ROOM_MAX: usize = 1_024;

/// How long a socket waits for its refusal, in milliseconds, if its copy is of another life or its token is not for this.
/// y-websocket 1.5 knows no final code and comes back 100 ms after each close, for ever: so it
/// does that once a second.
pub const FINAL_PAUSE_MS: u64 = 1_000;

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

/// Steps that an update may take for nothing. Integrating a block takes a step for each block that
/// stands between its neighbours and does not know it: as many people as that may write at one place
/// at the same time, for ever. A step takes yrs 0.3 µs.
pub const STEPS_PER_UPDATE_FREE: u64 = 2_048;

/// The same for what spans an update's blocks: it would walk over them if they had come first. Whoever
/// edits a place has no part in it, so it is more: as much as two people lay who insert at the front of one
/// list 8,192 times, each time before hearing of the other.
pub const STEPS_INHERITED_FREE: u64 = 8_192;

/// Steps for nothing for each block of an update, 5 µs: what a large update costs stays in proportion to
/// its size.
pub const STEPS_PER_BLOCK_FREE: u64 = 16;

/// Steps above what is free that a room may owe before an Update is refused that takes more: 0.3 s.
/// What an update leaves of what is free is paid back.
pub const STEPS_OWED_MAX: u64 = 1_000_000;

/// The same for a Step2, which may honestly bring a document in which 2,800 people wrote at one place.
pub const STEPS_OWED_MAX_STEP2: u64 = 4_000_000;

/// The same while steps are estimated: above it the gate learns the document's order, which costs
/// less than yrs may have spent.
pub const STEPS_ESTIMATED_MAX: u64 = 500_000;

/// Buckets in which a room counts what stands beside each other while steps are estimated: 8 KiB …
pub const WALK_BUCKETS: usize = 1_024;

/// … allocated when a room has had this many blocks; before, one stands for all.
pub const WALK_BUCKETS_BLOCKS_MIN: u32 = 512;

/// Client ids in one document. Every reload of a page makes one; yrs needs stack for each client
/// in an update.
pub const CLIENTS_PER_DOCUMENT_MAX: usize = 65_536;

/// Bytes of an Update message that is one edit or a few. A larger one is a document, and is judged as a
/// Step2. A Step2 is bounded by [`DOCUMENT_BYTES_MAX`] instead: what we hand
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

/// The same in a room whose order the gate has learnt: judging an update there takes steps of its own.
pub const INLINE_COUNTED_BYTES_MAX: usize = 4 << 10;

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

/// Committed frames that a room keeps for sessions that are slow. One that falls behind further
/// gets a diff.
pub const RING_FRAMES_MAX: usize = 1_024;

/// Bytes of those frames: what a stalled reader can cost.
pub const RING_BYTES_MAX: usize = 1 << 20;

/// Diffs that a room keeps for sessions that fell off the ring. They stand at one of the last two
/// beats, almost always.
pub const CATCH_UP_ANSWERS_MAX: usize = 2;

/// Questions of one y-sweet client ("is that stored?") that wait for their answer. It asks after each edit and every
/// 2 s; a newer answer serves for an older one.
pub const ECHOES_MAX: usize = 1_024;

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

/// Updates of all rooms of an instance that may wait for the log, in the same units: 256 MiB. They wait
/// long only while the store is away.
pub const INFLOW_UNITS_INSTANCE_MAX: u32 = 65_536;

/// Milliseconds that a room waits for a store that does not take its edits. Longer than a failover, a restart
/// with a large log, or a frozen minute; then its people are told to come back later: they keep their edits.
pub const STORE_PATIENCE_MS: u64 = 90_000;

/// In rooms above this many sessions, fan-out goes in rounds.
pub const ROUND_SESSIONS_MIN: usize = 100;

/// The least time from the start of one round of fan-out to the next: a write costs as much as
/// everything else in a delivery, so writes should carry several updates. At 100 updates a second
/// 10 ms merge next to none of them. Figures for 10 to 20 ms are in `docs/BENCHMARKS.md`.
pub const ROUND_MS: u64 = 12;

/// In such rooms, the least time from the start of one append to the next, unless a full batch waits: what is stored
/// sooner is not shown sooner, and an append costs the store as much for one update as for five. Less than the 5 ms
/// within which an update is stored.
pub const ROUND_APPEND_MS: u64 = 4;

/// Deliveries (updates × people who get them) a second that an instance is asked for, up to which appends of rooms with
/// fewer sessions wait for nothing but the answer to the last one. About a quarter of what two cores can write one by one.
pub const BUSY_DELIVERIES_PER_SECOND: u64 = 50_000;

/// Updates a second from which a room on a store that other instances use too keeps its appends [`ROUND_APPEND_MS`] apart:
/// each has two updates at least then, and costs such a store about as much for four as for one.
pub const BUSY_ROOM_UPDATES_PER_SECOND: u64 = 500;

/// For each so many a second more, appends of a room begin a millisecond further apart.
pub const BUSY_DELIVERIES_PER_SECOND_MS: u64 = 5_000;

/// And never further apart than this.
pub const BUSY_PACE_MS_MAX: u64 = 20;

/// Seats for which a thread more takes part in a round: writing to fewer costs less than waking it.
pub const SEATS_PER_THREAD_MIN: usize = 128;

/// How often presence changes go out: in small rooms, and in those above [`ROUND_SESSIONS_MIN`].
pub const PRESENCE_TICK_MS: (u64, u64) = (25, 50);

/// How often a room looks at its sessions: keepalives, pings, stale presence. Clients give up
/// after 30 s without a message; a silent session gets one at every beat.
pub const BEAT_MS: u64 = 10_000;

/// A y-sweet client gives up 3 s after a question if it hears nothing at all; while its answer waits for the store it
/// is sent a keepalive so often.
pub const LATE_ANSWER_MS: u64 = 1_200;
const _: () = assert!(2 * LATE_ANSWER_MS < 3_000, "one may be late");

/// Bytes of records after which one read of the log ends, with the record that passes them, so that opening a room of
/// large records does not hold all of them. At 7 Mbit/s Redis answers with so many within [`REDIS_BULK_MS_MAX`].
pub const READ_BYTES_MAX: usize = 4 << 20;

/// How long a room lives after its last edit and its last leave: a retrospective is over the day
/// after. The default of `--room-ttl`.
pub const ROOM_TTL_MS: u64 = 24 * 3_600_000;

/// The shortest `--room-ttl`: below it, rooms would go while people change networks.
pub const ROOM_TTL_MS_MIN: u64 = 60_000;

/// How often a room with sessions moves its deadline, unless a quarter of its life is shorter: a
/// write each time, and an instance that dies leaves its rooms most of their life.
pub const TOUCH_MS: u64 = 3_600_000;

/// A deadline that was set so long ago is good enough for a last leave: people come and go, and
/// each touch is a write. A 64th of the room's life if that is shorter.
pub const TOUCH_SLACK_MS: u64 = 60_000;

/// How often the touch of a last leave is tried, once a beat, before the room unloads without it.
pub const LEAVE_TOUCHES_MAX: u32 = 6;

/// A room whose deadline is nearer than this is said to be about to go.
pub const EXPIRY_WARNING_MS: u64 = 3_600_000;

/// One session is warned at most this often.
pub const EXPIRY_WARNING_PERIOD_MS: u64 = 600_000;

/// No room expires for so long after a start: clocks are set, instances and people come back.
pub const EXPIRY_GRACE_MS: u64 = 600_000;

/// From one sweep over all rooms to the next. Rooms go that much late; nobody waits for it.
pub const SWEEP_MS: u64 = 600_000;

/// The least time between the two sweeps that must find a room's deadline passed.
pub const SWEEPS_APART_MS: u64 = 300_000;

/// Rooms that a sweep looks at before it rests for [`SWEEP_PAUSE_MS`] …
pub const SWEEP_PAGE_ROOMS: usize = 64;

/// … which makes 10,000 rooms take 16 s: some hundred small reads a second.
pub const SWEEP_PAUSE_MS: u64 = 100;

/// Rooms past their deadline that the sweeper remembers from one sweep to the next: 10 MiB. Others
/// get their turn when these are gone.
pub const SWEEP_DUE_MAX: usize = 65_536;

/// How often the wall clock is compared with the steady one.
pub const CLOCK_LOOK_MS: u64 = 10_000;

/// A wall clock that is this far from where the steady clock expects it has jumped. Clocks that are
/// kept by NTP move by milliseconds, a leap second is one.
pub const CLOCK_JUMP_MS_MIN: u64 = 60_000;

/// How long a deletion waits for a room that is being loaded or finishes an append.
pub const RETIRE_MS_MAX: u64 = 15_000;

/// Bytes of a room's name, percent-encoded, in the name of its export: with a hash and a position
/// behind it, it stays below the 255 bytes that file systems take.
pub const ARCHIVE_NAME_BYTES_MAX: usize = 160;

/// A request to the API is answered within this time, if only with "later".
pub const API_MS_MAX: u64 = 10_000;

/// Bytes of one piece of a snapshot in the store: what one write carries, so that no other room
/// waits long for its turn.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;

/// Chunks of one snapshot: 256 MiB, more than any document and all that is known of its authors.
pub const SNAPSHOT_CHUNKS_MAX: u32 = 1_024;

/// Snapshots that a room keeps at a time, at most. They are listed in the room's entry in the store, which
/// each commit writes; who makes snapshots keeps fewer.
pub const SNAPSHOTS_PER_ROOM_MAX: usize = 16;

/// Bytes of a document in a snapshot. Splitting blocks by deletions makes a document a little longer than what was
/// admitted, and a full room must still be compacted.
pub const SNAPSHOT_DOCUMENT_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX;

/// Bytes of a snapshot's metadata: a claim and a clock for each of [`CLIENTS_PER_DOCUMENT_MAX`] clients take 1.7 MB,
/// names of users the rest.
pub const SNAPSHOT_METADATA_BYTES_MAX: usize = 8 << 20;

/// Snapshots of one room that stay: enough to rebuild any moment of the tail from near by, and to fall back on when
/// one is damaged.
pub const SNAPSHOTS_KEPT_MAX: usize = 8;

/// Records behind the newest snapshot that make a room due for the next one: folding them takes a few milliseconds
/// when the room is opened.
pub const COMPACT_RECORDS: u64 = 1_000;

/// Bytes of such records that do the same.
pub const COMPACT_BYTES: u64 = 1 << 20;

/// In a large document the records behind the newest snapshot must have this share of its bytes, one in so many, before it
/// is written again: otherwise a busy room would do little else.
pub const COMPACT_SHARE: u64 = 4;

/// Records that make a room worth a snapshot when everybody has left: fewer are folded faster than a snapshot is read.
pub const COMPACT_QUIET_RECORDS: u64 = 100;

/// Bytes of such records that do the same.
pub const COMPACT_QUIET_BYTES: u64 = 64 << 10;

/// Compactions that run at once in one instance. Each loads a document of its own, on the blocking pool; two leave
/// room for those who edit.
pub const COMPACTIONS_MAX: usize = 2;

/// Times that a snapshot is encoded again until it comes out of a load as it went in. Once is the rule.
pub const SNAPSHOT_SETTLE_TRIES: u32 = 4;

/// How long records stay replayable one by one, by the age of `--log-retention`: a day, as long as a room lives.
pub const LOG_RETENTION_MS: u64 = 24 * 3_600_000;

/// How many bytes of them, by the size of `--log-retention`.
pub const LOG_RETENTION_BYTES: u64 = 64 << 20;

/// How long a room waits for the store to tell how far its log goes, before it says for good that a copy is of another life.
pub const VERDICT_LOOK_MS: u64 = 1_000;

/// How long an upload that nobody adopts stays: a snapshot is written within seconds.
pub const UPLOAD_MS_MAX: u64 = 3_600_000;

/// Records that one page of a walk reads.
pub const LOAD_PAGE_RECORDS: usize = 2_048;

/// How often a walk begins again because records were trimmed under it. A trim leaves all that the
/// newest snapshots need, so once is rare already.
pub const WALK_TRIES_MAX: u32 = 8;

/// Bytes of frames that a session takes from the ring at once, unless a single one is larger:
/// what one write carries.
pub const RING_TAKE_BYTES_MAX: usize = 64 << 10;

/// A batch goes to the blocking pool if integrating it can take more steps than this: about 30 ms.
pub const INLINE_STEPS_MAX: u64 = 100_000;

/// Connections that the system may hold for us before they are accepted. With the usual 128, a
/// thousand people who join at once wait a second for their connection to be tried again.
pub const LISTEN_BACKLOG: u32 = 4_096;

/// Bytes before the body of a part of an exported file.
pub const PART_HEADER_BYTES: usize = 9;

/// Bytes of the body of such a part: a record with its position, or less.
pub const PART_BYTES_MAX: usize = RECORD_BYTES_MAX + 64;

/// Records that the operators' verbs read at once.
pub const REPLAY_PAGE_RECORDS: usize = 500;

/// How often `ruang replay show -f` looks for new records.
pub const FOLLOW_MS: u64 = 250;

/// How often an export begins again when compaction takes away what it was about to write.
pub const EXPORT_TRIES: usize = 3;

/// Bytes of a path to a unix socket, without its end, on every system that we know.
pub const SOCKET_PATH_BYTES_MAX: usize = 103;

/// How long the operators' verbs wait for a server that has begun to start, and for one that does
/// not answer.
pub const ADMIN_CONNECT_MS_MAX: u64 = 2_000;

/// How long a call over the admin socket may take: a disk that is full is tried for a while.
pub const ADMIN_CALL_MS_MAX: u64 = 60_000;

/// Bytes of a batch that the admin socket takes: an import is one document and some claims.
pub const ADMIN_BATCH_BYTES_MAX: usize = RECORD_BYTES_MAX + (8 << 20);

/// Bytes of an answer of the admin socket: a page of records, which ends after [`READ_BYTES_MAX`] and
/// one record, and what frames them.
pub const ADMIN_ANSWER_BYTES_MAX: usize = READ_BYTES_MAX + RECORD_BYTES_MAX + (1 << 20);

/// Elements of one value that the operators' verbs print: a list of more is cut, and says so.
pub const PRINTED_ELEMENTS_MAX: usize = 1_000_000;
