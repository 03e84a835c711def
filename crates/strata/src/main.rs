//! The program: a thin shell around the library, so that generic code is compiled there.

use std::process::ExitCode;

fn main() -> ExitCode {
    strata::run()
}
