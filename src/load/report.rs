//! What a run found out: for machines as JSON, for people as a table.

use std::fmt::{self, Write as _};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::crowd::Shape;

/// The result of one `ruang load`. Parts that a scenario does not measure are absent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The server, as given by `--label` or the URL.
    pub server: String,
    /// Repeats the run's random choices.
    pub seed: u64,
    /// Rooms, clients, writers, rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shape: Option<Shape>,
    /// Cores that the generator sees.
    pub cores: usize,
    /// Milliseconds from due to received, per update and recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Percentiles>,
    /// Milliseconds from due to the first Step2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_ms: Option<Percentiles>,
    /// Updates and deliveries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What did not arrive as it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// What the server used (with `--pid`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Further figures of this scenario: name, value; the name ends with the unit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<(String, f64)>,
    /// saturate*: each rate that was tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Kills: each trial.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<Trial>,
    /// What is wrong; empty is good.
    pub failures: Vec<String>,
}

/// Of a distribution, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Percentiles {
    /// Of a histogram of microseconds; `None` if it is empty.
    pub(super) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1e3,
        })
    }
}

/// How much was written and received.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Traffic {
    /// Updates written.
    pub updates: u64,
    /// Updates received by clients that did not write them.
    pub deliveries: u64,
    /// The same per second, within the measured part.
    pub deliveries_per_s: f64,
    /// WebSocket frames that carried them.
    pub frames: u64,
    /// Reads of a socket.
    pub reads: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Milliseconds between due and written, 99th percentile: part of the latencies, and ours.
    pub write_late_p99_ms: f64,
}

/// What did not arrive as it should, over all recipients.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Loss {
    /// Recipients looked at.
    pub recipients: u64,
    /// Update deliveries that are missing in the end.
    pub lost: u64,
    /// That came more than once.
    pub duplicate: u64,
    /// That came before an earlier update of the same writer.
    pub out_of_order: u64,
    /// Recipients without the last update of every writer.
    pub not_converged: u64,
    /// Clients whose connection ended by itself.
    pub disconnected: u64,
    /// Why the first of them did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_disconnect: Option<String>,
}

impl Loss {
    /// Adds what is wrong here to `failures`.
    pub(super) fn judge(&self, failures: &mut Vec<String>) {
        let Self { recipients, lost, not_converged, disconnected, .. } = self;
        if *lost > 0 {
            failures
                .push(format!("{lost} deliveries lost: {not_converged} of {recipients} clients are behind"));
        }
        if *disconnected > 0 {
            let why = self.first_disconnect.as_deref().unwrap_or("no reason known");
            failures.push(format!("{disconnected} clients lost their connection, the first: {why}"));
        }
    }
}

/// CPU and memory of server and generator, within the measured part.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Cost {
    /// Microseconds of server CPU per delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_us_per_delivery: Option<f64>,
    /// Server CPU, percent of one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_percent: Option<f64>,
    /// Server memory (RSS) before anyone joined, KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_before_kib: Option<u64>,
    /// Server memory at the end of the measured part, KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rss_kib: Option<u64>,
    /// Generator CPU per delivery, microseconds.
    pub generator_us_per_delivery: f64,
    /// Generator CPU, percent of one core.
    pub generator_cpu_percent: f64,
}

/// One rate that was tried.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Step {
    pub rate_per_room: f64,
    pub deliveries_per_s: f64,
    pub p99_ms: f64,
    pub held: bool,
    pub server_cpu_percent: Option<f64>,
    pub generator_cpu_percent: f64,
}

/// One kill.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Trial {
    /// When it was killed, from the first update.
    pub killed_after_ms: u64,
    /// Updates written until then.
    pub written: u64,
    /// Update deliveries seen by other clients until then, each update counted once.
    pub seen: u64,
    /// Updates acked until then.
    pub acked: u64,
    /// From the restart until a newcomer had the rooms.
    pub back_after_ms: u64,
    /// Updates that another client had and a newcomer does not get.
    pub lost_seen: u64,
    /// Updates that were acked and a newcomer does not get.
    pub lost_acked: u64,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { killed_after_ms, written, seen, acked, back_after_ms, lost_seen, lost_acked } = self;
        write!(f, "killed after {killed_after_ms} ms: {written} written, {seen} seen, {acked} acked; ")?;
        write!(f, "back after {back_after_ms} ms: {lost_seen} seen lost, {lost_acked} acked lost")
    }
}

