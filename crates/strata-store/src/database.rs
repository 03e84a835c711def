//! The SQLite database: one writer, several readers, WAL, every commit on disk.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr, SqlitePool};

#[derive(Debug, thiserror::Error)]
#[error("database {path}: {cause}")]
pub struct DatabaseError {
    path: String,
    cause: String,
}

/// Pools to `metadata.db`. SQLite has one writer at a time; giving it one connection
/// makes writers queue here, fairly, instead of failing with `SQLITE_BUSY`.
#[derive(Clone)]
pub struct Database {
    pub write: SqlitePool,
    pub read: SqlitePool,
}

impl Database {
    /// Opens or creates `metadata.db` in `folder` and brings its schema up to date.
    pub async fn open(folder: &Path) -> Result<Self, DatabaseError> {
        let path = folder.join("metadata.db");
        let failed = |cause: String| DatabaseError { path: path.display().to_string(), cause };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: an acknowledged commit survives power loss, not only a killed process.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(|cause| failed(cause.to_string()))?;
        migrations().run(&write).await.map_err(|cause| failed(cause.to_string()))?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.read_only(true))
            .await
            .map_err(|cause| failed(cause.to_string()))?;
        Ok(Self { write, read })
    }

    /// Waits for what runs, then closes the file (checkpoints the WAL).
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// The schema's history: one file a subject. A number is never used twice, and a file that
/// was released never changes.
fn migrations() -> Migrator {
    let files = [
        ("metadata", include_str!("../migrations/0001_metadata.sql")),
        ("objects", include_str!("../migrations/0002_objects.sql")),
        ("logs", include_str!("../migrations/0003_logs.sql")),
        ("metrics", include_str!("../migrations/0004_metrics.sql")),
    ];
    let migrations = (1..).zip(files).map(|(number, (subject, sql))| {
        Migration::new(number, subject.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}
