//! Kills: the server is ended by SIGKILL under load and started again on the same data. What any
//! client had seen of another's, and what was acked, must be there.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::crowd::{Crowd, Shape};
use super::open::JOINING_MAX;
use super::pacer::Pacer;
use super::report::{Report, Trial};
use super::server::Server;
use super::target::Target;
use super::{Context, LoadError, Scenario};

/// When the server is killed, at the earliest and latest after the first update.
const KILL_AFTER_MS: std::ops::Range<u64> = 50..1_500;

/// A schedule that no trial reaches the end of.
const SCHEDULE: Duration = Duration::from_secs(600);

/// How long clients may take to come back, or to see the end of their connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// When to kill.
#[derive(Clone, Copy)]
enum Moment {
    After(Duration),
    /// Once another client has seen so many updates.
    Seen(u32),
}

/// `--kill-trial N` and `durability`: N kills of one server on one growing store, new rooms each
/// time; in the end it is killed once more and all rooms are looked at again.
pub(super) async fn run(context: &Context) -> Result<Report, LoadError> {
    let Some(command) = &context.args.server_cmd else {
        let text = "a kill needs a server of our own: give --server-cmd \
                    \"ruang serve --listen 127.0.0.1:{port} --store file:{dir}\"";
        return Err(LoadError::Usage(text.into()));
    };
    let shape = context.args.shape()?;
    let trials = context.args.kill_trial.unwrap_or(1);
    context.check_sockets(u64::from(shape.rooms) * u64::from(shape.clients + 2))?;
    let mut report = context.report(Some(shape));
    eprintln!("seed {}", context.seed);
    let mut random = StdRng::seed_from_u64(context.seed);
    let mut server = Server::start(command).await?;
    let mut target = server.target(&context.target);
    target.acks = !context.args.no_acks;
    let mut crowds = Vec::new();
    for number in 1..=trials {
        let moment = match context.args.scenario {
            Scenario::Durability => Moment::Seen(context.args.update_count()),
            _ => Moment::After(Duration::from_millis(random.random_range(KILL_AFTER_MS))),
        };
        let prefix = format!("{}-{number}", context.prefix);
        let mut crowd = Crowd::new(&prefix, shape, random.random());
        let trial = trial(&mut crowd, &mut server, &target, moment).await?;
        eprintln!("trial {number} of {trials}: {trial}");
        if trial.lost_seen + trial.lost_acked > 0 {
            report.failures.push(format!("trial {number}: {trial}"));
        }
        rejoin(&mut crowd, &target, number, &mut report).await?;
        report.trials.push(trial);
        crowds.push(crowd);
    }
    look_back(&mut crowds, &mut server, &target, &mut report).await?;
    if !report.passed() {
        let dir = server.keep();
        report.failures.push(format!("data and log of the server are kept in {}", dir.display()));
    }
    Ok(report)
}

/// One kill: from joining to what a newcomer gets after the restart.
async fn trial(
    crowd: &mut Crowd,
    server: &mut Server,
    target: &Target,
    moment: Moment,
) -> Result<Trial, LoadError> {
    crowd.join_all(target, JOINING_MAX).await?;
    let pacer = Pacer::start(crowd, Duration::ZERO, SCHEDULE);
    let start = Instant::now();
    match moment {
        Moment::After(time) => tokio::time::sleep(time).await,
        Moment::Seen(count) => wait_seen(crowd, count).await?,
    }
    server.kill();
    let killed_after = start.elapsed();
    pacer.stop();
    let written = pacer.finish()?.updates;
    wait_ended(crowd).await;
    let marks = marks(crowd);

    let restart = Instant::now();
    server.restart().await?;
    let newcomers: Vec<usize> = (0..crowd.shape.rooms).map(|room| crowd.add_newcomer(room)).collect();
    crowd.connect(&newcomers, target, JOINING_MAX).await?;
    crowd.wait_joined(&newcomers, PATIENCE).await?;
    let back_after_ms = restart.elapsed().as_millis() as u64;
    let mut trial = Trial {
        killed_after_ms: killed_after.as_millis() as u64,
        written,
        seen: 0,
        acked: 0,
        back_after_ms,
        lost_seen: 0,
        lost_acked: 0,
    };
    for Mark { room, writer, seen, acked } in marks {
        let state = crowd.clients[newcomers[room as usize]].state.lock();
        trial.seen += u64::from(seen);
        trial.acked += u64::from(acked);
        trial.lost_seen += state.seen.missing(writer, seen);
        trial.lost_acked += state.seen.missing(writer, acked);
    }
    Ok(trial)
}

