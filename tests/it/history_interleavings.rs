//! [H10] Appends, compactors and a loader in every order. A compactor may end anywhere: that is an
//! order in which it is never asked again, and every state is checked, so those are among them.
//!
//! Twice: on a model of the protocol, and with the real code of compaction and recovery, whose calls
//! of the log are the atomic steps. Each of the three known mistakes is shown to be found.

use std::collections::HashSet;
use std::sync::Arc;

use ruang::log::Log;
use ruang::log::memory::MemoryLog;

use crate::history_orders::{COMPACTORS, Cast, LARGE, LOADER, explore};
use crate::history_sim::{Mutation, SimStore};

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
