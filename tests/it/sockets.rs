//! What comes in over sockets: hostile bytes, hostile names, presence. Rules W, S and R of
//! `docs/RULES.md`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod craft;
mod harness;
mod hex;
mod random_docs;
mod sockets_hocuspocus;
mod sockets_hostile;
mod sockets_names;
mod sockets_presence;
mod sockets_walks;
