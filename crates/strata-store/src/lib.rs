//! State on disk: metadata, logs and metrics in SQLite; objects in files.

mod database;
mod metadata;

pub use database::{Database, DatabaseError};
pub use metadata::SqliteMetadata;
