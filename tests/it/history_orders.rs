//! The real compaction and the real recovery, whose calls of the log are steps that a scheduler gives: every order of
//! them, or random ones. A compactor may end anywhere: that is an order in which it is never asked again.

use std::collections::HashSet;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use ruang::gate::{Gate as RoomGate, Source, StateVector};
use ruang::history::{self, Outcome, Range};
use ruang::ids::{InstanceId, RoomName};
use ruang::log::{Batch, Log};

use crate::history_sim::{Gate, Scheduled};
use crate::history_support::*;

/// What the room holds when its newest record is of this counter.
type Truth = Vec<StateVector>;

/// One order of steps, from the beginning.
struct Run {
    room: RoomName,
    store: Arc<dyn Log>,
    /// Where each stands, and what is left of it.
    actors: Vec<(Arc<Gate>, Option<ActorFuture>)>,
}

type ActorFuture = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// Who takes part.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    /// By a writer of its own.
    appends: u64,
    /// How often each compactor compacts, and whether it appends a record itself before each time.
    compactors: &'static [(u32, bool)],
    loads: bool,
    /// Reading a snapshot is one step with the call before it.
    reads_at_once: bool,
}

/// One that is slow while the other writes and compacts three times: what the revision is for.
pub const COMPACTORS: Cast =
    Cast { appends: 0, compactors: &[(1, false), (3, true)], loads: false, reads_at_once: false };

/// One that reads while everything under it is trimmed.
pub const LOADER: Cast = Cast { appends: 1, compactors: &[(2, false)], loads: true, reads_at_once: false };

/// The same with writers of their own: a minute or two.
pub const LARGE: [Cast; 2] = [
    Cast { appends: 2, compactors: &[(1, false), (2, false)], loads: false, reads_at_once: true },
    Cast { appends: 2, compactors: &[(2, false)], loads: true, reads_at_once: false },
];

fn batch(room: &RoomName, number: u64, updates: &[Vec<u8>]) -> Batch {
    let records = updates.iter().map(|update| update_record(update)).collect();
    Batch::new(InstanceId(7), number, genesis(room), records)
}

impl Run {
    /// A room with a snapshot and a record behind it; a writer, compactors, and perhaps a loader.
    async fn new(store: Arc<dyn Log>, cast: Cast, updates: &[Vec<u8>], truth: &Arc<Truth>) -> Self {
        let room: RoomName = "r".parse().unwrap();
        store.append(&room, batch(&room, 1, &updates[..1])).await.unwrap();
        compact(&store, &room, NO_RETENTION).await;
        store.append(&room, batch(&room, 2, &updates[1..2])).await.unwrap();
        let mut run = Self { room, store, actors: Vec::new() };
        run.add(cast, |log, room| {
            let updates = updates.to_vec();
            async move {
                for n in 0..cast.appends {
                    let at = usize::try_from(n).unwrap() + 2;
                    let appended = log.append(&room, batch(&room, 3 + n, &updates[at..=at])).await;
                    appended.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
        });
        for &(rounds, appends) in cast.compactors {
            let (store, updates) = (Arc::clone(&run.store), updates.to_vec());
            run.add(cast, |log, room| async move {
                for round in 0..rounds {
                    if appends {
                        let at = 2 + round as usize;
                        let batch = batch(&room, 3 + u64::from(round), &updates[at..=at]);
                        store.append(&room, batch).await.map_err(|error| error.to_string())?;
                    }
                    let done = history::compact(&log, &room, NO_RETENTION).await;
                    match done.map_err(|error| error.to_string())?.outcome {
                        Outcome::Written(_) | Outcome::Lost | Outcome::Nothing => {}
                        other => return Err(format!("{other:?}")),
                    }
                }
                Ok(())
            });
        }
        if cast.loads {
            run.add(cast, |log, room| {
                let truth = Arc::clone(truth);
                async move { check_load(&log, &room, &truth, 0).await }
            });
        }
        for at in 0..run.actors.len() {
            run.advance(at).await.unwrap();
        }
        run
    }

    fn add<F: Future<Output = Result<(), String>> + 'static>(
        &mut self,
        cast: Cast,
        actor: impl FnOnce(Arc<dyn Log>, RoomName) -> F,
    ) {
        let gate = Arc::new(Gate::default());
        let own = Mutex::default();
        let (store, reads_at_once) = (Arc::clone(&self.store), cast.reads_at_once);
        let log = Arc::new(Scheduled { store, gate: Arc::clone(&gate), own, reads_at_once });
        self.actors.push((gate, Some(Box::pin(actor(log, self.room.clone())))));
    }

    /// Lets an actor go on to its next call, or to its end.
    async fn advance(&mut self, at: usize) -> Result<(), String> {
        let (gate, slot) = &mut self.actors[at];
        gate.grant_if_waiting();
        let Some(actor) = slot else { return Ok(()) };
        let ended = poll_fn(|context| match actor.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if gate.is_waiting() => Poll::Ready(None),
            Poll::Pending => Poll::Pending, // a job on the blocking pool
        })
        .await;
        if let Some(ended) = ended {
            *slot = None;
            return ended;
        }
        Ok(())
    }

