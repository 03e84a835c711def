//! Trains Linear Learner on CSV files and prints the log lines.
//!
//!     cargo run --release -p strata-algorithms --example train_linear -- THREADS TRAIN_FOLDER MODEL_FOLDER name=value...
//!
//! A folder `validation` or `test` beside TRAIN_FOLDER is used as that channel.

use std::path::PathBuf;
use std::time::Instant;

use strata_algorithms::linear_learner::LinearLearner;
use strata_algorithms::{Algorithm, Channel, Job};

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let mut next =
        || arguments.next().ok_or("usage: train_linear THREADS TRAIN_FOLDER MODEL_FOLDER name=value...");
    let threads = next()?.parse().map_err(|_| "THREADS is not a number")?;
    let (train, model) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let mut job = Job { threads, model, host: "algo-1".into(), ..Job::default() };
    for argument in arguments {
        let (name, value) = argument.split_once('=').ok_or("hyperparameters are given as name=value")?;
        job.hyperparameters.insert(name.into(), value.into());
    }
    for name in ["train", "validation", "test"] {
        let folder = if name == "train" { train.clone() } else { train.with_file_name(name) };
        if folder.is_dir() {
            let channel = Channel { name: name.into(), folder, ..Channel::default() };
            job.channels.insert(name.into(), channel);
        }
    }
    let start = Instant::now();
    LinearLearner.train(&job).map_err(|error| error.to_string())?;
    println!("{:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}
