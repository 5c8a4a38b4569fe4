//! Tests on real Redis servers, each on a free port and a directory of its own, ended with their test: single, with
//! Sentinel, as a cluster, behind bad networks. Rules are cited as `[L1]`; docs/RULES.md lists them. They need
//! redis-server (`scripts/test setup` installs it).
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

// First, since its macro is used in those that follow.
#[macro_use]
mod log_stores;

mod addresses;
mod away;
mod boards;
mod clusters;
mod compactors;
mod crashes;
mod crowd;
mod damage;
mod failovers;
mod instances;
mod kinds;
mod links;
mod losses;
mod names;
mod pages;
mod permissions;
mod random;
mod restarts;
mod revocations;
mod rig;
mod rig_tests;
mod scripts;
mod sentinels;
mod served;
mod settings;
mod traffic;
mod two;
mod versions;

#[allow(dead_code)] // what is about tokens alone
#[path = "../it/auth_support.rs"]
mod auth_support;
#[path = "../it/binary.rs"]
mod binary;
#[path = "../it/harness.rs"]
mod harness;
#[path = "../it/hidden_stores.rs"]
mod hidden_stores;
#[allow(dead_code)] // what they do without Redis
#[path = "../it/history_orders.rs"]
mod history_orders;
#[allow(dead_code)]
#[path = "../it/history_sim.rs"]
mod history_sim;
#[allow(dead_code)]
#[path = "../it/history_support.rs"]
mod history_support;
#[path = "../it/kinds_stores.rs"]
mod kinds_stores;
#[path = "../it/life_support.rs"]
mod life_support;
#[path = "../it/log_author.rs"]
mod log_author;
#[path = "../it/log_contract.rs"]
mod log_contract;
#[path = "../it/log_contract_life.rs"]
mod log_contract_life;
#[path = "../it/log_contract_snapshots.rs"]
mod log_contract_snapshots;
#[path = "../it/log_contract_trims.rs"]
mod log_contract_trims;
#[allow(dead_code)] // what the contract does not need
#[path = "../it/log_support.rs"]
mod log_support;
#[path = "../it/random_docs.rs"]
mod random_docs;
