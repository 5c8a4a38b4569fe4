//! The binary: thin over the library.

use std::process::ExitCode;

/// The system's allocator keeps the memory of rooms that have come and gone
/// (`docs/decisions/0003-allocator.md`).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ruang::cli::run(std::env::args_os())
}
