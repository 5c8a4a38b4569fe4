//! The operators' verbs: on logs in memory, on exported files, through the admin socket, and as the real binary.
//! Rules O10 and on of `docs/RULES.md`.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says what it expects by failing; supports are shared with other tests"
)]

mod binary;
mod harness;
mod hex;
mod log_support;
mod replay_binary;
mod replay_files;
mod replay_import;
mod replay_moving;
mod replay_moving_odd;
mod replay_remote;
mod replay_support;
mod replay_verbs;
mod replay_verify;
