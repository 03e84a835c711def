//! The door of the house: the command line, the configuration, and the wiring
//! of the layers into one running cloud.
//!
//! One file a command in `commands/`; each talks to a running cloud through the
//! same public API that everybody uses (`client`), but for `up`, which is the
//! cloud.

mod cli;
mod client;
mod commands;
mod config;
mod output;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("strata: {problem}");
            ExitCode::FAILURE
        }
    }
}
