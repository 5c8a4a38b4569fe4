//! What is counted of bounds that were met.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::counter;

/// Labels of a refusal: which bound it was, one of a fixed set.
type Limit = [(&'static str, &'static str); 1];

/// See the module. Clones count together. What [`Metrics::default`] makes counts too, and is shown nowhere.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    refusals: Family<Limit, Counter>,
    /// Sessions that are in a room.
    pub sessions_open: Gauge<i64, AtomicI64>,
    /// Times that a socket was not read for a while because it was too fast.
    pub sockets_slowed: Counter,
    /// Sockets closed because they stayed too fast.
    pub sockets_too_fast: Counter,
    /// Connections without a whole request that made room for others.
    pub handshakes_shed: Counter,
    /// Requests from pages of origins that are not allowed.
    pub origins_refused: Counter,
}

impl Metrics {
    /// All of them, under the names that operators see.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let (refusals, sessions_open) = (Family::default(), Gauge::default());
        registry.register("refusals", "Refused because of a bound, by bound", Family::clone(&refusals));
        registry.register("sessions_open", "Sessions in rooms", Gauge::clone(&sessions_open));
        let mut counter = |name, help| counter(registry, name, help);
        Self {
            refusals,
            sessions_open,
            sockets_slowed: counter("sockets_slowed", "Times a socket was not read for being too fast"),
            sockets_too_fast: counter("sockets_too_fast", "Sockets closed with 4529"),
            handshakes_shed: counter("handshakes_shed", "Connections without a request that made room"),
            origins_refused: counter("origins_refused", "Requests from origins that are not allowed"),
        }
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, limit: &'static str) {
        self.refusals.get_or_create(&[("limit", limit)]).inc();
    }

    /// Refusals so far, of one bound.
    #[must_use]
    pub fn refusals(&self, limit: &'static str) -> u64 {
        self.refusals.get_or_create(&[("limit", limit)]).get()
    }
}
