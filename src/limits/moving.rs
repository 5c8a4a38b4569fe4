//! Bounds of what is imported from other servers.

use super::DOCUMENT_BYTES_MAX;

/// Bytes that another server keeps of one document, all its updates together. They overlap, and hold what the
/// document no longer has: twice what a document may have.
pub const MOVED_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX;

/// Bytes of a log or a manifest of LevelDB, which are read whole. LevelDB begins a new log at 4 MiB, which one batch
/// may pass; a manifest grows until the store is opened anew.
pub const LEVELDB_FILE_BYTES_MAX: u64 = 256 << 20;
