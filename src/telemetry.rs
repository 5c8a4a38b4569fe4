//! Metrics and logs. No room names, user names, tokens or document bytes in either: rooms appear
//! in logs by [`crate::ids::RoomName::log_id`].

use std::io::IsTerminal;
use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::gate::Dropped;
use crate::room::OwnerMetrics;
use crate::{auth, life, throttle, webhooks};

/// Everything that is counted, for all rooms together.
pub struct Metrics {
    registry: Registry,
    /// Rooms in memory.
    pub rooms_open: Gauge<i64, AtomicI64>,
    /// Loads of rooms.
    pub rooms_loaded: Counter,
    /// Rooms that ended by a fault and were loaded again.
    pub rooms_failed: Counter,
    /// Records that are in a log but not in its document.
    pub records_set_aside: Counter,
    /// Snapshots that could not be read when a room was loaded.
    pub snapshots_damaged: Counter,
    /// Snapshots written, verified and published.
    pub snapshots_written: Counter,
    /// Compactions that ended without a snapshot because something failed.
    pub snapshots_failed: Counter,
    /// Bytes of the snapshots written.
    pub snapshot_bytes: Counter,
    /// Records trimmed after a snapshot.
    pub records_trimmed: Counter,
    /// Seconds that compactions took, waiting for the store included.
    pub compaction_seconds: Counter<f64, AtomicU64>,
    /// Loaded rooms whose compaction has stopped at a record that cannot be folded.
    pub compactions_stopped: Counter,
    /// Sockets that are open.
    pub sockets_open: Gauge<i64, AtomicI64>,
    /// Sockets that were closed by us, with a code of 4400 to 4499.
    pub sockets_refused: Counter,
    /// Sockets that did not answer and were given up.
    pub sockets_half_open: Counter,
    /// Messages of a type that is not known here; they are ignored.
    pub messages_unknown: Counter,
    /// Updates stored.
    pub updates_stored: Counter,
    /// Records taken in that other instances have stored.
    pub records_of_others: Counter,
    /// Pages of the log read because the bus had left something out.
    pub catch_up_reads: Counter,
    /// Rooms of which the store had lost a part that was here.
    pub rooms_healed: Counter,
    /// Rooms that ended because the store did not take their edits.
    pub rooms_without_store: Counter,
    /// Updates refused whole by the gate.
    pub updates_refused: Counter,
    /// Updates refused because their sender may only read.
    pub edits_refused: Counter,
    /// Updates of which something broke a rule of the board and was stored without its content.
    pub edits_mended: Counter,
    /// Edits in JSON over which the document engine has panicked.
    pub edit_panics: Counter,
    /// Messages outside of documents that a session did not take in time.
    pub stateless_dropped: Counter,
    /// Documents whose order a gate had to learn.
    pub orders_learnt: Counter,
    /// Updates of which something built on what the room does not have.
    pub updates_with_gaps: Counter,
    /// Appends begun; one carries a whole batch.
    pub appends: Counter,
    /// Appends that the log refused for good.
    pub appends_refused: Counter,
    /// Merged frames shown to a room.
    pub frames: Counter,
    /// Sessions that fell off the ring and got one diff instead.
    pub catch_ups: Counter,
    /// Diffs made for slow sessions. Those that stand at one place share one.
    pub catch_up_diffs: Counter,
    /// Sessions closed because they hold another life of their room.
    pub sessions_of_other_lives: Counter,
    /// About the life of rooms.
    pub life: life::Metrics,
    /// About tokens.
    pub auth: auth::Metrics,
    /// About bounds that were met.
    pub throttle: throttle::Metrics,
    /// About webhooks.
    pub webhooks: webhooks::Metrics,
    /// About who owns which id.
    pub owners: OwnerMetrics,
}

/// A counter at zero, under the name that operators see, with what it counts.
pub(crate) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

