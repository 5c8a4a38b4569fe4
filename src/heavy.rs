//! Work that takes long enough to keep others waiting: it is done on a thread of its own.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, spawn_blocking};

/// Does a piece of work on the blocking pool. A runtime with one thread, as simulations have, does it where it is asked for: what
/// happens then follows from the order of tasks alone, not from how fast another thread is.
///
/// # Errors
/// [`JoinError`] if the work panics on the pool.
///
/// # Panics
/// Where the work is done in place, with its panic.
pub(crate) async fn heavy<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Ok(work()),
        _ => spawn_blocking(work).await,
    }
}
