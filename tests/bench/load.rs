//! `ruang load` alone, until the binary has it.

use clap::Parser;
use ruang::load::LoadArgs;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    load: LoadArgs,
}

fn main() -> std::process::ExitCode {
    match ruang::load::run(Command::parse().load) {
        Ok(report) if report.passed() => std::process::ExitCode::SUCCESS,
        Ok(_) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::from(2)
        }
    }
}
