//! [H10] Appends, compactors and a loader in every order. A compactor may end anywhere: that is an
//! order in which it is never asked again, and every state is checked, so those are among them.
//!
//! Twice: on a model of the protocol, and with the real code of compaction and recovery, whose calls
//! of the log are the atomic steps. Each of the three known mistakes is shown to be found.

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
use ruang::log::bus::Seen;
use ruang::log::memory::MemoryLog;
use ruang::log::{Batch, Expects, Log};

use crate::history_sim::{Gate, Mutation, Scheduled, SimStore};
use crate::history_support::*;

// The model.

/// Bits are records: record n is bit n - 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shared {
    head: u32,
    log: u32,
    revision: u32,
    /// What the referenced snapshot says that it covers, and what it holds.
    through: u32,
    content: u32,
    acked: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Actor {
    /// Appends that are left.
    Writer(u32),
    Compactor(Compaction),
    Loader(Option<(u32, u32, u32)>),
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Compaction {
    Begins,
    HasSnapshot { revision: u32, through: u32, content: u32 },
    HasFolded { revision: u32, through: u32, content: u32 },
    HasAdopted,
}

fn up_to(n: u32) -> u32 {
    (1 << n) - 1
}

/// Counts the states, or says what is wrong in one of them.
fn explore_model(mutation: Mutation) -> Result<usize, &'static str> {
    let start = Shared { head: 0, log: 0, revision: 0, through: 0, content: 0, acked: 0 };
    let compactor = Actor::Compactor(Compaction::Begins);
    let mut todo = vec![(start, [Actor::Writer(3), compactor, compactor, Actor::Loader(None)])];
    let mut seen = HashSet::new();
    while let Some(state) = todo.pop() {
        if !seen.insert(state) {
            continue;
        }
        let (shared, actors) = state;
        if shared.acked & !(shared.content | shared.log) != 0 {
            return Err("an acknowledged update is lost");
        }
        if up_to(shared.through) & !shared.content != 0 {
            return Err("a snapshot has a hole");
        }
        for at in 0..actors.len() {
            step_model(&shared, actors[at], mutation, |shared, actor| {
                let mut actors = actors;
                actors[at] = actor;
                todo.push((shared, actors));
            })?;
        }
    }
    Ok(seen.len())
}

fn step_model(
    shared: &Shared,
    actor: Actor,
    mutation: Mutation,
    mut go: impl FnMut(Shared, Actor),
) -> Result<(), &'static str> {
    let tail = |through: u32| shared.log & !up_to(through);
    // Whether something between a snapshot and the log's first or last record is gone.
    let jumps = |through: u32| {
        let tail = tail(through);
        if tail == 0 { shared.head > through } else { tail.trailing_zeros() != through }
    };
    match actor {
        Actor::Writer(left) if left > 0 => {
            let head = shared.head + 1;
            let bit = 1 << (head - 1);
            let appended = Shared { head, log: shared.log | bit, acked: shared.acked | bit, ..*shared };
            go(appended, Actor::Writer(left - 1));
        }
        Actor::Compactor(compaction) => {
            go(*shared, Actor::Ended);
            let same = |compaction| Actor::Compactor(compaction);
            match compaction {
                Compaction::Begins => {
                    let Shared { revision, through, content, .. } = *shared;
                    go(*shared, same(Compaction::HasSnapshot { revision, through, content }));
                }
                Compaction::HasSnapshot { revision, through, content } => {
                    let tail = tail(through);
                    if tail == 0 || !jumps(through) || mutation.hide_jumps {
                        let through = if tail == 0 { through } else { 32 - tail.leading_zeros() };
                        let folded = Compaction::HasFolded { revision, through, content: content | tail };
                        go(*shared, same(folded));
                    }
                }
                Compaction::HasFolded { revision, through, content } => {
                    let first = revision == shared.revision && through >= shared.through;
                    if first || mutation.no_revision_check {
                        let revision = shared.revision + 1;
                        go(Shared { revision, through, content, ..*shared }, same(Compaction::HasAdopted));
                    }
                }
                Compaction::HasAdopted => {
                    let cut = if mutation.trim_to_end { shared.head } else { shared.through };
                    go(Shared { log: shared.log & !up_to(cut), ..*shared }, Actor::Ended);
                }
            }
        }
        Actor::Loader(None) => {
            go(*shared, Actor::Loader(Some((shared.through, shared.content, shared.acked))));
        }
        Actor::Loader(Some((through, content, must))) => {
            if jumps(through) && !mutation.hide_jumps {
                go(*shared, Actor::Loader(None)); // overtaken: it begins again
            } else if must & !(content | tail(through)) != 0 {
                return Err("a loader misses an acknowledged update");
            } else {
                go(*shared, Actor::Ended);
            }
        }
        Actor::Writer(_) | Actor::Ended => {}
    }
    Ok(())
}

