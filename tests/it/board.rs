//! The board over HTTP, on a real server. Rules B40 to B49 of `docs/RULES.md`. Every answer that any of these tests gets is held
//! to what `openapi.json` says of it.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod api_description;
mod api_support;
#[allow(dead_code, reason = "the tests of tokens use the rest")]
mod auth_support;
mod board_begin;
mod board_edits;
mod board_files;
mod board_large;
mod board_people;
mod board_random;
mod board_show;
mod board_support;
mod board_takes;
mod harness;
