//! Tests of the log: its records, the contract on every implementation, and what each of them
//! promises beyond it. Rules are cited as `[L1]`; docs/RULES.md lists them.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

// First, since its macro is used in those that follow.
#[macro_use]
mod log_stores;

mod log_author;
mod log_bench;
mod log_bench_life;
mod log_contract;
mod log_contract_life;
mod log_contract_snapshots;
mod log_contract_trims;
mod log_crash;
mod log_crash_life;
mod log_damage;
mod log_damage_life;
mod log_directory;
mod log_disk;
mod log_disk_life;
mod log_golden;
mod log_journal;
mod log_journal_life;
mod log_memory;
mod log_random;
mod log_random_life;
mod log_records;
mod log_support;
