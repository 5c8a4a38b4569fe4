//! What a session waits for beside its client and its room.

use tokio::time::{Instant, sleep_until};

use crate::auth::{Ended, Standing};

/// Ends when a client that waits for an answer has to hear something.
pub(super) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => Box::pin(sleep_until(due)).await,
        None => std::future::pending().await,
    }
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
