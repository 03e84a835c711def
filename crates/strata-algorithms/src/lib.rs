//! The built-in algorithms: one file an algorithm, one line in the list.
//!
//! An algorithm follows the container contract: it reads a prepared `/opt/ml`
//! ([`Job`]), writes its model there, and says what went wrong in words a
//! person can act on. Its [`Card`] is the single source of its names,
//! hyperparameters, channels and metrics.

mod algorithm;
mod answers;
pub mod card;
pub mod linear_learner;
mod list;
mod provenance;
pub mod reader;
mod requests;
mod run;
pub mod xgboost;

pub use algorithm::{Algorithm, Channel, Job, TrainError};
pub use card::Card;
pub use list::{ALGORITHMS, find};
pub use run::run;
