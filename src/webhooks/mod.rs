//! Webhooks: what happens to rooms is told to other programs, as the Standard Webhooks specification 1.0 has it.
//!
//! | file | what | pure |
//! |---|---|---|
//! | `notice` | what is told, and its id | yes |
//! | `secret` | keys and signatures | yes |
//! | `queue` | what waits for one receiver: order, bounds, debouncing, retries | yes |
//! | `settings` | which receivers | |
//! | `send` | one request to a receiver | |
//! | `deliver` | the task of one receiver | |
//!
//! Invariants:
//! - Telling never waits: a receiver that is slow, or away, costs rooms nothing.
//! - What waits is bounded, for each receiver; what finds no place is counted as dropped.
//! - The same thing has the same id, whichever instance tells it, however often.
//! - What was told of is stored.
//!
//! Absences: nothing here is stored. A process that ends tells what it can on its way down, and forgets the rest.

mod deliver;
mod notice;
mod queue;
mod secret;
mod send;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::queue::{Pace, Queue};
use crate::telemetry::counter;
pub use notice::{Kind, Notice};
pub use secret::{Secret, SecretError};
pub use settings::{WebhookOptions, WebhookSettings, WebhookSettingsError};

/// What is counted about webhooks, for all receivers together.
pub struct Metrics {
    /// Notices that a receiver has taken.
    pub taken: Counter,
    /// Tries that a receiver has not.
    pub failures: Counter,
    /// Notices that are not told any more: too many waited, or a receiver has not taken them in days.
    pub dropped: Counter,
}

impl Metrics {
    /// All of them, under the names that operators see.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let mut counter = |name, help| counter(registry, name, help);
        Self {
            taken: counter("webhooks_taken", "Notices that a webhook's receiver has taken"),
            failures: counter("webhook_failures", "Tries to tell a webhook's receiver something that failed"),
            dropped: counter("webhooks_dropped", "Notices that a webhook's receiver will not be told"),
        }
    }
}

/// Where what happens is told; to nobody by default. Clones tell the same receivers.
#[derive(Clone, Default)]
pub struct Notices(Option<Arc<Outbox>>);

struct Outbox {
    receivers: Vec<Arc<Receiver>>,
    /// The server is on its way down: what waits is told now.
    hurry: CancellationToken,
    /// That has taken long enough.
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// One receiver, as rooms see it.
struct Receiver {
    queue: Mutex<Queue>,
    arrived: Notify,
    began: Instant,
    metrics: Arc<crate::telemetry::Metrics>,
}

impl Notices {
    /// Begins to tell these receivers.
    #[must_use]
    pub fn start(options: WebhookOptions, metrics: &Arc<crate::telemetry::Metrics>) -> Self {
        if options.targets.is_empty() {
            return Self::default();
        }
        let pace = Pace::of(&options);
        let mut outbox = Outbox {
            receivers: Vec::new(),
            hurry: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let sender = Arc::new(send::Sender::new(options.secrets, options.request));
        for target in options.targets {
            let receiver = Arc::new(Receiver {
                queue: Mutex::new(Queue::new(pace.clone())),
                arrived: Notify::new(),
                began: Instant::now(),
                metrics: Arc::clone(metrics),
            });
            outbox.receivers.push(Arc::clone(&receiver));
            let (hurry, stop) = (outbox.hurry.clone(), outbox.stop.clone());
            outbox.tasks.spawn(deliver::deliver(receiver, target, Arc::clone(&sender), hurry, stop));
        }
        outbox.tasks.close();
        Self(Some(Arc::new(outbox)))
    }

    /// Tells all receivers something, some time. Never waits.
    pub fn tell(&self, notice: impl FnOnce() -> Notice) {
        let Some(outbox) = &self.0 else { return };
        let notice = notice();
        for receiver in &outbox.receivers {
            let now_ms = receiver.now_ms();
            if !receiver.queue.lock().push(notice.clone(), now_ms) {
                receiver.metrics.webhooks.dropped.inc();
            }
            receiver.arrived.notify_one();
        }
    }

    /// Tells what waits, as far as that goes in this time, and ends.
    pub async fn finish(&self, patience: Duration) {
        let Some(outbox) = &self.0 else { return };
        outbox.hurry.cancel();
        let _ = timeout(patience, outbox.tasks.wait()).await;
        outbox.stop.cancel();
        outbox.tasks.wait().await;
        let lost: usize = outbox.receivers.iter().map(|receiver| receiver.queue.lock().len()).sum();
        if lost > 0 {
            tracing::warn!(
                lost,
                "notices to webhooks are forgotten: their receivers did not take them in time"
            );
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |outbox| outbox.receivers.len());
        write!(f, "Notices(to {count})")
    }
}

impl Receiver {
    fn now_ms(&self) -> u64 {
        crate::clock::in_ms(self.began.elapsed())
    }
}
