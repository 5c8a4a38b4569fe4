//! Several instances on one log, simulated from a seed: real rooms, real clients' documents, a bus that loses and turns
//! around, a store that refuses, forgets and falls back, instances that crash. Everything that happens follows
//! from the seed (`docs/decisions/0011-simulation.md`); `RUANG_TEST_SEED` replays one.
//!
//! What must hold: nothing is shown or acknowledged that was not stored by then; when everything works again, all come to
//! one document, which is the fold of the log and holds all that was ever stored.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod client;
mod door;
mod instance;
mod link;
mod quiet;
#[path = "../it/random_docs.rs"]
mod random_docs;
mod store;
mod ticket;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ticket::Mistake;
use world::{Counted, Script, World};

const EVERYTHING: Script = Script { steps: 600, losses: true, deletions: true, mistake: None };

/// What a run has come to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    trace: Vec<String>,
    documents: BTreeMap<String, String>,
    counted: Counted,
}

/// One run. An error says what is wrong, and the last steps that led there.
fn run(seed: u64, script: Script) -> Result<Outcome, String> {
    if let Ok(filter) = std::env::var("RUANG_SIM_LOG") {
        let _ = ruang::telemetry::start_logging(&filter, ruang::telemetry::LogFormat::Text);
    }
    let mut world = World::new(seed, script);
    let mut stepped = Ok(());
    for _ in 0..script.steps {
        stepped = world.step();
        if stepped.is_err() {
            break;
        }
    }
    let settled = stepped.and_then(|()| world.settle());
    let counted = world.counted();
    let trace = std::mem::take(&mut world.trace);
    match settled {
        Ok(documents) => Ok(Outcome { trace, documents, counted }),
        Err(why) => {
            let shown = trace.len().saturating_sub(lines());
            Err(format!("{}\n{why}", trace[shown..].join("\n")))
        }
    }
}

/// With `RUANG_SIM_LOG` set, what the instances log is printed too: of all of a run, in its order.
fn log_if_asked() {
    if std::env::var_os("RUANG_SIM_LOG").is_some() {
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).without_time().try_init();
    }
}

/// How many lines of a failing run are printed: `RUANG_SIM_LINES`, else 60.
fn lines() -> usize {
    std::env::var("RUANG_SIM_LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(60)
}

/// How many seeds are run if nothing else is asked for.
const SEEDS: u64 = 300;

/// Runs so many seeds, or as many as there is time for in `RUANG_TEST_SIM_S` seconds, or the one that is to be replayed.
fn run_seeds(name: &str, script: Script) -> Counted {
    log_if_asked();
    let began = Instant::now();
    let seconds: Option<u64> =
        std::env::var("RUANG_TEST_SIM_S").ok().map(|text| text.parse().expect("seconds"));
    let replayed: Option<u64> =
        std::env::var("RUANG_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let start = replayed.unwrap_or_else(|| first_seed(1));
    let (mut seed, mut sum) = (start, Counted::default());
    loop {
        match run(seed, script) {
            Ok(outcome) => sum = sum.plus(outcome.counted),
            Err(why) => panic!("{name}, RUANG_TEST_SEED={seed}\n{why}"),
        }
        seed += 1;
        let enough = match seconds {
            Some(seconds) => began.elapsed() > Duration::from_secs(seconds),
            None => seed - start >= SEEDS,
        };
        if replayed.is_some() || enough {
            break;
        }
    }
    println!("{name}: seeds {start} to {} in {:?}; {sum:?}", seed - 1, began.elapsed());
    sum
}

/// Where the seeds begin: `RUANG_TEST_SIM_FROM`, else the same each time.
fn first_seed(usual: u64) -> u64 {
    std::env::var("RUANG_TEST_SIM_FROM").ok().map_or(usual, |seed| seed.parse().expect("a number"))
}

/// [R1, R2, R10, R28, R29, R30, H5, H8] Instances crash, stop and stand still, the bus loses and turns around, the store
/// refuses, loses replies, falls back, forgets rooms and deletes them, compactions run and end anywhere: nothing is shown
/// or acknowledged before it is stored, and in the end all are one, with everything that was ever stored.
#[test]
fn whatever_happens_all_become_one() {
    run_seeds("everything", EVERYTHING);
}

/// [R1, R2, R28, R29, H8] The same with a store that loses nothing: no epoch, no healing.
#[test]
fn without_losses_all_become_one_and_nothing_is_healed() {
    let sum = run_seeds("no losses", Script { losses: false, deletions: false, ..EVERYTHING });
    assert_eq!(sum.healed, 0);
}

/// The same seed gives the same run: every step, all that anyone was told, and the documents at the end.
#[test]
fn a_seed_is_a_run() {
    for seed in 1..=8 {
        let one = run(seed, EVERYTHING).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let two = run(seed, EVERYTHING).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        for (at, (one, two)) in one.trace.iter().zip(&two.trace).enumerate() {
            assert_eq!(one, two, "seed {seed}, line {at}");
        }
        assert_eq!(one, two, "seed {seed}");
    }
}

/// Each of the mistakes is found, in one of a few runs.
#[test]
fn mistakes_are_found() {
    let all = [
        Mistake::AnswersFirst,
        Mistake::TakesAnySeen,
        Mistake::HealsNothing,
        Mistake::StoresRetries,
        Mistake::HidesGaps,
        Mistake::NeverLooks,
    ];
    for mistake in all {
        let script = Script { mistake: Some(mistake), deletions: false, ..EVERYTHING };
        let found = (1..=100).find_map(|seed| run(seed, script).err().map(|why| (seed, why)));
        let (seed, why) = found.unwrap_or_else(|| panic!("{mistake:?} is not found"));
        println!("{mistake:?}, seed {seed}: {}", why.lines().last().unwrap_or_default());
    }
}