impl Metrics {
    /// All counters at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("ruang");
        let mut counter = |name, help| counter(&mut registry, name, help);
        let rooms_loaded = counter("rooms_loaded", "Loads of rooms");
        let rooms_failed = counter("rooms_failed", "Rooms that ended by a fault and were loaded again");
        let records_set_aside = counter("records_set_aside", "Records in a log but not in its document");
        let snapshots_damaged =
            counter("snapshots_damaged", "Snapshots that could not be read when a room was loaded");
        let snapshots_written = counter("snapshots_written", "Snapshots written, verified and published");
        let snapshots_failed = counter("snapshots_failed", "Compactions that failed");
        let snapshot_bytes = counter("snapshot_bytes", "Bytes of the snapshots written");
        let records_trimmed = counter("records_trimmed", "Records trimmed after a snapshot");
        let compactions_stopped = counter(
            "compactions_stopped",
            "Rooms whose compaction stopped at a record that cannot be folded",
        );
        let sockets_refused = counter("sockets_refused", "Sockets closed with a code of 4400 to 4499");
        let sockets_half_open = counter("sockets_half_open", "Sockets given up because nobody answered");
        let messages_unknown = counter("messages_unknown", "Ignored messages of unknown type");
        let updates_stored = counter("updates_stored", "Updates stored");
        let records_of_others = counter("records_of_others", "Records that other instances have stored");
        let catch_up_reads = counter("catch_up_reads", "Pages of the log read to fill gaps of the bus");
        let rooms_healed = counter("rooms_healed", "Rooms of which the store had lost a part");
        let rooms_without_store =
            counter("rooms_without_store", "Rooms that ended because the store took no edits");
        let updates_refused = counter("updates_refused", "Updates refused whole by the gate");
        let edit_panics = counter("edit_panics", "Edits in JSON over which the document engine has panicked");
        let stateless_dropped =
            counter("stateless_dropped", "Messages outside of documents that were not taken in time");
        let edits_mended = counter(
            "edits_mended",
            "Updates of which something broke a rule of the board and was stored without its content",
        );
        let edits_refused = counter("edits_refused", "Updates of people who may only read");
        let orders_learnt = counter("orders_learnt", "Documents whose order a gate had to learn");
        let updates_with_gaps =
            counter("updates_with_gaps", "Updates that build on what the room does not have");
        let appends = counter("appends", "Appends begun, each a whole batch");
        let appends_refused = counter("appends_refused", "Appends that the log refused for good");
        let frames = counter("frames", "Merged frames shown to a room");
        let catch_up_diffs = counter("catch_up_diffs", "Diffs made for them; those at one place share one");
        let catch_ups = counter("catch_ups", "Slow sessions that got one diff instead of what they missed");
        let sessions_of_other_lives =
            counter("sessions_of_other_lives", "Sessions closed with 4409: their copy is of another life");
        let compaction_seconds = Counter::default();
        registry.register("compaction_seconds", "Seconds that compactions took", compaction_seconds.clone());
        let life = life::Metrics::register(&mut registry);
        let auth = auth::Metrics::register(&mut registry);
        let throttle = throttle::Metrics::register(&mut registry);
        let webhooks = webhooks::Metrics::register(&mut registry);
        let owners = OwnerMetrics::register(&mut registry);
        let (rooms_open, sockets_open) = (Gauge::default(), Gauge::default());
        registry.register("rooms_open", "Rooms in memory", rooms_open.clone());
        registry.register("sockets_open", "Open sockets", sockets_open.clone());
        Self {
            registry,
            rooms_open,
            rooms_loaded,
            rooms_failed,
            records_set_aside,
            snapshots_damaged,
            snapshots_written,
            snapshots_failed,
            snapshot_bytes,
            records_trimmed,
            compaction_seconds,
            compactions_stopped,
            sockets_open,
            sockets_refused,
            sockets_half_open,
            messages_unknown,
            updates_stored,
            records_of_others,
            catch_up_reads,
            rooms_healed,
            rooms_without_store,
            updates_refused,
            edits_mended,
            edits_refused,
            edit_panics,
            stateless_dropped,
            orders_learnt,
            updates_with_gaps,
            appends,
            appends_refused,
            frames,
            catch_up_diffs,
            catch_ups,
            sessions_of_other_lives,
            life,
            auth,
            throttle,
            webhooks,
            owners,
        }
    }

    pub(crate) fn note_dropped(&self, dropped: &Dropped) {
        if dropped.is_gap() {
            self.updates_with_gaps.inc();
        }
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people at a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. `filter` is in the syntax of `tracing_subscriber`'s
/// `EnvFilter`, such as `info` or `ruang::room=debug`.
///
/// # Errors
/// What is wrong with the filter.
pub fn start_logging(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Of a log that nobody reads any more it could only be told there, by a panic of whoever writes a line.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| error.to_string())
}
