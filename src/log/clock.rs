//! The clock that a log stamps positions with. Passed in, so that tests decide what time it is.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Says the milliseconds since 1970. May jump in both directions: a log never lets the
/// milliseconds of a room go back.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The clock of this machine. A machine whose clock stands before 1970 counts as 1970.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
