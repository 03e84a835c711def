//! State on disk: metadata, logs and metrics in SQLite; objects in files.

mod database;
mod logs;
mod metadata;
mod metrics;
mod objects;

pub use database::{Database, DatabaseError};
pub use logs::{GROUP_BYTES, SqliteLogs};
pub use metadata::SqliteMetadata;
pub use metrics::{SERIES_BYTES, SqliteMetrics};
pub use objects::Blobs;
