//! `joinrace`: many new rooms whose clients all come at the same moment and write at once. A server
//! that loads or creates a room twice isolates them from each other, or loses who wrote first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use super::crowd::Crowd;
use super::outgoing::Outgoing;
use super::report::{Percentiles, Report, Traffic};
use super::{Context, LoadError};

/// Each client writes its next update after at most so long.
const PAUSE_MS_MAX: u64 = 50;

/// How long nothing may arrive before the missing counts as lost.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// Everyone connects at once and writes the first update behind its Step1, without waiting for the
/// answer; the others follow at random moments. In the end everyone must have everything. With
/// `--no-history` nobody writes before all have joined.
pub(super) async fn run(context: &Context) -> Result<Report, LoadError> {
    let shape = context.args.shape()?;
    context.check_sockets(u64::from(shape.rooms) * u64::from(shape.clients))?;
    let updates = context.args.update_count();
    let mut report = context.report(Some(shape));
    let mut crowd = Crowd::new(&context.prefix, shape, context.seed);
    let all: Vec<usize> = (0..crowd.clients.len()).collect();
    let all_joined = Arc::new(AtomicBool::new(!context.args.no_history));
    let mut writing = JoinSet::new();
    for (client, at) in crowd.clients.iter().zip(0..) {
        let (client, world) = (client.clone(), crowd.world.clone());
        let mut random = StdRng::seed_from_u64(context.seed ^ at);
        let all_joined = Arc::clone(&all_joined);
        writing.spawn(async move {
            while client.outgoing.lock().is_closed() || !all_joined.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for clock in 1..=updates {
                client.write(&world, clock);
                Outgoing::flush(&client, &world);
                tokio::time::sleep(Duration::from_millis(random.random_range(0..PAUSE_MS_MAX))).await;
            }
        });
    }
    let storm = crowd.connect(&all, &context.target, all.len()).await;
    if let Err(error) = storm {
        writing.abort_all();
        return Err(error);
    }
    crowd.wait_joined(&all, Duration::from_secs(30)).await?;
    all_joined.store(true, Ordering::Relaxed);
    writing.join_all().await;
    let loss = crowd.drain(DRAIN_PATIENCE).await;
    loss.judge(&mut report.failures);
    report.loss = Some(loss);
    report.join_ms = Percentiles::of(&crowd.world.shards.join());
    let counts = crowd.world.shards.counts();
    report.traffic = Some(Traffic {
        updates: u64::from(updates) * u64::from(shape.rooms) * u64::from(shape.writers),
        deliveries: counts.deliveries,
        frames: counts.frames,
        reads: counts.reads,
        bytes: counts.bytes,
        ..Traffic::default()
    });
    Ok(report)
}
