//! [G60] What the fuzzers' targets check (`tests/fuzz/src`) holds for every input that is kept in `tests/fuzz/seeds` and
//! `tests/fuzz/mended`, and for changes of them: the same ones each time, without libFuzzer.
//!
//! `RUANG_FUZZ` sets how many changed inputs of each target, `RUANG_TEST_SEED` replays one of them. An input that breaks a promise
//! is kept, and its path printed: it belongs into `tests/fuzz/mended/TARGET` when it is mended.
#![allow(clippy::unwrap_used)]

mod mutate;
#[path = "../fuzz/src/lib.rs"]
mod promises;
mod random_docs;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use mutate::mutate;
use random_docs::{Random, seeds};

/// An input and where it is kept.
type Kept = (PathBuf, Vec<u8>);

/// What is kept of a target, in the order of the names.
fn kept(target: &str) -> Vec<Kept> {
    let folder =
        |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name).join(target);
    let files =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = files(folder("seeds")).chain(files(folder("mended"))).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// One of the inputs, changed: a little, or with a piece of another one in it.
fn changed(kept: &[Kept], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut input = kept[random.index(kept.len())].1.clone();
    if random.chance(20) && !input.is_empty() {
        let other = &kept[random.index(kept.len())].1;
        let from = random.index(other.len());
        let piece = &other[from..(from + 1 + random.index(64)).min(other.len())];
        let at = random.index(input.len());
        let end = if random.chance(50) { at } else { (at + piece.len()).min(input.len()) };
        input.splice(at..end, piece.iter().copied());
    }
    if random.chance(90) {
        mutate(&mut random, &mut input);
    }
    input
}

/// Runs a target on everything; `run` says whether the input was taken.
fn walk(target: &str, count: u64, run: fn(&[u8]) -> bool) {
    let kept = kept(target);
    let mut taken = 0;
    for (path, input) in &kept {
        let was_taken = catch_unwind(|| run(input));
        taken += usize::from(
            was_taken.unwrap_or_else(|_| panic!("{target}: {} breaks a promise", path.display())),
        );
    }
    let all = kept.len();
    assert!(taken * 5 > all, "{target}: of {all} inputs only {taken} are taken: what they mean has changed");

    let count = std::env::var("RUANG_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(count);
    let seeds = seeds(target, count);
    let mut taken_changed = 0;
    for &seed in &seeds {
        let input = changed(&kept, seed);
        let was_taken = catch_unwind(|| run(&input)).unwrap_or_else(|_| {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-{seed}"));
            fs::write(&path, &input).unwrap();
            panic!("{target}: {} breaks a promise; replay with RUANG_TEST_SEED={seed}", path.display());
        });
        taken_changed += usize::from(was_taken);
    }
    let changed = seeds.len();
    println!(
        "{target}: {taken} of {all} inputs taken, {taken_changed} of {changed} changed ones, from seed {} on",
        seeds[0]
    );
}

/// A test for each target, and how many changed inputs it gets: each takes about a second where nothing is optimised.
macro_rules! walks {
    ($($target:ident $run:expr, $count:literal;)*) => { $(
        /// [G60]
        #[test]
        fn $target() {
            walk(stringify!($target), $count, $run);
        }
    )* };
}

walks! {
    gate |input| promises::gate::run(input).is_some(), 2_000;
    frames promises::frames::run, 2_000;
    presence promises::presence::run, 2_000;
    edits promises::edits::run, 2_000;
    stored promises::stored::run, 2_000;
    imports promises::imports::run, 2_000;
    headers promises::headers::run, 2_000;
    tokens promises::tokens::run, 2_000;
}

/// [G60] What libFuzzer runs is what runs here.
#[test]
fn every_target_is_walked() {
    let folder = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name);
    let names = |name: &str| -> Vec<String> {
        let entries = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> =
            entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let source = include_str!("fuzz_corpus.rs");
    let (targets, seeds) = (names("fuzz_targets"), names("seeds"));
    assert_eq!(targets, seeds, "each begins somewhere");
    for target in targets {
        assert!(source.contains(&format!("\n    {target} ")), "{target} is not walked here");
    }
}
