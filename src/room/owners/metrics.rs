//! What is counted of people who write or show themselves under ids of others.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::telemetry::counter;

/// Counters about who owns which id.
#[derive(Debug)]
pub struct Metrics {
    /// Updates with new blocks of somebody else who is here.
    pub updates_foreign: Counter,
    /// Updates that say something else than what is stored under the same ids.
    pub updates_contradicting: Counter,
    /// Presence states dropped because their id is another user's.
    pub presence_stripped: Counter,
}

impl Metrics {
    /// All of them, under the names that operators see.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let mut counter = |name, help| counter(registry, name, help);
        Self {
            updates_foreign: counter(
                "updates_foreign",
                "Updates with new blocks of somebody else who is here",
            ),
            updates_contradicting: counter(
                "updates_contradicting",
                "Updates that contradict what is stored under the same client id",
            ),
            presence_stripped: counter(
                "presence_stripped",
                "Presence states dropped because their id is another user's",
            ),
        }
    }
}
