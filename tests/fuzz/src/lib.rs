//! What is promised of foreign bytes, one file for each kind of them: an input goes in, and what does not hold panics.
//!
//! libFuzzer calls these (`fuzz_targets`), and `tests/it/fuzz_corpus.rs` calls the same with what is kept in `seeds` and
//! `mended`, and with changes of that. What an input means is said in each file.

// The test sees none of it from outside, and asks Yjs for nothing.
#![allow(dead_code, unreachable_pub)]

pub mod edits;
pub mod frames;
pub mod gate;
pub mod presence;

#[cfg(feature = "server")]
pub mod headers;
#[cfg(feature = "server")]
pub mod imports;
#[cfg(feature = "server")]
pub mod stored;
#[cfg(feature = "server")]
pub mod tokens;
