//! Bounds of the embedded store.

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
