//! The child process of a built-in algorithm: from a prepared `/opt/ml` to a model and an exit
//! code, as a container would do it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use strata_frameworks::Package;

use crate::provenance::Provenance;
use crate::{Algorithm, Channel, Job, TrainError, find};

/// Runs the algorithm of this name in the folder that is `/opt/ml` to it. `verb` is `train`.
///
/// On failure the reason is written to `output/failure`, and to standard error.
pub fn run(name: &str, verb: &str, opt_ml: &Path) -> ExitCode {
    let result = catch_unwind(AssertUnwindSafe(|| start(name, verb, opt_ml)));
    let result = result.unwrap_or_else(|panic| Err(TrainError::Algorithm(words_of(&*panic))));
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("{error}");
    let failure = opt_ml.join("output/failure");
    let written =
        fs::create_dir_all(opt_ml.join("output")).and_then(|()| fs::write(&failure, error.to_string()));
    if let Err(cause) = written {
        eprintln!("could not write {}: {cause}", failure.display());
    }
    ExitCode::FAILURE
}

fn start(name: &str, verb: &str, opt_ml: &Path) -> Result<(), TrainError> {
    let algorithm =
        find(name).ok_or_else(|| TrainError::Client(format!("there is no built-in algorithm {name:?}")))?;
    if verb != "train" {
        return Err(TrainError::Client(format!("a built-in algorithm does not know {verb:?}, only train")));
    }
    let job = prepared(opt_ml)?;
    let library = algorithm.framework().and_then(|name| strata_frameworks::find(name).ok());
    let library = library.map(Package::title);
    println!(
        "{} starts on {}: Strata {}{}, {} threads, channels {}",
        algorithm.card().name,
        job.host,
        env!("CARGO_PKG_VERSION"),
        library.iter().map(|title| format!(", library {title}")).collect::<String>(),
        job.threads,
        job.channels.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    );
    // asked to end, a job ends by itself, between two steps, with what is good so far
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&job.stop))
        .map_err(|cause| TrainError::Internal(format!("could not listen for SIGTERM: {cause}")))?;
    check(algorithm, &job)?;
    let provenance = Provenance::start(algorithm.card().name, library, &job);
    algorithm.train(&job)?;
    provenance.write(&job.model).map_err(|cause| TrainError::Internal(format!("provenance: {cause}")))
}

/// What the card knows to be wrong before any work is done.
fn check(algorithm: &dyn Algorithm, job: &Job) -> Result<(), TrainError> {
    let card = algorithm.card();
    if let Some(problem) = algorithm.problems(&job.hyperparameters).into_iter().next() {
        return Err(TrainError::Client(problem));
    }
    for channel in card.channels.iter().filter(|channel| channel.required) {
        job.channel(channel.name)?;
    }
    let known: Vec<_> = card.channels.iter().map(|channel| channel.name).collect();
    match job.channels.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(TrainError::Client(format!(
            "Extraneous channel found: {name}; {} reads {}",
            card.name,
            known.join(", ")
        ))),
        None => Ok(()),
    }
}

/// Reads `input/config` of a prepared folder.
fn prepared(opt_ml: &Path) -> Result<Job, TrainError> {
    let config = opt_ml.join("input/config");
    let hyperparameters: BTreeMap<String, Value> = read(&config.join("hyperparameters.json"))?;
    let channels: BTreeMap<String, ChannelConfig> = read(&config.join("inputdataconfig.json"))?;
    let resources: ResourceConfig = read(&config.join("resourceconfig.json"))?;
    let mut job = Job {
        model: opt_ml.join("model"),
        output: opt_ml.join("output"),
        checkpoints: Some(opt_ml.join("checkpoints")).filter(|folder| folder.is_dir()),
        threads: threads(),
        host: resources.current_host.unwrap_or_else(|| "algo-1".to_owned()),
        hosts: resources.hosts,
        ..Job::default()
    };
    for (name, value) in hyperparameters {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        job.hyperparameters.insert(name, value);
    }
    for (name, channel) in channels {
        if let Some(mode) = channel.training_input_mode.filter(|mode| mode != "File" && mode != "FastFile") {
            return Err(TrainError::Client(format!(
                "channel {name:?} comes in mode {mode}, which is not read; set TrainingInputMode to File"
            )));
        }
        let channel = Channel {
            folder: opt_ml.join("input/data").join(&name),
            content_type: channel.content_type.unwrap_or_default(),
            compression: channel.compression_type.unwrap_or_else(|| "None".to_owned()),
            name: name.clone(),
        };
        job.channels.insert(name, channel);
    }
    if job.hosts.is_empty() {
        job.hosts.push(job.host.clone());
    }
    Ok(job)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChannelConfig {
    content_type: Option<String>,
    compression_type: Option<String>,
    training_input_mode: Option<String>,
}

#[derive(Default, Deserialize)]
struct ResourceConfig {
    current_host: Option<String>,
    #[serde(default)]
    hosts: Vec<String>,
}

/// A file that is missing means its defaults, as it does to AWS's containers.
fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, TrainError> {
    let wrong = |cause: String| TrainError::Internal(format!("{}: {cause}", path.display()));
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|cause| wrong(cause.to_string())),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(cause) => Err(wrong(cause.to_string())),
    }
}

/// The scheduler says how many in `STRATA_THREADS`; else all that the process may use.
fn threads() -> usize {
    let given = std::env::var("STRATA_THREADS").ok().and_then(|threads| threads.parse().ok());
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    given.filter(|threads| *threads > 0).unwrap_or_else(all)
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("the program broke: {}", words.unwrap_or_else(|| "it did not say why".to_owned()))
}
