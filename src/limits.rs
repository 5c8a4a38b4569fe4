//! Every bound of the system, with unit and reason. A limit that an operator may change has its
//! default here and its flag in `config.rs`.

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

/// How long a socket whose copy is of another life waits for its refusal, in milliseconds.
/// y-websocket 1.5 knows no final code and comes back 100 ms after each close, for ever: so it
/// does that once a second.
pub const OTHER_LIFE_PAUSE_MS: u64 = 1_000;

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

/// Appends that wait for the embedded store's writer; later ones wait outside of the queue. Each
/// room has one under way.
pub const EMBEDDED_QUEUE_MAX: usize = 4_096;

/// Bytes in one commit of the embedded store, unless a single batch is larger. It bounds what
/// a commit must write, and so how long those who came next wait; a quarter of a file of the journal.
pub const EMBEDDED_COMMIT_BYTES_MAX: usize = 1 << 20;

/// Batches in one commit of the embedded store, for the same reason.
pub const EMBEDDED_COMMIT_BATCHES_MAX: usize = 1_024;

/// Records and chunks that one transaction of the embedded store frees, of those that were trimmed or
/// whose room is gone: what all other rooms wait for meanwhile.
pub const EMBEDDED_FREE_ENTRIES_MAX: usize = 2_048;

/// Bytes of them, unless a single one is larger, for the same reason.
pub const EMBEDDED_FREE_BYTES_MAX: usize = 4 << 20;

/// Commits after which the embedded store frees some of what is to go, though others wait. It does so
/// at once when nobody waits.
pub const EMBEDDED_FREE_COMMITS: u32 = 64;

/// Empty commits in a row that do not make the embedded store's file shorter, after which it is left as it is.
/// What is freed counts as free two commits later.
pub const EMBEDDED_SHRINK_COMMITS: u32 = 3;

/// Bytes of records and chunks that must have been freed, and a quarter of the file, before it is looked at whether
/// the embedded store's file is worth compacting.
pub const EMBEDDED_COMPACT_FREED_BYTES_MIN: u64 = 512 << 10;

/// Larger files are not looked at: that takes 8 µs for each page in use, while everybody waits.
pub const EMBEDDED_COMPACT_FILE_BYTES_MAX: u64 = 256 << 20;

/// Bytes in use with which a file is compacted: at about 12 ms per MiB, everybody waits 0.2 s. A file with
/// more in use keeps its free space and fills it again.
pub const EMBEDDED_COMPACT_USED_BYTES_MAX: u64 = 16 << 20;

/// Bytes of each of the two files of the embedded store's journal. What stands in them is in memory too, so this
/// bounds that. The more is moved into the database at once, the less each record costs there; this much is moved
/// in a fifth of a second.
pub const EMBEDDED_JOURNAL_BYTES: usize = 4 << 20;

/// Bytes in the journal that the writing thread of the embedded store moves itself before it makes changes: a few
/// milliseconds. What is more is moved beside it first, and the changes wait for that.
pub const EMBEDDED_SETTLE_BYTES: usize = 128 << 10;

/// Bytes of changes that wait for a move in the embedded store, above which appends wait too.
pub const EMBEDDED_CHANGES_BYTES_MAX: usize = 4 << 20;

/// Milliseconds without an append after which the journal is moved into the database, whatever is
/// in it: then a room that has gone costs no memory, and a start has nothing to do. The database's file is
/// compacted after so long at the earliest: everybody waits for that.
pub const EMBEDDED_JOURNAL_IDLE_MS: u64 = 1_000;

/// Milliseconds before a file of the journal that failed, and could not be made anew, is tried
/// again. Until then appends go to the database itself.
pub const EMBEDDED_JOURNAL_RETRY_MS: u64 = 1_000;

/// Bytes of the embedded store's page cache. Half of it may be pages that a move has changed, about as
/// many as a file of the journal fills; reading a room needs each page once, and the system caches
/// the file too. redb's own default is 1 GiB.
pub const EMBEDDED_CACHE_BYTES: usize = 8 << 20;

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

/// Updates of all rooms of an instance that may wait for the log, in the same units: 256 MiB. They wait
/// long only while the store is away.
pub const INFLOW_UNITS_INSTANCE_MAX: u32 = 65_536;

/// Milliseconds that a room waits for a store that does not take its edits. Longer than a failover, a restart
/// with a large log, or a frozen minute; then its people are told to come back later: they keep their edits.
pub const STORE_PATIENCE_MS: u64 = 90_000;

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

/// How long an upload that nobody adopts stays: a snapshot is written within seconds.
pub const UPLOAD_MS_MAX: u64 = 3_600_000;

/// Records that one page of a walk reads.
pub const LOAD_PAGE_RECORDS: usize = 2_048;

/// How often a walk begins again because records were trimmed under it. A trim leaves all that the
/// newest snapshots need, so once is rare already.
pub const WALK_TRIES_MAX: u32 = 8;

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

/// A batch goes to the blocking pool if integrating it can take more steps than this: about 30 ms.
pub const INLINE_STEPS_MAX: u64 = 100_000;

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

/// How often a room that the store has lost is healed again because others did so at the same moment.
pub const HEAL_TRIES: usize = 32;

/// In so many parts the sessions of a healed room are asked for what they have, so many milliseconds
/// apart: two seconds for all, so that their answers are no burst.
pub const HEAL_ASKS: usize = 20;
/// See [`HEAL_ASKS`].
pub const HEAL_ASK_MS: u64 = 100;

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

/// Records that one page of a read asks Redis for: it serves nobody else meanwhile, some 100 µs.
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
