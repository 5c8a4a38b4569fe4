//! The Hocuspocus family. Behind the document's name its messages are y-websocket's, and some more.
//! Source: `@hocuspocus/provider`, `@hocuspocus/server`, `@hocuspocus/common`.

use bytes::Bytes;

const SYNC_STATUS: u8 = 8;

/// Tells of one Step2 or Update, in order: stored, or refused. Behind the document's name.
#[must_use]
pub fn sync_status(stored: bool) -> Bytes {
    Bytes::copy_from_slice(&[SYNC_STATUS, u8::from(stored)])
}
