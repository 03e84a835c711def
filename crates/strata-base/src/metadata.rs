//! The `Metadata` port: resources with their phase, and the event log that is
//! the truth about how they got there.
//!
//! A record is identified by kind and name. Every change carries the version
//! it was read at (compare and set) and may carry an event; record and event
//! are written in one transaction or not at all. An acknowledged change
//! survives `kill -9` and power loss.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// One resource: a training job, a model, an endpoint, ...
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Sort of resource, e.g. `training-job`; a lower-case constant of its owner.
    pub kind: String,
    /// Unique within the kind, compared exactly.
    pub name: String,
    pub arn: String,
    /// The status word that lists filter on, e.g. `InProgress`.
    pub phase: String,
    pub created: Timestamp,
    pub modified: Timestamp,
    /// Counts changes; 1 after creation. Owned by the store.
    pub version: u64,
    /// What the caller said, whole; Describe echoes it.
    pub document: Value,
    /// What the cloud knows beside it; typed by the owner of the kind.
    pub state: Value,
}

/// An entry of the event log of one resource, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at: Timestamp,
    pub what: Value,
}

#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("{kind} {name:?} exists already")]
    Exists { kind: String, name: String },
    #[error("{kind} {name:?} does not exist")]
    Missing { kind: String, name: String },
    /// Somebody else changed the record first: read it again and decide anew.
    #[error("{kind} {name:?} was changed meanwhile")]
    Stale { kind: String, name: String },
    #[error("list cursor {0:?} is not one of ours")]
    Cursor(String),
    #[error("metadata store: {0}")]
    Store(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortBy {
    Name,
    #[default]
    Created,
    Modified,
    Phase,
}

/// Which records of a kind to list. Bounds on times are exclusive, as AWS's are.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    pub kind: String,
    /// Substring of the name, compared exactly.
    pub name_contains: Option<String>,
    pub phase: Option<String>,
    pub created_after: Option<Timestamp>,
    pub created_before: Option<Timestamp>,
    pub modified_after: Option<Timestamp>,
    pub modified_before: Option<Timestamp>,
    pub sort_by: SortBy,
    pub descending: bool,
    /// Most records in one page; 0 means all.
    pub limit: usize,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Page {
    pub records: Vec<Record>,
    /// Present exactly when more records follow.
    pub next: Option<String>,
}

/// A place in a sorted list: the next page begins behind this record, whatever was
/// created or deleted meanwhile. As text it is opaque to callers, and good only for a list
/// in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    pub kind: String,
    pub sort_by: SortBy,
    pub descending: bool,
    pub key: SortKey,
    /// Names are unique, so they settle ties.
    pub name: String,
}

/// What a record is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SortKey {
    At(i64),
    Text(String),
}

impl SortBy {
    pub fn key(self, record: &Record) -> SortKey {
        match self {
            Self::Name => SortKey::Text(record.name.clone()),
            Self::Created => SortKey::At(record.created.0),
            Self::Modified => SortKey::At(record.modified.0),
            Self::Phase => SortKey::Text(record.phase.clone()),
        }
    }
}

impl Cursor {
    /// The place right behind `record` in this list.
    pub fn behind(query: &ListQuery, record: &Record) -> Self {
        Self {
            kind: query.kind.clone(),
            sort_by: query.sort_by,
            descending: query.descending,
            key: query.sort_by.key(record),
            name: record.name.clone(),
        }
    }

    /// The cursor of this query, if it has one.
    pub fn of(query: &ListQuery) -> Result<Option<Self>, MetadataError> {
        let Some(text) = &query.cursor else { return Ok(None) };
        let wrong = || MetadataError::Cursor(text.clone());
        let cursor: Self =
            unhex(text).and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(wrong)?;
        let timed = matches!(cursor.key, SortKey::At(_));
        let same = cursor.kind == query.kind
            && cursor.sort_by == query.sort_by
            && cursor.descending == query.descending
            && timed == matches!(cursor.sort_by, SortBy::Created | SortBy::Modified);
        if same { Ok(Some(cursor)) } else { Err(wrong()) }
    }

    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        json.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?) as u8)).collect()
}

#[async_trait]
pub trait Metadata: Send + Sync + 'static {
    /// Records a new resource, with its first event. `version` is set to 1.
    async fn create(&self, record: &Record, event: Option<&Value>) -> Result<(), MetadataError>;

    async fn get(&self, kind: &str, name: &str) -> Result<Option<Record>, MetadataError>;

    /// Replaces phase, document, state, arn and `modified` if the stored version is still
    /// `record.version`, and appends the event. Returns the new version.
    async fn update(&self, record: &Record, event: Option<&Value>) -> Result<u64, MetadataError>;

    /// Removes the record and its events; only at `version` where one is given.
    async fn delete(&self, kind: &str, name: &str, version: Option<u64>) -> Result<(), MetadataError>;

    async fn list(&self, query: &ListQuery) -> Result<Page, MetadataError>;

    async fn events(&self, kind: &str, name: &str) -> Result<Vec<Event>, MetadataError>;
}

impl Record {
    /// A record as it is before it was stored.
    pub fn new(kind: &str, name: &str, arn: String, phase: &str, document: Value, state: Value) -> Self {
        let now = Timestamp::now();
        Self {
            kind: kind.into(),
            name: name.into(),
            arn,
            phase: phase.into(),
            created: now,
            modified: now,
            version: 0,
            document,
            state,
        }
    }
}
