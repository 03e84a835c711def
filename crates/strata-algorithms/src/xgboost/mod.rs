//! XGBoost: gradient boosted trees, trained by the real library, served in memory-safe Rust.

mod card;
mod checkpoint;
mod data;
mod ffi;
mod metrics;
mod parameters;
pub mod serve;
mod train;

use std::collections::BTreeMap;
use std::path::Path;

use strata_base::predictor::Scorer;

use crate::{Algorithm, Card, Job, TrainError};

pub struct XGBoost;

impl Algorithm for XGBoost {
    fn card(&self) -> &'static Card {
        &card::CARD
    }

    fn problems(&self, given: &BTreeMap<String, String>) -> Vec<String> {
        parameters::problems(given)
    }

    fn framework(&self) -> Option<&'static str> {
        Some("xgboost")
    }

    fn train(&self, job: &Job) -> Result<(), TrainError> {
        train::train(job)
    }

    fn load(&self, model: &Path) -> Result<Box<dyn Scorer>, String> {
        serve::load(model)
    }
}

#[cfg(test)]
mod tests;
