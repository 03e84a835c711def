//! `strata algorithm NAME train`: the program of a training job with a built-in algorithm.

use std::process::ExitCode;

use crate::cli::Algorithm;

pub fn run(args: &Algorithm) -> ExitCode {
    strata_algorithms::run(&args.name, &args.verb, &args.opt_ml)
}
