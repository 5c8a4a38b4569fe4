//! What a session waits for beside its client and its room.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::auth::{Ended, Standing};
use crate::limits::LATE_ANSWER_MS;

/// Ends when a client that waits for an answer has to hear something.
pub(super) async fn until_late(owed: bool) {
    if !owed {
        std::future::pending::<()>().await;
    }
    Box::pin(sleep(Duration::from_millis(LATE_ANSWER_MS))).await;
}

/// Ends when the token does not count any more.
pub(super) async fn until_over(standing: &mut Standing) -> Ended {
    if standing.is_for_ever() {
        std::future::pending::<()>().await;
    }
    Box::pin(standing.ended()).await
}

/// Ends when a client has had its time for a greeting, if it has not greeted.
pub(super) async fn until_greeted(greeted: bool, due: Instant) {
    if greeted {
        std::future::pending::<()>().await;
    }
    Box::pin(sleep_until(due)).await;
}