    fn enabled(&self) -> Vec<usize> {
        (0..self.actors.len()).filter(|&at| self.actors[at].1.is_some()).collect()
    }

    /// What decides about everything that can still happen.
    async fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let head = self.store.open(&self.room).await.unwrap().unwrap();
        (head.last, head.base, head.revision).hash(&mut hasher);
        for kept in &head.snapshots {
            (kept.revision, kept.through).hash(&mut hasher);
            self.store.chunk(&self.room, kept.upload, 0).await.unwrap().hash(&mut hasher);
        }
        for (gate, actor) in &self.actors {
            (gate.trace(), actor.is_some()).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The room can be loaded now, and has everything that was acknowledged when the load began.
async fn check_load(log: &Arc<dyn Log>, room: &RoomName, truth: &Truth, acked: u64) -> Result<(), String> {
    let walk = history::walk(log, room, Range::TO_HEAD).await.map_err(|error| error.to_string())?;
    let mut walk = walk.ok_or("the room is gone")?;
    walk.to_end().await.map_err(|error| error.to_string())?;
    let fold = walk.into_fold().map_err(|error| error.to_string())?;
    let last = fold.last().seq;
    if last < acked || !fold.set_aside().is_empty() {
        return Err(format!("a load ends at record {last} of {acked}, without {:?}", fold.set_aside()));
    }
    if fold.gate().state_vector() != truth[usize::try_from(last).unwrap()] {
        return Err(format!("a load up to record {last} misses an acknowledged update"));
    }
    Ok(())
}

/// Goes through all orders; states in which the store and all that the actors know are the same are
/// one. Counts them, or says what is wrong in one of them and how it came about.
pub async fn explore(make: &dyn Fn() -> Arc<dyn Log>, cast: Cast) -> Result<usize, String> {
    let updates = keystrokes(5, 5);
    let truth = Arc::new(truth(&updates));
    let mut seen = HashSet::new();
    let mut todo: Vec<Vec<usize>> = vec![Vec::new()];
    while let Some(prefix) = todo.pop() {
        let mut run = Run::new(make(), cast, &updates, &truth).await;
        let mut path = Vec::new();
        let mut next = prefix.into_iter();
        loop {
            let chosen = match next.next() {
                Some(chosen) => chosen,
                None => {
                    // A new state, perhaps: the run goes on from here, and others begin from it.
                    if !seen.insert(run.fingerprint().await) {
                        break;
                    }
                    let acked = run.store.open(&run.room).await.unwrap().unwrap().last.seq;
                    let loaded = check_load(&run.store, &run.room, &truth, acked).await;
                    loaded.map_err(|why| format!("{why}; order {path:?}"))?;
                    let mut enabled = run.enabled().into_iter();
                    let Some(first) = enabled.next() else { break };
                    todo.extend(enabled.map(|other| [&path[..], &[other]].concat()));
                    first
                }
            };
            path.push(chosen);
            run.advance(chosen).await.map_err(|why| format!("actor {chosen}: {why}; order {path:?}"))?;
        }
    }
    Ok(seen.len())
}

fn truth(updates: &[Vec<u8>]) -> Truth {
    let mut gate = RoomGate::new();
    let mut truth = vec![gate.state_vector()];
    let marker = genesis(&"r".parse().unwrap()).update();
    for update in std::iter::once(&marker[..]).chain(updates.iter().map(Vec::as_slice)) {
        gate.admit(update, Source::Record).unwrap();
        truth.push(gate.state_vector());
    }
    truth
}

/// One order of steps, drawn by `choose` from how many there are. Each state can be loaded with all that was acknowledged.
/// Some actors end on the way. Returns how many steps there were.
pub async fn walk_an_order(
    store: Arc<dyn Log>,
    cast: Cast,
    mut choose: impl FnMut(usize) -> usize,
) -> Result<usize, String> {
    let updates = keystrokes(5, 5);
    let truth = Arc::new(truth(&updates));
    let mut run = Run::new(store, cast, &updates, &truth).await;
    let mut path = Vec::new();
    loop {
        let acked = run.store.open(&run.room).await.unwrap().unwrap().last.seq;
        let loaded = check_load(&run.store, &run.room, &truth, acked).await;
        loaded.map_err(|why| format!("{why}; order {path:?}"))?;
        let enabled = run.enabled();
        if enabled.is_empty() {
            return Ok(path.len());
        }
        let chosen = enabled[choose(enabled.len())];
        path.push(chosen);
        if choose(40) == 0 {
            run.actors[chosen].1 = None; // killed where it stands
            continue;
        }
        run.advance(chosen).await.map_err(|why| format!("actor {chosen}: {why}; order {path:?}"))?;
    }
}
