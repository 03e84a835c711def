//! Training jobs: a program, its data and its hyperparameters become a model.
//!
//! `create` checks and records; one task a job does the work ([`runner`]), asking the
//! record what comes next. So a job goes on after a restart by the same path that began it.

#[cfg(test)]
mod fakes;
mod history;
mod inputs;
mod jobs;
mod journal;
mod metrics;
mod package;
mod phase;
mod reason;
mod runner;
mod slots;
pub mod spec;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use strata_algorithms::{ALGORITHMS, Algorithm};
use strata_base::metadata::{ListQuery, MetadataError};
use strata_base::objects::{ListObjects, ObjectError};
use strata_base::request_id;

pub use history::Transition;
pub use jobs::{Job, State};
pub use metrics::Final;
pub use phase::{Event, Illegal, Phase, Why};
pub use spec::Spec;

use self::jobs::{ApplyError, Jobs, KIND};
use self::runner::Runner;
use self::spec::{MetricDefinition, S3Place, Source};
use crate::Ports;
use crate::images::ImageUri;
use crate::tags::{TagError, Tags};

/// Finds the built-in algorithm that an image means.
pub type Resolver = Arc<dyn Fn(&str) -> Option<&'static dyn Algorithm> + Send + Sync>;

/// How jobs run on this cloud.
#[derive(Clone)]
pub struct Options {
    /// Most jobs that run at once; the rest wait.
    pub parallel: usize,
    /// Threads that running jobs share; each gets at least one.
    pub threads: usize,
    /// Most memory a process of a job may take, where the place can enforce it.
    pub memory: Option<u64>,
    /// From SIGTERM to SIGKILL when a job is stopped.
    pub grace: Duration,
    /// The same when the cloud goes down; the job begins again after.
    pub shutdown_grace: Duration,
    /// Most jobs that are not over.
    pub most_unfinished: usize,
    /// Variables that every program gets beside the job's own, e.g. where framework packages
    /// are: nothing else is inherited from the cloud.
    pub environment: Vec<(String, String)>,
    pub resolver: Resolver,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            parallel: cores,
            threads: cores,
            memory: strata_compute::machine_memory(),
            grace: Duration::from_secs(120),
            shutdown_grace: Duration::from_secs(3),
            most_unfinished: 10_000,
            environment: Vec::new(),
            resolver: Arc::new(|image| ImageUri::parse(image).algorithm()),
        }
    }
}

pub struct Training {
    ports: Arc<Ports>,
    tags: Tags,
    options: Options,
    jobs: Arc<Jobs>,
    runner: Arc<Runner>,
}

/// Why a request about training jobs is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error(
        "Training job names must be unique within an AWS account and region, and a training job with this name already exists ({0})"
    )]
    Exists(String),
    #[error("Requested resource not found.")]
    Missing,
    /// The request asks for what cannot be.
    #[error("{0}")]
    Invalid(String),
    #[error("The request was rejected because the training job is in status {0}.")]
    Over(&'static str),
    #[error(
        "The training job is in status {0}. Stop it, and delete it when it is Stopped, Failed or Completed."
    )]
    NotOver(&'static str),
    #[error("{0} training jobs wait or run already, the limit of this cloud; try again when some are over")]
    TooMany(usize),
    #[error("NextToken {0:?} is not one that this operation returned")]
    Token(String),
    #[error("{0}")]
    Store(String),
}

impl From<MetadataError> for TrainingError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::Cursor(token) => Self::Token(token),
            MetadataError::Missing { .. } => Self::Missing,
            error => Self::Store(error.to_string()),
        }
    }
}

impl From<TagError> for TrainingError {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Store(cause) => cause.into(),
            error => Self::Invalid(error.to_string()),
        }
    }
}

impl Training {
    pub fn new(ports: Arc<Ports>) -> Self {
        Self::with(ports, Options::default())
    }

    pub fn with(ports: Arc<Ports>, options: Options) -> Self {
        let jobs = Arc::new(Jobs::new(ports.metadata.clone()));
        let runner = Arc::new(Runner::new(ports.clone(), options.clone(), jobs.clone()));
        Self { tags: Tags::new(ports.clone()), ports, options, jobs, runner }
    }

    /// Records a new job and wakes its runner; returns its ARN. `document` is the whole
    /// request, tags and all, and comes back from [`describe`](Self::describe).
    pub async fn create(
        &self,
        spec: Spec,
        tags: &[(String, String)],
        document: Value,
    ) -> Result<String, TrainingError> {
        Tags::check(tags)?;
        let name = spec.name.to_string();
        let arn = self.ports.cloud.sagemaker_arn(KIND, &name);
        if self.jobs.get(&name).await?.is_some() {
            return Err(TrainingError::Exists(arn));
        }
        let algorithm = self.algorithm(&spec.image)?;
        if let Some(problem) = spec.problem(algorithm) {
            return Err(TrainingError::Invalid(problem));
        }
        self.check_places(&spec, &document).await?;
        if self.runner.unfinished() >= self.options.most_unfinished {
            return Err(TrainingError::TooMany(self.options.most_unfinished));
        }
        let state = State {
            id: request_id(),
            spec,
            phase: Phase::Starting,
            started: None,
            ended: None,
            stream: None,
            model: None,
            metrics: Default::default(),
        };
        match self.jobs.create(&name, arn.clone(), document, &state).await {
            Ok(()) => {}
            Err(MetadataError::Exists { .. }) => return Err(TrainingError::Exists(arn)),
            Err(cause) => return Err(cause.into()),
        }
        self.runner.start(&name);
        self.tags.put(&arn, tags).await?;
        Ok(arn)
    }

