//! The ground floor: names, ARNs, the clock, and the ports (traits) through
//! which the layers above reach storage, logs, metrics and loaded models.
//!
//! Nothing here does input or output; each port is implemented in another
//! crate, and each has one exam that every implementer must pass.

mod clock;
mod cloud;
pub mod compute;
#[cfg(any(test, feature = "exams"))]
pub mod doubles;
#[cfg(any(test, feature = "exams"))]
pub mod exams;
pub mod logs;
pub mod memory;
pub mod metadata;
pub mod metrics;
pub mod objects;
pub mod predictor;

pub use clock::Timestamp;
pub use cloud::{Cloud, request_id};
