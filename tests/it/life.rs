//! The life of rooms: deadlines, sweeps, deletion, on a memory log with clocks that the test moves.
//! Rules H20 to H30 of `docs/RULES.md`; `src/life/deadline/tests.rs` shows the decisions alone.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod harness;
#[allow(dead_code, reason = "the tests of history use the rest")]
mod history_support;
mod life_api;
mod life_archive;
mod life_delete;
mod life_support;
mod life_sweep;
mod life_touch;
mod random_docs;
