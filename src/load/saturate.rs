//! `saturate*`: the highest rate at which the 99th percentile stays within a bound.

use std::time::Duration;

use super::crowd::{Crowd, Shape};
use super::open::{self, JOINING_MAX};
use super::report::{Percentiles, Report, Step};
use super::{Context, LoadError};

/// The search ends when the lowest rate that failed is at most this much above the highest that held.
const RESOLUTION: f64 = 1.07;

/// Steps at most.
const STEPS_MAX: usize = 24;

/// A rate that failed is tried once more, unless it failed by this factor: others use the machine.
const CLEARLY: f64 = 3.0;

/// Doubles the rate until it fails twice in a row (a server that merges may do better at twice the
/// rate), then halves the interval above the highest that held. Each step has new rooms and clients.
pub(super) async fn run(context: &Context) -> Result<Report, LoadError> {
    let shape = context.args.shape()?;
    context.check_sockets(u64::from(shape.rooms) * u64::from(shape.clients))?;
    let mut report = context.report(Some(shape));
    let mut search = Search::new(shape.rate);
    while let Some(rate) = search.next() {
        if report.steps.len() >= STEPS_MAX {
            break;
        }
        let mut step = step(context, Shape { rate, ..shape }, &mut report).await?;
        let limit_ms = context.args.p99_max.as_secs_f64() * 1e3;
        if !step.held && step.p99_ms < limit_ms * CLEARLY {
            report.steps.push(step);
            step = self::step(context, Shape { rate, ..shape }, &mut report).await?;
        }
        report.steps.push(step);
        search.told(rate, step.held);
    }
    let best = report.steps.iter().filter(|step| step.held);
    let best = best.max_by(|a, b| a.deliveries_per_s.total_cmp(&b.deliveries_per_s)).copied();
    report.figure("highest deliveries/s", best.map_or(0.0, |step| step.deliveries_per_s.round()));
    report.figure("at updates/s per room", best.map_or(0.0, |step| step.rate_per_room.round()));
    if best.is_none() {
        report.failures.push("no rate held the bound".into());
    }
    Ok(report)
}

/// Which rate to try next. Pure.
struct Search {
    next: f64,
    /// The highest rate that held.
    held: Option<f64>,
    /// The lowest above it that failed.
    failed: Option<f64>,
    /// The rates are still doubled.
    climbing: bool,
}

impl Search {
    fn new(first: f64) -> Self {
        Self { next: first, held: None, failed: None, climbing: true }
    }

    /// The rate to try; `None` when the answer is known well enough.
    fn next(&self) -> Option<f64> {
        match (self.held, self.failed) {
            (Some(held), Some(failed)) if failed / held <= RESOLUTION => None,
            (None, Some(failed)) if failed < 1.0 => None,
            _ => Some(self.next),
        }
    }

    fn told(&mut self, rate: f64, held: bool) {
        if held {
            self.held = Some(rate);
            self.failed = self.failed.filter(|failed| *failed > rate);
        } else {
            let second = self.failed.is_some_and(|failed| failed < rate);
            self.climbing &= !second;
            self.failed = Some(self.failed.filter(|failed| *failed < rate).unwrap_or(rate));
        }
        self.next = match (self.held, self.failed) {
            _ if self.climbing => rate * 2.0,
            (Some(held), Some(failed)) => (held * failed).sqrt(),
            (Some(held), None) => held * 2.0,
            (None, failed) => failed.unwrap_or(rate) / 4.0,
        };
    }
}

/// One rate. The report keeps the last latency distribution that held.
async fn step(context: &Context, shape: Shape, report: &mut Report) -> Result<Step, LoadError> {
    let (warmup, duration) = context.args.times()?;
    let number = report.steps.len();
    let mut crowd = Crowd::new(&format!("{}-{number}", context.prefix), shape, context.seed);
    crowd.join_all(&context.target, JOINING_MAX).await?;
    let limit = context.args.p99_max;
    let outcome = open::schedule(context, &crowd, warmup, duration, Some(limit * 5)).await?;
    let p99_us = outcome.latency.value_at_quantile(0.99);
    let in_time = p99_us <= limit.as_micros() as u64 && !outcome.latency.is_empty();
    let step = Step {
        rate_per_room: shape.rate,
        deliveries_per_s: outcome.traffic.deliveries_per_s,
        p99_ms: p99_us as f64 / 1e3,
        held: in_time && outcome.written >= 1.0 && outcome.loss.lost == 0 && outcome.loss.disconnected == 0,
        server_cpu_percent: outcome.cost.server_cpu_percent,
        generator_cpu_percent: outcome.cost.generator_cpu_percent,
        others_cpu_percent: outcome.cost.others_cpu_percent,
    };
    eprintln!("{} updates/s per room: {}", shape.rate.round(), if step.held { "held" } else { "failed" });
    if step.held {
        report.latency_ms = Percentiles::of(&outcome.latency);
        report.traffic = Some(outcome.traffic);
        report.cost = Some(outcome.cost);
    } else if outcome.loss.lost > 0 && in_time {
        eprintln!("  {} deliveries lost", outcome.loss.lost);
    }
    if let Some(reason) = outcome.loss.first_disconnect {
        eprintln!("  {} clients lost their connection: {reason}", outcome.loss.disconnected);
    }
    crowd.leave_all();
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a search against a server that holds the rates that `holds` says: what was tried, and
    /// the answer.
    fn search(holds: impl Fn(f64) -> bool) -> (Vec<f64>, Option<f64>) {
        let mut search = Search::new(100.0);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate.round());
            search.told(rate, holds(rate));
            assert!(tried.len() < 40, "{tried:?}");
        }
        (tried, search.held)
    }

    #[test]
    fn the_search_ends_near_the_limit() {
        for limit in [1.5, 30.0, 100.0, 333.0, 8_500.0] {
            let (tried, held) = search(|rate| rate <= limit);
            println!("limit {limit}: tried {tried:?}, held {held:?}");
            let held = held.unwrap();
            assert!(held <= limit && held * RESOLUTION >= limit, "{held}");
        }
        assert_eq!(search(|_| false).1, None);
    }

    #[test]
    fn one_failure_on_the_way_up_is_not_the_end() {
        let (tried, held) = search(|rate| rate <= 3_000.0 && !(300.0..500.0).contains(&rate));
        println!("fails from 300 to 500, holds to 3,000: tried {tried:?}, held {held:?}");
        assert!(held.unwrap() > 2_700.0);
    }
}
