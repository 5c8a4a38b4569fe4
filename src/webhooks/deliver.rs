//! The task of one receiver: it waits for what is due, and tells a few things at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::Receiver;
use super::notice::Notice;
use super::queue::Outcome;
use super::send::{SendError, Sender};
use super::settings::Target;
use crate::limits::WEBHOOKS_UNDER_WAY_MAX;

/// Nothing is due: woken by what arrives.
const LONG: Duration = Duration::from_secs(3_600);

type Told = (Notice, Outcome, Option<SendError>);

/// Runs until `stop`, or until everything that waited was tried once after `hurry`.
pub(super) async fn deliver(
    receiver: Arc<Receiver>,
    target: Target,
    sender: Arc<Sender>,
    hurry: CancellationToken,
    stop: CancellationToken,
) {
    let mut under_way: JoinSet<Told> = JoinSet::new();
    loop {
        if hurry.is_cancelled() {
            receiver.queue.lock().hurry();
        }
        while under_way.len() < WEBHOOKS_UNDER_WAY_MAX {
            let Some(notice) = receiver.queue.lock().take(receiver.now_ms()) else { break };
            let (target, sender) = (target.clone(), Arc::clone(&sender));
            under_way.spawn(async move {
                let (outcome, error) = sender.send(&target, &notice).await;
                (notice, outcome, error)
            });
        }
        if hurry.is_cancelled() && under_way.is_empty() {
            return;
        }
        let is_full = under_way.len() >= WEBHOOKS_UNDER_WAY_MAX;
        let due = receiver.queue.lock().next_due_ms().map(Duration::from_millis);
        let due = due.map_or_else(|| tokio::time::Instant::now() + LONG, |due| receiver.began + due);
        tokio::select! {
            biased;
            () = stop.cancelled() => return, // what is under way is given up
            Some(told) = under_way.join_next() => {
                if let Ok(told) = told {
                    note(&receiver, &target, told);
                }
            }
            () = hurry.cancelled(), if !hurry.is_cancelled() => {}
            () = receiver.arrived.notified(), if !is_full => {}
            () = sleep_until(due), if !is_full => {}
        }
    }
}

fn note(receiver: &Receiver, target: &Target, (notice, outcome, error): Told) {
    let metrics = &receiver.metrics.webhooks;
    let dropped = receiver.queue.lock().done(&notice.room, outcome, receiver.now_ms(), rand::random());
    match outcome {
        Outcome::Taken => drop(metrics.taken.inc()),
        Outcome::Unwanted | Outcome::Failed { .. } => drop(metrics.failures.inc()),
    }
    if let Some(error) = error {
        let (receiver, what) = (&target.name, notice.kind.as_str());
        if dropped {
            metrics.dropped.inc();
            tracing::error!(receiver, what, %error, "a webhook's receiver is not told something: it was tried often enough");
        } else {
            tracing::warn!(receiver, what, %error, "a webhook's receiver has not taken something; it is tried again");
        }
    }
}
