//! The binary: thin over the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ruang::cli::run(std::env::args_os())
}
