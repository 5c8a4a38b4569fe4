//! The task of one receiver: it waits for what is due, and tells a few things at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
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
                let (outcome, error) = try_once(sender.send(&target, &notice)).await;
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

/// A try that panics has failed: its room would wait for ever otherwise.
async fn try_once(
    sending: impl Future<Output = (Outcome, Option<SendError>)>,
) -> (Outcome, Option<SendError>) {
    let sent = AssertUnwindSafe(sending).catch_unwind().await;
    sent.unwrap_or((Outcome::Failed { after_ms: None }, Some(SendError::Panicked)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Position, RoomName};
    use crate::webhooks::notice::Kind;
    use crate::webhooks::queue::{Pace, Queue};
    use crate::webhooks::settings::WebhookOptions;

    /// [P21] A try that panics is one that failed: the notice is told again, and those of its room that wait behind it.
    #[tokio::test]
    async fn a_try_that_panics_has_failed() {
        let second = Duration::from_secs(1);
        let options = WebhookOptions {
            targets: Vec::new(),
            secrets: Vec::new(),
            debounce: second,
            waits: vec![second],
            rest: second,
            request: second,
        };
        let mut queue = Queue::new(Pace::of(&options));
        let room = RoomName::parse("r").expect("a name");
        for (kind, seq) in [(Kind::Created, 1), (Kind::Deleted, 2)] {
            assert!(queue.push(Notice::at(kind, &room, Position { seq, ms: 1 }), 0));
        }
        let first = queue.take(0).expect("it is due");
        assert!(queue.take(u64::MAX).is_none(), "one of a room at a time");
        let (outcome, error) = try_once(async { panic!("a test") }).await;
        println!("{outcome:?}: {error:?}");
        assert!(matches!((outcome, error), (Outcome::Failed { .. }, Some(SendError::Panicked))));
        assert!(!queue.done(&room, outcome, 0, 0.0));
        assert_eq!(queue.take(u64::MAX).map(|again| again.id()), Some(first.id()));
    }
}
