//! The records of training jobs: each event and the phase it leads to are written
//! together, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strata_base::Timestamp;
use strata_base::metadata::{ListQuery, Metadata, MetadataError, Record};

use super::history::{Transition, transitions};
use super::metrics::Final;
use super::phase::{Event, Illegal, Phase};
use super::spec::Spec;

pub const KIND: &str = "training-job";

/// A training job as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub name: String,
    pub arn: String,
    pub created: Timestamp,
    pub modified: Timestamp,
    /// CreateTrainingJob as the caller said it.
    pub document: Value,
    pub state: State,
    version: u64,
}

/// What the cloud knows beside the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Tells jobs of one name apart that lived one after the other; names the work folder.
    pub id: String,
    pub spec: Spec,
    pub phase: Phase,
    /// When the present attempt began to download.
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Log stream of the present attempt.
    pub stream: Option<String>,
    /// URI of `model.tar.gz`, once it is there.
    pub model: Option<String>,
    pub metrics: BTreeMap<String, Final>,
}

/// Why an event was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Illegal(#[from] Illegal),
    #[error("training job {0:?} does not exist")]
    Missing(String),
    #[error(transparent)]
    Store(MetadataError),
}

pub struct Jobs {
    metadata: Arc<dyn Metadata>,
}

impl Jobs {
    pub fn new(metadata: Arc<dyn Metadata>) -> Self {
        Self { metadata }
    }

    pub async fn create(
        &self,
        name: &str,
        arn: String,
        document: Value,
        state: &State,
    ) -> Result<(), MetadataError> {
        let record = Record::new(KIND, name, arn, state.phase.status(), document, json!(state));
        self.metadata.create(&record, Some(&json!(Event::Created))).await
    }

    pub async fn get(&self, name: &str) -> Result<Option<Job>, MetadataError> {
        self.metadata.get(KIND, name).await?.map(job).transpose()
    }

    /// Records what happened. `edit` sets what the event brings along, beside the phase.
    pub async fn apply(
        &self,
        name: &str,
        event: &Event,
        edit: impl Fn(&mut State) + Send + Sync,
    ) -> Result<Job, ApplyError> {
        loop {
            let mut job = self
                .get(name)
                .await
                .map_err(ApplyError::Store)?
                .ok_or_else(|| ApplyError::Missing(name.into()))?;
            job.state.phase = job.state.phase.next(event)?;
            let now = Timestamp::now();
            match event {
                Event::Downloading => job.state.started = Some(now),
                Event::Restarted => job.state.started = None,
                _ => {}
            }
            if job.state.phase.is_over() {
                job.state.ended = Some(now);
            }
            edit(&mut job.state);
            job.modified = now;
            match self.metadata.update(&record(&job), Some(&json!(event))).await {
                Ok(version) => return Ok(Job { version, ..job }),
                // Somebody else was first, e.g. StopTrainingJob: decide anew.
                Err(MetadataError::Stale { .. }) => {}
                Err(MetadataError::Missing { name, .. }) => return Err(ApplyError::Missing(name)),
                Err(cause) => return Err(ApplyError::Store(cause)),
            }
        }
    }

    pub async fn delete(&self, job: &Job) -> Result<(), MetadataError> {
        self.metadata.delete(KIND, &job.name, Some(job.version)).await
    }

    pub async fn history(&self, name: &str) -> Result<Vec<Transition>, MetadataError> {
        Ok(transitions(&self.metadata.events(KIND, name).await?))
    }

    /// A page of jobs and the cursor to the next.
    pub async fn list(&self, query: ListQuery) -> Result<(Vec<Job>, Option<String>), MetadataError> {
        let page = self.metadata.list(&ListQuery { kind: KIND.into(), ..query }).await?;
        let jobs = page.records.into_iter().map(job).collect::<Result<_, _>>()?;
        Ok((jobs, page.next))
    }

    /// Jobs that are not over, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<Job>, MetadataError> {
        let mut found = Vec::new();
        for status in ["InProgress", "Stopping"] {
            let query = ListQuery { phase: Some(status.into()), ..ListQuery::default() };
            found.extend(self.list(query).await?.0);
        }
        found.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(found)
    }
}

impl Job {
    /// Seconds that the present or last attempt has taken; AWS counts each one begun.
    pub fn seconds(&self) -> Option<u64> {
        let (started, ended) = (self.state.started?, self.state.ended?);
        Some((((ended.0 - started.0).max(0) as u64).div_ceil(1000)).max(1))
    }
}

fn job(record: Record) -> Result<Job, MetadataError> {
    let state = serde_json::from_value(record.state).map_err(|cause| {
        MetadataError::Store(format!("record of training job {:?} cannot be read: {cause}", record.name))
    })?;
    Ok(Job {
        name: record.name,
        arn: record.arn,
        created: record.created,
        modified: record.modified,
        document: record.document,
        state,
        version: record.version,
    })
}

fn record(job: &Job) -> Record {
    Record {
        kind: KIND.into(),
        name: job.name.clone(),
        arn: job.arn.clone(),
        phase: job.state.phase.status().into(),
        created: job.created,
        modified: job.modified,
        version: job.version,
        document: job.document.clone(),
        state: json!(job.state),
    }
}
