//! Chores of this repository, in plain Rust: `cargo xtask CHORE`.

mod apis;
mod json;

use std::process::ExitCode;

const HELP: &str = "\
Chores of this repository.

usage: cargo xtask <chore>

chores:
  apis [--botocore DIR]   make apis/*.json anew from botocore's service models;
                          DIR is the package's folder (default: ask python3)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["apis"] => apis::make(None),
        ["apis", "--botocore", folder] => apis::make(Some(folder)),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => Err(format!("unknown chore: {}\n\n{HELP}", words.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("error: {cause}");
            ExitCode::FAILURE
        }
    }
}