impl Report {
    /// Whether nothing is wrong; if not, the command exits with 1.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    pub(super) fn figure(&mut self, name: &str, value: f64) {
        self.figures.push((name.to_owned(), value));
    }

    /// Remembers when something took long or much.
    pub(super) fn figure_ms(&mut self, name: &str, value: Duration) {
        self.figure(name, (value.as_secs_f64() * 1e6).round() / 1e3);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{} against {} (seed {})\n", self.scenario, self.server, self.seed);
        self.put(&mut text)?;
        f.write_str(&text)
    }
}

impl Report {
    fn put(&self, text: &mut String) -> fmt::Result {
        if let Some(Shape { rooms, clients, writers, rate, .. }) = self.shape {
            row(
                text,
                "load",
                format!("{rooms} rooms x {clients} clients, {writers} writers, {rate} updates/s each"),
            )?;
        }
        for (name, values) in [("latency", self.latency_ms), ("join", self.join_ms)] {
            if let Some(Percentiles { p50, p90, p99, p999, max, .. }) = values {
                let values =
                    format!("p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms");
                row(text, name, values)?;
            }
        }
        if let Some(Traffic {
            updates, deliveries, deliveries_per_s, frames, reads, write_late_p99_ms, ..
        }) = self.traffic
        {
            row(
                text,
                "traffic",
                format!("{updates} updates, {deliveries} deliveries, {deliveries_per_s:.0} per s"),
            )?;
            row(
                text,
                "",
                format!("{frames} frames in {reads} reads; written late by p99 {write_late_p99_ms:.2} ms"),
            )?;
        }
        if let Some(Loss { lost, duplicate, out_of_order, not_converged, disconnected, .. }) = self.loss {
            let values = format!(
                "{lost} lost, {duplicate} duplicate, {out_of_order} out of order, {not_converged} not converged, \
                 {disconnected} disconnected"
            );
            row(text, "loss", values)?;
        }
        if let Some(cost) = self.cost {
            cost.put(text)?;
        }
        for (name, value) in &self.figures {
            row(text, name, format!("{value}"))?;
        }
        for step in &self.steps {
            let Step { rate_per_room, deliveries_per_s, p99_ms, held, generator_cpu_percent, .. } = step;
            let verdict = if *held { "held" } else { "failed" };
            let values = format!(
                "{rate_per_room:.0} updates/s per room: {deliveries_per_s:.0} deliveries/s, p99 {p99_ms:.1} ms, \
                 generator {generator_cpu_percent:.0} %: {verdict}"
            );
            row(text, "step", values)?;
        }
        for trial in &self.trials {
            row(text, "kill", trial.to_string())?;
        }
        for failure in &self.failures {
            row(text, "FAILED", failure.clone())?;
        }
        Ok(())
    }
}

impl Cost {
    fn put(&self, text: &mut String) -> fmt::Result {
        if let (Some(us), Some(percent)) = (self.server_us_per_delivery, self.server_cpu_percent) {
            row(text, "server", format!("{us:.2} us CPU per delivery, {percent:.0} % of a core"))?;
        }
        if let (Some(before), Some(kib)) = (self.server_rss_before_kib, self.server_rss_kib) {
            row(text, "", format!("{kib} KiB, {before} KiB before"))?;
        }
        let Self { generator_us_per_delivery: us, generator_cpu_percent: percent, .. } = self;
        if *us == 0.0 {
            return Ok(());
        }
        row(text, "generator", format!("{us:.2} us CPU per delivery, {percent:.0} % of a core"))
    }
}

fn row(text: &mut String, name: &str, value: String) -> fmt::Result {
    writeln!(text, "  {name:<12} {value}")
}
