//! The `Logs` port: groups of streams of log lines, as CloudWatch Logs means them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Log groups that the cloud itself writes.
pub const TRAINING_JOBS: &str = "/aws/sagemaker/TrainingJobs";
/// Prefix of the group of one endpoint.
pub const ENDPOINTS: &str = "/aws/sagemaker/Endpoints";

/// What a line weighs beside its message, as CloudWatch Logs counts.
pub const LINE_OVERHEAD: usize = 26;
/// One read gives at most about this much, so that a reader's memory is bounded.
pub const READ_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: Timestamp,
    pub message: String,
}

/// A line as stored: with its place in the stream and when it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLine {
    pub stream: String,
    /// Ascending in order of arrival over the whole group.
    pub sequence: i64,
    pub at: Timestamp,
    pub ingested: Timestamp,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GroupInfo {
    pub name: String,
    pub created: Timestamp,
    pub bytes: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    pub name: String,
    pub created: Timestamp,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    pub ingested: Option<Timestamp>,
}

#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("log group {0:?} does not exist")]
    NoGroup(String),
    #[error("log stream {0:?} does not exist")]
    NoStream(String),
    #[error("{0:?} exists already")]
    Exists(String),
    #[error("log store: {0}")]
    Store(String),
}

/// Which lines to read, ordered by time, then arrival.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    pub group: String,
    /// Exact names; all streams of the group when empty.
    pub streams: Vec<String>,
    pub stream_prefix: Option<String>,
    /// Inclusive.
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub to: Option<Timestamp>,
    /// Only lines behind this (time, sequence), or before it when `backward`.
    pub cursor: Option<(i64, i64)>,
    /// Reads from the end; the answer is ascending all the same.
    pub backward: bool,
    pub limit: usize,
}

#[async_trait]
pub trait Logs: Send + Sync + 'static {
    async fn create_group(&self, group: &str) -> Result<(), LogsError>;
    async fn delete_group(&self, group: &str) -> Result<(), LogsError>;
    /// Groups in order of name, behind `after`.
    async fn groups(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<GroupInfo>, LogsError>;

    async fn create_stream(&self, group: &str, stream: &str) -> Result<(), LogsError>;
    async fn delete_stream(&self, group: &str, stream: &str) -> Result<(), LogsError>;
    /// All streams of a group whose name starts with `prefix`, in order of name.
    async fn streams(&self, group: &str, prefix: &str) -> Result<Vec<StreamInfo>, LogsError>;

    /// Appends lines in one transaction; makes group and stream where they are missing.
    async fn append(&self, group: &str, stream: &str, lines: &[LogLine]) -> Result<(), LogsError>;

    /// May give fewer lines than the limit once they weigh [`READ_BYTES`]: only an empty
    /// answer means that nothing is left. A group or an exactly named stream must exist.
    async fn read(&self, query: &LogQuery) -> Result<Vec<StoredLine>, LogsError>;
}