/// Everyone comes back with what they wrote: in the end all must have all, also what the server
/// never had.
async fn rejoin(
    crowd: &mut Crowd,
    target: &Target,
    number: u32,
    report: &mut Report,
) -> Result<(), LoadError> {
    let Shape { rooms, clients, .. } = crowd.shape;
    let everyone: Vec<usize> = (0..(rooms * clients) as usize).collect();
    crowd.connect(&everyone, target, JOINING_MAX).await?;
    crowd.wait_joined(&everyone, PATIENCE).await?;
    let loss = crowd.drain(PATIENCE).await;
    let mut failures = Vec::new();
    loss.judge(&mut failures);
    report.failures.extend(failures.into_iter().map(|text| format!("trial {number}, all rejoined: {text}")));
    crowd.leave_all();
    Ok(())
}

/// A last kill, with nothing under way; then newcomers look at the rooms of all trials.
async fn look_back(
    crowds: &mut [Crowd],
    server: &mut Server,
    target: &Target,
    report: &mut Report,
) -> Result<(), LoadError> {
    server.restart().await?;
    let mut lost = 0;
    for crowd in crowds {
        let newcomers: Vec<usize> = (0..crowd.shape.rooms).map(|room| crowd.add_newcomer(room)).collect();
        crowd.connect(&newcomers, target, JOINING_MAX).await?;
        crowd.wait_joined(&newcomers, PATIENCE).await?;
        lost += newcomers.iter().map(|at| crowd.missing_at(*at)).sum::<u64>();
        crowd.leave_all();
    }
    report.figure("lost after the last restart", lost as f64);
    if lost > 0 {
        report.failures.push(format!("{lost} updates of earlier trials are gone after the last restart"));
    }
    Ok(())
}

/// What must survive of one writer: as many of its updates.
struct Mark {
    room: u32,
    writer: u32,
    /// That another client has received.
    seen: u32,
    /// That the server has acked to the writer.
    acked: u32,
}

fn marks(crowd: &Crowd) -> Vec<Mark> {
    let mut marks = Vec::new();
    for client in &crowd.clients {
        let Some(writer) = client.writer else { continue };
        let others = crowd.clients.iter().filter(|other| other.room == client.room);
        let others = others.filter(|other| other.writer != Some(writer));
        let seen = others.map(|other| other.state.lock().seen.highest(writer)).max().unwrap_or(0);
        let acks = client.state.lock().acked as usize;
        let outgoing = client.outgoing.lock();
        let messages = outgoing.messages.as_deref().unwrap_or_default();
        let acked = messages.get(..acks).unwrap_or(messages).last().copied().unwrap_or(0);
        marks.push(Mark { room: client.room, writer, seen, acked });
    }
    marks
}

async fn wait_seen(crowd: &Crowd, count: u32) -> Result<(), LoadError> {
    let start = Instant::now();
    while marks(crowd).iter().map(|mark| mark.seen).sum::<u32>() < count {
        if start.elapsed() > SCHEDULE {
            return Err(LoadError::Timeout { what: format!("{count} updates"), after: SCHEDULE });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// What lies in a socket's buffer when the server dies has still been seen.
async fn wait_ended(crowd: &Crowd) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE && crowd.clients.iter().any(|client| client.state.lock().ended.is_none())
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
