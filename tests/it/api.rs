//! The HTTP API and webhooks, on a real server. Rules P1 to P29 of `docs/RULES.md`. Every answer that any of these tests
//! gets is held to what `openapi.json` says of it.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod api_board;
mod api_conditions;
mod api_description;
mod api_history;
mod api_hostile;
mod api_openapi;
mod api_read;
mod api_shares;
mod api_support;
mod api_tokens;
mod api_webhooks;
mod api_write;
#[allow(dead_code, reason = "the tests of tokens use the rest")]
mod auth_support;
mod harness;
mod hex;
mod life_support;
