//! State on disk: metadata, logs and metrics in SQLite; objects in files.

mod database;

pub use database::{Database, DatabaseError};
