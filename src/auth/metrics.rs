//! What is counted of tokens. Of whom, and of which room, is not.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::AuthError;
use crate::telemetry::counter;

/// Labels of a refusal: why, one of a fixed set.
type Reason = [(&'static str, &'static str); 1];

/// See the module.
pub struct Metrics {
    refusals: Family<Reason, Counter>,
    /// Looks for what other instances have revoked that failed.
    pub looks_failed: Counter,
}

impl Metrics {
    /// All of them, under the names that operators see.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let refusals = Family::default();
        registry.register(
            "tokens_refused",
            "Requests whose token was refused, by reason",
            Family::clone(&refusals),
        );
        let looks_failed = counter(
            registry,
            "revocation_looks_failed",
            "Looks for what other instances have revoked that failed",
        );
        Self { refusals, looks_failed }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, error: AuthError) {
        self.refusals.get_or_create(&[("reason", error.reason())]).inc();
    }

    /// Refusals so far, for one reason.
    #[must_use]
    pub fn refusals(&self, error: AuthError) -> u64 {
        self.refusals.get_or_create(&[("reason", error.reason())]).get()
    }
}
