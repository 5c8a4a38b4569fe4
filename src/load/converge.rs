//! `converge`: people with real documents edit at random, lose their connection at random, edit on
//! and come back. In the end all documents, and a newcomer's, must be the same.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use super::peer::Peer;
use super::report::Report;
use super::target::Target;
use super::{Context, LoadError};

/// A lost connection stays away for at most so long.
const OFFLINE_MS_MAX: u64 = 600;

/// Edits at most while offline.
const OFFLINE_EDITS_MAX: u32 = 12;

/// One in so many turns loses the connection.
const DISCONNECT_ONE_IN: u32 = 15;

/// How long documents may take to become the same when nobody edits any more.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// `--clients` peers in one room, each with `--rate` edits per second, for `--duration`.
pub(super) async fn run(context: &Context) -> Result<Report, LoadError> {
    let shape = context.args.shape()?;
    let (_, duration) = context.args.times()?;
    let mut report = context.report(Some(shape));
    eprintln!("seed {}", context.seed);
    let mut random = StdRng::seed_from_u64(context.seed);
    let pause = Duration::from_secs_f64(1.0 / shape.rate);
    let mut living = JoinSet::new();
    for _ in 0..shape.clients {
        let peer = Peer::new(random.random_range(1 << 32..1 << 53), StdRng::from_rng(&mut random));
        let (target, room) = (context.target.clone(), context.prefix.clone());
        living.spawn(live(peer, target, room, pause, duration));
    }
    let mut peers = gather(living).await?;
    let edits: u64 = peers.iter().map(|peer| peer.edits).sum();
    let reconnects: u64 = peers.iter().map(|peer| peer.reconnects).sum();
    report.figure("edits", edits as f64);
    report.figure("disconnects", reconnects as f64);
    peers.push(Peer::new(random.random_range(1 << 32..1 << 53), StdRng::from_rng(&mut random)));

    let start = Instant::now();
    let different = loop {
        let mut settling = JoinSet::new();
        for peer in peers.drain(..) {
            settling.spawn(settle(peer, context.target.clone(), context.prefix.clone()));
        }
        peers = gather(settling).await?;
        let different: HashSet<String> = peers.iter().map(Peer::fingerprint).collect();
        if different.len() == 1 || start.elapsed() > SETTLE_TIMEOUT {
            break different;
        }
    };
    report.figure("different documents in the end", different.len() as f64);
    report.figure("bytes of one as text", different.iter().next().map_or(0, String::len) as f64);
    if different.len() > 1 {
        report.failures.push(format!(
            "{} clients and a newcomer hold {} different documents",
            shape.clients,
            different.len()
        ));
    }
    Ok(report)
}

async fn gather(mut tasks: JoinSet<Result<Peer, LoadError>>) -> Result<Vec<Peer>, LoadError> {
    let mut peers = Vec::new();
    while let Some(done) = tasks.join_next().await {
        peers.push(done.map_err(|error| LoadError::Bug(error.to_string()))??);
    }
    Ok(peers)
}

/// Edits for `duration`, with breaks of the connection.
async fn live(
    mut peer: Peer,
    target: Target,
    room: String,
    pause: Duration,
    duration: Duration,
) -> Result<Peer, LoadError> {
    let start = Instant::now();
    peer.connect(&target, &room).await?;
    while start.elapsed() < duration {
        let wait = pause.mul_f64(peer.random.random_range(0.0..2.0));
        peer.listen(wait).await?;
        peer.edit().await;
        if peer.random.random_ratio(1, DISCONNECT_ONE_IN) {
            peer.drop_connection();
            for _ in 0..peer.random.random_range(0..OFFLINE_EDITS_MAX) {
                peer.edit().await;
            }
            let away = Duration::from_millis(peer.random.random_range(0..OFFLINE_MS_MAX));
            tokio::time::sleep(away).await;
        }
        if !peer.is_connected() {
            peer.connect(&target, &room).await?;
        }
    }
    Ok(peer)
}

/// Asks for what is missing and listens until nothing comes any more.
async fn settle(mut peer: Peer, target: Target, room: String) -> Result<Peer, LoadError> {
    if peer.is_connected() {
        peer.ask().await;
    } else {
        peer.connect(&target, &room).await?;
    }
    let start = Instant::now();
    while peer.listen(Duration::from_millis(500)).await? > 0 && start.elapsed() < SETTLE_TIMEOUT {}
    Ok(peer)
}
