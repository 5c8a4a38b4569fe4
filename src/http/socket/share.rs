//! Shares of the memory that large answers may take at the same time, over all sessions of all
//! rooms: a crowd of joiners cannot make the server hold a document each.
//!
//! Invariant: nobody keeps a share for long. A reader that is slow is written to without one, so it
//! cannot keep others from joining.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::limits::{
    GREETING_MS_MAX, INITIAL_SYNC_SHARE_MS, INITIAL_SYNC_UNIT_BYTES, INITIAL_SYNC_UNITS, INLINE_BYTES_MAX,
};
use crate::wire::close::{self, Close};

/// What is not taken, in units of bytes.
static FREE: Semaphore = Semaphore::const_new(INITIAL_SYNC_UNITS as usize);

/// The right to make and write a large answer. Small ones need no permit.
pub(in crate::http) struct Share {
    /// Given back when this is dropped.
    _permit: Option<SemaphorePermit<'static>>,
}

impl Share {
    /// Waits for a share for an answer of about `size` bytes. No answer takes more than an eighth
    /// of all.
    ///
    /// # Errors
    /// A temporary close if none comes free in time.
    pub(in crate::http) async fn of(size: usize) -> Result<Self, Close> {
        if size <= INLINE_BYTES_MAX {
            return Ok(Self { _permit: None });
        }
        let units = u32::try_from(size / INITIAL_SYNC_UNIT_BYTES + 1).unwrap_or(u32::MAX);
        let permit = FREE.acquire_many(units.min(INITIAL_SYNC_UNITS / 8));
        match timeout(Duration::from_millis(GREETING_MS_MAX), permit).await {
            Ok(Ok(permit)) => Ok(Self { _permit: Some(permit) }),
            _ => Err(Close::new(close::BUSY, "too many large documents are being sent")),
        }
    }

    /// Writes under this share, and goes on without it after [`INITIAL_SYNC_SHARE_MS`].
    pub(super) async fn hold<T>(self, write: impl Future<Output = T>) -> T {
        let mut write = pin!(write);
        if let Ok(written) = timeout(Duration::from_millis(INITIAL_SYNC_SHARE_MS), &mut write).await {
            return written;
        }
        drop(self);
        write.await
    }
}
