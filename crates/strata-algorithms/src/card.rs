//! What an algorithm says of itself: names, hyperparameters, channels, metrics.
//! Validation, tuning ranges, CLI help and the reference page come from it.

use std::collections::BTreeMap;

/// The single source of an algorithm's contract.
#[derive(Debug)]
pub struct Card {
    /// Our name and AWS's image repository, e.g. `linear-learner`.
    pub name: &'static str,
    /// Further repository names that mean this algorithm, e.g. `sagemaker-xgboost`.
    pub images: &'static [&'static str],
    /// One sentence.
    pub summary: &'static str,
    pub hyperparameters: &'static [Hyperparameter],
    pub channels: &'static [ChannelCard],
    pub metrics: &'static [Metric],
}

impl Card {
    /// What is wrong with these hyperparameters, one sentence a problem; empty when all is well.
    pub fn problems(&self, given: &BTreeMap<String, String>) -> Vec<String> {
        let missing = self
            .hyperparameters
            .iter()
            .filter(|known| known.required && !given.contains_key(known.name))
            .map(|known| format!("hyperparameter {} is required", known.name));
        let unknown = given
            .keys()
            .filter(|name| !self.hyperparameters.iter().any(|known| known.name == name.as_str()))
            .map(|name| format!("hyperparameter {name} is not one of {}", self.name));
        missing.chain(unknown).collect()
    }
}

#[derive(Debug)]
pub struct Hyperparameter {
    pub name: &'static str,
    pub required: bool,
    /// As the documentation gives it; `None` when absent means nothing is set.
    pub default: Option<&'static str>,
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
}

/// The values a hyperparameter takes, always given as text.
#[derive(Debug)]
pub enum Kind {
    Integer {
        min: i64,
        max: i64,
    },
    /// Bounds inclusive unless said otherwise.
    Float {
        min: f64,
        max: f64,
        min_open: bool,
        max_open: bool,
    },
    Choice(&'static [&'static str]),
    /// `true`/`false` (also `1`/`0`, `True`/`False`).
    Bool,
    Text,
    /// One of the words, else the inner kind: `auto` or a positive number.
    Or(&'static [&'static str], &'static Kind),
}

#[derive(Debug)]
pub struct ChannelCard {
    pub name: &'static str,
    pub required: bool,
    pub content_types: &'static [&'static str],
}

#[derive(Debug)]
pub struct Metric {
    /// E.g. `validation:auc`.
    pub name: &'static str,
    pub maximize: bool,
    /// Finds the value in a log line; the first group is the number.
    pub regex: &'static str,
}
