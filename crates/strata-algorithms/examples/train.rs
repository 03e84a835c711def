//! Runs a built-in algorithm in a prepared `/opt/ml`, as the platform's child process does:
//! `train xgboost FOLDER`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [algorithm, folder] => strata_algorithms::run(algorithm, "train", Path::new(folder)),
        _ => {
            eprintln!("usage: train ALGORITHM FOLDER");
            ExitCode::FAILURE
        }
    }
}
