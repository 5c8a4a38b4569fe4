//! Clocks. The wall clock stamps what is written down, and may jump in both directions; what is decided by how long
//! something has been asks the runtime's steady one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Says the milliseconds since 1970, for who must not read them from the machine: tests decide what time it is. A log never lets
/// the milliseconds of a room go back.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The clock of this machine.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(wall_ms)
}

/// Milliseconds since 1970 by the clock of this machine. One that stands before 1970 counts as 1970.
#[must_use]
pub fn wall_ms() -> u64 {
    in_ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A length of time in milliseconds; one that is too long for them is the longest.
#[must_use]
pub fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
