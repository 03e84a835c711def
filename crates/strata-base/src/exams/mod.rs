//! The exams of the ports: what every implementer must do, one async function a
//! port, which panics at the first broken promise. Run each on a fresh, empty
//! implementer.

pub mod logs;
mod metadata;
pub mod metrics;
pub mod objects;

pub use metadata::metadata;
