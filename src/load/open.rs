//! The open loop: a fixed schedule against a crowd, with progress, cost and loss.

use std::io::Write as _;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::crowd::{Crowd, Shape};
use super::pacer::Pacer;
use super::process::{self, Usage};
use super::report::{Cost, Loss, Percentiles, Report, Traffic};
use super::world::{Counts, histogram};
use super::{Context, LoadError};

/// What one schedule came to.
pub(super) struct Outcome {
    pub(super) latency: Histogram<u64>,
    pub(super) traffic: Traffic,
    pub(super) loss: Loss,
    pub(super) cost: Cost,
    /// Share of the schedule's updates that was written: less than 1 if it was ended early.
    pub(super) written: f64,
}

/// How many clients connect at the same time, where joining is not what is measured.
pub(super) const JOINING_MAX: usize = 64;

/// How long nothing may arrive before the missing counts as lost.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// The scenarios that are one schedule.
pub(super) async fn run(context: &Context) -> Result<Report, LoadError> {
    let shape = context.args.shape()?;
    let (warmup, duration) = context.args.times()?;
    context.check_sockets(u64::from(shape.rooms) * u64::from(shape.clients))?;
    let _idle = idle_crowd(context).await?;
    let mut report = context.report(Some(shape));
    let before = context.server_usage()?;
    let mut crowd = Crowd::new(&context.prefix, shape, context.seed);
    crowd.join_all(&context.target, JOINING_MAX).await?;
    let outcome = schedule(context, &crowd, warmup, duration, None).await?;
    report.join_ms = Percentiles::of(&crowd.world.shards.join());
    report.latency_ms = Percentiles::of(&outcome.latency);
    report.traffic = Some(outcome.traffic);
    outcome.loss.judge(&mut report.failures);
    report.loss = Some(outcome.loss);
    report.cost = Some(Cost { server_rss_before_kib: before.map(|usage| usage.rss_kib), ..outcome.cost });
    Ok(report)
}

/// One silent client in each of `--idle-rooms`.
async fn idle_crowd(context: &Context) -> Result<Crowd, LoadError> {
    let shape = Shape { rooms: context.args.idle_rooms, clients: 1, writers: 0, rate: 1.0, keys: 1 };
    let mut crowd = Crowd::new(&format!("{}-idle", context.prefix), shape, context.seed);
    crowd.join_all(&context.target, JOINING_MAX).await?;
    Ok(crowd)
}

/// Runs one schedule against a crowd that has joined, and waits for what is under way. Ends early
/// once the median of a second is above `give_up`.
pub(super) async fn schedule(
    context: &Context,
    crowd: &Crowd,
    warmup: Duration,
    duration: Duration,
    give_up: Option<Duration>,
) -> Result<Outcome, LoadError> {
    let pacer = Pacer::start(crowd, warmup, duration);
    let start = Instant::now();
    let mut latency = histogram();
    tokio::time::sleep(warmup).await;
    let from = Sample::take(context, crowd)?;
    let mut last = from;
    while !pacer.is_done() {
        let left = (start + duration).saturating_duration_since(Instant::now());
        tokio::time::sleep(left.clamp(Duration::from_millis(10), Duration::from_secs(1))).await;
        if pacer.is_done() || last.at.elapsed() < Duration::from_millis(900) {
            continue;
        }
        let second = crowd.world.shards.take_latency();
        latency.add(&second).map_err(|error| LoadError::Bug(error.to_string()))?;
        let now = Sample::take(context, crowd)?;
        progress(start.elapsed(), &last, &now, &second);
        last = now;
        let median = Duration::from_micros(second.value_at_quantile(0.5));
        if give_up.is_some_and(|limit| median > limit) {
            pacer.stop();
        }
    }
    let to = Sample::take(context, crowd)?;
    let paced = pacer.finish()?;
    let loss = crowd.drain(DRAIN_PATIENCE).await;
    latency.add(crowd.world.shards.take_latency()).map_err(|error| LoadError::Bug(error.to_string()))?;
    let counts = crowd.world.shards.counts();
    let planned = crowd.world.schedule.count(duration).max(1);
    Ok(Outcome {
        latency,
        traffic: Traffic {
            updates: paced.updates,
            deliveries: counts.deliveries,
            deliveries_per_s: to.deliveries_per_s(&from),
            frames: counts.frames,
            reads: counts.reads,
            bytes: counts.bytes,
            write_late_p99_ms: paced.late_p99_us as f64 / 1e3,
        },
        loss,
        cost: to.cost(&from),
        written: paced.updates as f64 / planned as f64,
    })
}

/// Everything at one moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    server: Option<Usage>,
    own: Usage,
    machine: Duration,
    counts: Counts,
}

impl Sample {
    fn take(context: &Context, crowd: &Crowd) -> Result<Self, LoadError> {
        Ok(Self {
            at: Instant::now(),
            server: context.server_usage()?,
            own: process::own_usage(),
            machine: process::machine_cpu(),
            counts: crowd.world.shards.counts(),
        })
    }

    fn deliveries_per_s(&self, earlier: &Self) -> f64 {
        let seconds = (self.at - earlier.at).as_secs_f64().max(1e-9);
        (self.counts.deliveries - earlier.counts.deliveries) as f64 / seconds
    }

    fn cost(&self, earlier: &Self) -> Cost {
        let wall = (self.at - earlier.at).as_secs_f64().max(1e-9);
        let deliveries = (self.counts.deliveries - earlier.counts.deliveries).max(1) as f64;
        let server = self.server.zip(earlier.server).map(|(to, from)| to.cpu - from.cpu);
        let own = self.own.cpu - earlier.own.cpu;
        let others = server.map(|cpu| (self.machine - earlier.machine).saturating_sub(cpu + own));
        Cost {
            server_us_per_delivery: server.map(|cpu| cpu.as_secs_f64() * 1e6 / deliveries),
            server_cpu_percent: server.map(|cpu| cpu.as_secs_f64() * 100.0 / wall),
            server_rss_before_kib: None,
            server_rss_kib: self.server.map(|usage| usage.rss_kib),
            generator_us_per_delivery: own.as_secs_f64() * 1e6 / deliveries,
            generator_cpu_percent: own.as_secs_f64() * 100.0 / wall,
            others_cpu_percent: others.map(|cpu| cpu.as_secs_f64() * 100.0 / wall),
        }
    }
}

/// One line on standard error, which the next one overwrites on a terminal.
fn progress(elapsed: Duration, last: &Sample, now: &Sample, latency: &Histogram<u64>) {
    let cost = now.cost(last);
    let ms = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
    let server = match (cost.server_cpu_percent, cost.server_rss_kib) {
        (Some(cpu), Some(kib)) => format!("  server {cpu:.0} % {} MiB", kib / 1024),
        _ => String::new(),
    };
    eprintln!(
        "{:4.0} s  {:>9.0} deliveries/s  p50 {:.1}  p99 {:.1}  max {:.1} ms{server}  generator {:.0} %",
        elapsed.as_secs_f64(),
        now.deliveries_per_s(last),
        ms(0.5),
        ms(0.99),
        latency.max() as f64 / 1e3,
        cost.generator_cpu_percent,
    );
    drop(std::io::stderr().flush());
}
