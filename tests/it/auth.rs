//! Who may enter: tokens, keys, revocations. Rules A of `docs/RULES.md`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod auth_binary;
mod auth_costs;
mod auth_keys;
mod auth_minted;
mod auth_revocation;
mod auth_roles;
mod auth_sockets;
mod auth_support;
mod auth_tokens;
mod binary;
mod harness;
