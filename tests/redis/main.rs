//! Tests against real Redis servers: single, with Sentinel, as a Cluster, behind bad networks. Rules are cited
//! as `[L1]`; docs/RULES.md lists them. They need redis-server (`scripts/test setup` installs it).
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod rig;
mod rig_tests;
