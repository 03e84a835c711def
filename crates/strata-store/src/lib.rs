//! State on disk: metadata, logs and metrics in SQLite; objects in files.

mod database;
mod objects;

pub use database::{Database, DatabaseError};
pub use objects::Blobs;
#[cfg(any(test, feature = "exam"))]
pub use objects::exam::exam as objects_exam;