const NO_REVISION_CHECK: Mutation =
    Mutation { no_revision_check: true, trim_to_end: false, hide_jumps: false };
const TRIM_TO_END: Mutation = Mutation { no_revision_check: false, trim_to_end: true, hide_jumps: false };
const HIDE_JUMPS: Mutation = Mutation { no_revision_check: false, trim_to_end: false, hide_jumps: true };

/// [H10] The protocol: no order of its steps loses an acknowledged update; each mistake does.
#[test]
fn the_model_holds_and_finds_each_mistake() {
    let states = explore_model(Mutation::default());
    println!("{states:?} states");
    assert!(states.is_ok_and(|states| states > 3_000));
    for mutation in [NO_REVISION_CHECK, TRIM_TO_END, HIDE_JUMPS] {
        let found = explore_model(mutation);
        println!("{mutation:?}: {found:?}");
        assert!(found.is_err(), "{mutation:?}");
    }
}

// The real code.

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
struct Cast {
    /// By a writer of its own.
    appends: u64,
    /// How often each compactor compacts, and whether it appends a record itself before each time.
    compactors: &'static [(u32, bool)],
    loads: bool,
    /// Reading a snapshot is one step with the call before it.
    reads_at_once: bool,
}

/// One that is slow while the other writes and compacts three times: what the revision is for.
const COMPACTORS: Cast =
    Cast { appends: 0, compactors: &[(1, false), (3, true)], loads: false, reads_at_once: false };

/// One that reads while everything under it is trimmed.
const LOADER: Cast = Cast { appends: 1, compactors: &[(2, false)], loads: true, reads_at_once: false };

/// The same with writers of their own: a minute or two.
const LARGE: [Cast; 2] = [
    Cast { appends: 2, compactors: &[(1, false), (2, false)], loads: false, reads_at_once: true },
    Cast { appends: 2, compactors: &[(2, false)], loads: true, reads_at_once: false },
];

fn batch(room: &RoomName, number: u64, updates: &[Vec<u8>]) -> Batch {
    Batch {
        instance: InstanceId(7),
        number,
        genesis: genesis(room),
        records: updates.iter().map(|update| update_record(update)).collect(),
        expects: Expects::Anything,
        seen: Seen::default(),
        heals: false,
        ttl_ms: None,
    }
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
async fn explore(make: &dyn Fn() -> Arc<dyn Log>, cast: Cast) -> Result<usize, String> {
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

fn run_all(make: &dyn Fn() -> Arc<dyn Log>, cast: Cast) -> Result<usize, String> {
    let began = std::time::Instant::now();
    let found = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(explore(make, cast));
    println!("{cast:?}: {found:?} in {:?}", began.elapsed());
    found
}

/// [H10] The real compaction and the real recovery on the log in memory: in every order, every state can
/// be loaded, with all that was acknowledged.
#[test]
fn the_real_code_holds_in_every_order() {
    for cast in [COMPACTORS, LOADER] {
        let states = run_all(&|| Arc::new(MemoryLog::with_clock(Arc::new(|| 1_000)).0), cast);
        assert!(states.is_ok_and(|states| states > 100));
    }
}

/// The same with more actors.
#[test]
#[ignore = "22,000 states take a minute or two"]
fn the_real_code_holds_in_every_order_of_a_larger_cast() {
    for cast in LARGE {
        let states = run_all(&|| Arc::new(MemoryLog::with_clock(Arc::new(|| 1_000)).0), cast);
        assert!(states.is_ok_and(|states| states > 4_000));
    }
}

/// [H10] On a store that makes one of the three mistakes, an order is found in which something is lost;
/// on the same store without them none is.
#[test]
fn each_mistake_is_found_with_the_real_code() {
    for cast in [COMPACTORS, LOADER] {
        assert!(run_all(&|| SimStore::open(Mutation::default()), cast).is_ok());
    }
    for (mutation, cast) in [(NO_REVISION_CHECK, COMPACTORS), (TRIM_TO_END, LARGE[1]), (HIDE_JUMPS, LARGE[1])]
    {
        println!("{mutation:?}");
        assert!(run_all(&|| SimStore::open(mutation), cast).is_err());
    }
}
