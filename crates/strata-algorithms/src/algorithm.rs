//! The `Algorithm` port, and the job it is given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strata_base::predictor::Scorer;

use crate::Card;

/// A built-in algorithm.
pub trait Algorithm: Send + Sync {
    fn card(&self) -> &'static Card;

    /// What is wrong with these hyperparameters, one sentence a problem; empty when all is well.
    /// An algorithm adds what its card cannot say, such as values that do not go together.
    fn problems(&self, given: &BTreeMap<String, String>) -> Vec<String> {
        self.card().problems(given)
    }

    /// The framework package that does the work, where it is not Strata itself.
    fn framework(&self) -> Option<&'static str> {
        None
    }

    /// Trains in this process, from `job.channels` to `job.model`; prints log and metric lines
    /// to standard output as AWS's container prints them.
    fn train(&self, job: &Job) -> Result<(), TrainError>;

    /// Loads the folder that `train` (or AWS's container of this algorithm) wrote.
    fn load(&self, model: &Path) -> Result<Box<dyn Scorer>, String>;
}

/// A prepared `/opt/ml` as a program sees it, already parsed.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// By name; values are text, as the API gives them. Checked against the card.
    pub hyperparameters: BTreeMap<String, String>,
    pub channels: BTreeMap<String, Channel>,
    /// `/opt/ml/model`.
    pub model: PathBuf,
    /// `/opt/ml/output`.
    pub output: PathBuf,
    /// `/opt/ml/checkpoints`, where the job has a CheckpointConfig.
    pub checkpoints: Option<PathBuf>,
    /// Threads the job may use.
    pub threads: usize,
    /// `algo-1`, ...; the hosts of the job in order, and which one this is.
    pub host: String,
    pub hosts: Vec<String>,
    /// Set when the job is asked to end (StopTrainingJob, or its time is over).
    pub stop: Arc<AtomicBool>,
}

impl Job {
    /// Whether to end soon: save what is good so far and return `Ok`.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The channel of this name, or the sentence that says it is missing.
    pub fn channel(&self, name: &str) -> Result<&Channel, TrainError> {
        self.channels.get(name).ok_or_else(|| {
            let known: Vec<_> = self.channels.keys().map(String::as_str).collect();
            let given = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            TrainError::Client(format!(
                "channel {name:?} is missing; name it in InputDataConfig (given: {given})"
            ))
        })
    }
}

/// One input channel: a folder of files.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub name: String,
    pub folder: PathBuf,
    /// As the caller said it, e.g. `text/csv;label_size=0`; empty when absent.
    pub content_type: String,
    /// `None` or `Gzip`.
    pub compression: String,
}

/// Why training failed. AWS prefixes the reason by whose fault it was.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// `ClientError: ...`: data or hyperparameters are wrong; the sentence says where.
    #[error("ClientError: {0}")]
    Client(String),
    /// `AlgorithmError: ...`: training itself failed.
    #[error("AlgorithmError: {0}")]
    Algorithm(String),
    /// `InternalServerError: ...`: the machine failed (disk full, missing library).
    #[error("InternalServerError: {0}")]
    Internal(String),
}
