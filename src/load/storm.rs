//! Scenarios about being there: `connect`, many joining one room at once, and `rooms`, many rooms of
//! one client each and what they leave in memory.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::crowd::{Crowd, Shape};
use super::open::JOINING_MAX;
use super::outgoing::Outgoing;
use super::report::{Cost, Percentiles, Report};
use super::{Context, LoadError};

/// How long a storm may take.
const STORM_TIMEOUT: Duration = Duration::from_secs(60);

/// How long nothing may arrive before the missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long memory is given to come to rest after the last join.
const REST: Duration = Duration::from_secs(1);

/// Rooms that are joined again after they were left, to see that they kept their content.
const REJOINED: usize = 50;

/// Everyone joins a room that holds `--updates` items already, all at the same moment. Its author
/// and one reader are there before.
pub(super) async fn connect(context: &Context) -> Result<Report, LoadError> {
    let asked = context.args.shape()?;
    context.check_sockets(u64::from(asked.clients) + 2)?;
    let mut report = context.report(Some(asked));
    let shape = Shape { rooms: 1, clients: 2, writers: 1, keys: context.args.update_count(), ..asked };
    let mut crowd = Crowd::new(&context.prefix, shape, context.seed);
    crowd.join_all(&context.target, JOINING_MAX).await?;
    write_all(&crowd, context.args.update_count(), WINDOW).await?;
    let before = context.server_usage()?;

    let storm: Vec<usize> = (0..asked.clients).map(|_| crowd.add_newcomer(0)).collect();
    let start = Instant::now();
    crowd.connect(&storm, &context.target, storm.len()).await?;
    crowd.wait_joined(&storm, STORM_TIMEOUT).await?;
    report.figure_ms("all joined ms", start.elapsed());
    if !context.args.no_history {
        let loss = crowd.drain(PATIENCE).await;
        loss.judge(&mut report.failures);
        report.loss = Some(loss);
    }
    tokio::time::sleep(REST).await;
    let after = context.server_usage()?;

    let mut joins = super::world::histogram();
    for at in &storm {
        let joined = crowd.clients[*at].state.lock().joined.unwrap_or(STORM_TIMEOUT);
        joins.saturating_record(joined.as_micros() as u64);
    }
    report.join_ms = Percentiles::of(&joins);
    if let Some((before, after)) = before.zip(after) {
        let grown = after.rss_kib.saturating_sub(before.rss_kib) as f64;
        report.figure("KiB per connection", round(grown / f64::from(asked.clients)));
        report.figure("server CPU ms", (after.cpu - before.cpu).as_secs_f64() * 1e3);
    }
    Ok(report)
}

/// One client in each of many rooms, some updates in each; then everyone leaves.
pub(super) async fn rooms(context: &Context) -> Result<Report, LoadError> {
    let shape = context.args.shape()?;
    let clients = u64::from(shape.rooms) * u64::from(shape.clients);
    context.check_sockets(clients)?;
    let mut report = context.report(Some(shape));
    let before = context.server_usage()?;
    let mut crowd = Crowd::new(&context.prefix, shape, context.seed);
    crowd.join_all(&context.target, JOINING_MAX).await?;
    report.join_ms = Percentiles::of(&crowd.world.shards.join());
    for clock in 1..=context.args.update_count() {
        for client in &crowd.clients {
            client.write(&crowd.world, clock);
            Outgoing::flush(client, &crowd.world);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(REST).await;
    let with = context.server_usage()?;
    crowd.leave_all();
    let Some((before, with)) = before.zip(with) else {
        return Err(LoadError::Usage("rooms measures memory: give the server's --pid".into()));
    };
    let per_room = |kib: u64| round(kib.saturating_sub(before.rss_kib) as f64 / f64::from(shape.rooms));
    report.figure("KiB per room with client", per_room(with.rss_kib));

    let start = Instant::now();
    let mut last = with.rss_kib;
    while start.elapsed() < context.args.settle && per_room(last) > 0.5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        last = context.server_usage()?.unwrap_or_default().rss_kib;
        eprintln!("{:4.0} s after leaving: {} KiB per room", start.elapsed().as_secs_f64(), per_room(last));
    }
    report.figure("KiB per room after leaving", per_room(last));
    report.figure("s until then", start.elapsed().as_secs_f64().round());
    report.cost = Some(Cost {
        server_rss_before_kib: Some(before.rss_kib),
        server_rss_kib: Some(last),
        ..Cost::default()
    });
    if !context.args.no_history {
        rejoin(context, &mut crowd, &mut report).await?;
    }
    Ok(report)
}

/// Looks into some of the rooms again: what was written must be there.
async fn rejoin(context: &Context, crowd: &mut Crowd, report: &mut Report) -> Result<(), LoadError> {
    let mut random = StdRng::seed_from_u64(context.seed);
    let rooms = crowd.shape.rooms;
    let who: Vec<usize> = (0..REJOINED).map(|_| crowd.add_newcomer(random.random_range(0..rooms))).collect();
    crowd.connect(&who, &context.target, JOINING_MAX).await?;
    crowd.wait_joined(&who, STORM_TIMEOUT).await?;
    let lost = who.iter().map(|at| crowd.missing_at(*at)).sum::<u64>();
    report.figure("updates lost in 50 rooms after leaving", lost as f64);
    if lost > 0 {
        report.failures.push(format!("{lost} updates are gone from rooms that were left"));
    }
    Ok(())
}

/// Updates under way at most, when one client writes as fast as another receives: less than a
/// server would refuse as a flood, more than it can batch.
pub(super) const WINDOW: u32 = 2_000;

/// The first writer of room 0 writes until it has `count` updates, at most `window` ahead of the
/// slowest reader; returns when everyone connected has all: the time that took.
pub(super) async fn write_all(crowd: &Crowd, count: u32, window: u32) -> Result<Duration, LoadError> {
    let (writer, start) = (crowd.writer(0, 0), Instant::now());
    let mut last = (0, Instant::now());
    loop {
        let readers = crowd.clients.iter().filter(|client| client.writer != Some(0));
        let seen = readers.map(|client| client.state.lock().seen.through(0)).min().unwrap_or(0);
        if seen >= count {
            return Ok(start.elapsed());
        }
        if seen != last.0 {
            last = (seen, Instant::now());
        } else if last.1.elapsed() > STORM_TIMEOUT {
            let what = format!("update {seen} of {count}, which has been written,");
            return Err(LoadError::Timeout { what, after: STORM_TIMEOUT });
        }
        if let Some(reason) = crowd.tally().first_disconnect {
            return Err(LoadError::Join {
                joined: 0,
                of: crowd.clients.len(),
                waited: start.elapsed(),
                reason,
            });
        }
        let to = seen.saturating_add(window).min(count);
        for clock in crowd.world.rooms[0].sent(0)..to {
            writer.write(&crowd.world, clock + 1);
        }
        Outgoing::flush(writer, &crowd.world);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Two digits behind the point.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
