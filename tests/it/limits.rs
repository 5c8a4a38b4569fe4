//! How many, how fast, from which pages, by way of which proxies. Rules O40 to O59 of `docs/RULES.md`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod harness;
mod limits_browsers;
mod limits_counts;
mod limits_floods;
mod limits_handshakes;
mod limits_support;