    pub async fn describe(&self, name: &str) -> Result<(Job, Vec<Transition>), TrainingError> {
        // The history may be a step ahead of the job; it must not be a step behind.
        let job = self.jobs.get(name).await?.ok_or(TrainingError::Missing)?;
        let history = self.jobs.history(name).await?;
        Ok((job, history))
    }

    /// A page of jobs, and the token of the next page. The kind of the query is ours.
    pub async fn list(&self, query: ListQuery) -> Result<(Vec<Job>, Option<String>), TrainingError> {
        Ok(self.jobs.list(query).await?)
    }

    /// Asks a job to end; what it has saved is kept.
    pub async fn stop(&self, name: &str) -> Result<(), TrainingError> {
        match self.jobs.apply(name, &Event::StopAsked, |_| {}).await {
            Ok(_) => {
                self.runner.stop(name);
                Ok(())
            }
            Err(ApplyError::Illegal(Illegal { phase, .. })) => Err(TrainingError::Over(phase.status())),
            Err(ApplyError::Missing(_)) => Err(TrainingError::Missing),
            Err(ApplyError::Store(cause)) => Err(cause.into()),
        }
    }

    /// Forgets a job that is over; its artefacts stay in the object store.
    pub async fn delete(&self, name: &str) -> Result<(), TrainingError> {
        let job = self.jobs.get(name).await?.ok_or(TrainingError::Missing)?;
        if !job.state.phase.is_over() {
            return Err(TrainingError::NotOver(job.state.phase.status()));
        }
        self.jobs.delete(&job).await?;
        Ok(self.tags.remove(&job.arn).await?)
    }

    /// The metric definitions in force for a job: the caller's and the algorithm's own.
    pub fn metric_definitions(&self, job: &Job) -> Vec<MetricDefinition> {
        match (self.options.resolver)(&job.state.spec.image) {
            Some(algorithm) => metrics::definitions(&job.state.spec, algorithm.card()),
            None => job.state.spec.metrics.clone(),
        }
    }

    /// Goes on with every job that is not over. To be called once, at start.
    pub async fn resume(&self) -> Result<(), TrainingError> {
        Ok(self.runner.resume().await?)
    }

    /// Ends running programs and waits for that. Their jobs go on after the next start.
    pub async fn shutdown(&self) {
        self.runner.shutdown().await;
    }

    /// Waits until no job is being worked on.
    pub async fn idle(&self) {
        self.runner.idle().await;
    }

    fn algorithm(&self, image: &str) -> Result<&'static dyn Algorithm, TrainingError> {
        (self.options.resolver)(image).ok_or_else(|| {
            let known: Vec<&str> = ALGORITHMS.iter().map(|algorithm| algorithm.card().name).collect();
            TrainingError::Invalid(format!(
                "TrainingImage {image:?} cannot be run by this cloud yet: its repository {:?} names no built-in algorithm. \
                 Possible are {}, under any registry host and tag; framework images and other containers are not run",
                ImageUri::parse(image).repository,
                known.join(", ")
            ))
        })
    }

    /// Whether there is data to train on and a bucket for the model: better said now than
    /// after the training.
    async fn check_places(&self, spec: &Spec, document: &Value) -> Result<(), TrainingError> {
        for channel in &spec.channels {
            let place = channel.source.place();
            if !self.holds_data(&channel.source).await? {
                return Err(TrainingError::Invalid(no_objects(
                    place,
                    &self.ports.cloud.region,
                    document["RoleArn"].as_str().unwrap_or_default(),
                )));
            }
        }
        match self.ports.objects.bucket(&spec.output.bucket).await {
            Ok(_) => Ok(()),
            Err(ObjectError::NoBucket(bucket) | ObjectError::InvalidName(bucket)) => {
                Err(TrainingError::Invalid(format!(
                    "S3OutputPath {:?}: bucket {bucket:?} does not exist; create it first",
                    spec.output.to_string()
                )))
            }
            Err(cause) => Err(TrainingError::Store(cause.to_string())),
        }
    }

    async fn holds_data(&self, source: &Source) -> Result<bool, TrainingError> {
        let found = match source {
            Source::Prefix(place) => {
                let query = ListObjects {
                    bucket: place.bucket.clone(),
                    prefix: place.key.clone(),
                    limit: 1,
                    ..ListObjects::default()
                };
                self.ports.objects.list(&query).await.map(|page| !page.objects.is_empty())
            }
            Source::Manifest(place) => self.ports.objects.head(&place.bucket, &place.key).await.map(|_| true),
        };
        match found {
            Ok(found) => Ok(found),
            Err(ObjectError::NoBucket(_) | ObjectError::NoObject { .. } | ObjectError::InvalidName(_)) => {
                Ok(false)
            }
            Err(cause) => Err(TrainingError::Store(cause.to_string())),
        }
    }
}

/// AWS's sentence.
fn no_objects(place: &S3Place, region: &str, role: &str) -> String {
    format!(
        "No S3 objects found under S3 URL \"{place}\" given in input data source. Please ensure that the bucket exists \
         in the selected region ({region}), that objects exist under that S3 prefix, and that the role \"{role}\" has \
         \"s3:ListBucket\" permissions on bucket \"{}\".",
        place.bucket
    )
}

#[cfg(test)]
mod tests;
