//! Ports in memory and a scripted `Compute`, for the tests of training.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use strata_algorithms::card::{ChannelCard, Hyperparameter, Kind, Metric};
use strata_algorithms::{Algorithm, Card, TrainError};
use strata_base::Timestamp;
use strata_base::compute::{Compute, ComputeError, Exit, Process, Program, Signal};
use strata_base::logs::{GroupInfo, LogLine, LogQuery, Logs, LogsError, StoredLine, StreamInfo};
use strata_base::memory::MemoryMetadata;
use strata_base::metadata::{Event, ListQuery, Metadata, MetadataError, Page, Record};
use strata_base::metrics::{Datum, Metrics, MetricsError, Series};
use strata_base::objects::{
    Attributes, BucketInfo, ByteStream, Expected, ListObjects, Listing, ObjectError, ObjectInfo, Objects,
    Precondition,
};
use strata_base::predictor::Scorer;
use tokio::sync::watch;

use super::spec::{Channel, Compression, Distribution, Source, Spec};

/// Rounds, one channel, one metric.
pub struct Counter;

static CARD: Card = Card {
    name: "counter",
    images: &[],
    summary: "Counts.",
    hyperparameters: &[Hyperparameter {
        name: "rounds",
        required: true,
        default: None,
        kind: Kind::Integer { min: 1, max: 100 },
        help: "How often.",
    }],
    channels: &[
        ChannelCard { name: "train", required: true, content_types: &["text/csv"] },
        ChannelCard { name: "validation", required: false, content_types: &["text/csv"] },
    ],
    metrics: &[Metric { name: "train:loss", maximize: false, regex: "loss=([0-9.]+)" }],
};

impl Algorithm for Counter {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn train(&self, _: &strata_algorithms::Job) -> Result<(), TrainError> {
        Err(TrainError::Internal("a fake does not train".into()))
    }

    fn load(&self, _: &Path) -> Result<Box<dyn Scorer>, String> {
        Err("a fake does not score".into())
    }
}

/// A job that trains on `s3://b/t/`.
pub fn spec(name: &str) -> Spec {
    Spec {
        name: name.to_string().try_into().expect("a name"),
        image: "host/counter:1".into(),
        hyperparameters: BTreeMap::from([("rounds".into(), "3".into())]),
        channels: vec![Channel {
            name: "train".to_string().try_into().expect("a name"),
            source: Source::Prefix("s3://b/t/".to_string().try_into().expect("an S3 URI")),
            content_type: "text/csv".into(),
            compression: Compression::None,
            distribution: Distribution::FullyReplicated,
        }],
        output: "s3://b/out".to_string().try_into().expect("an S3 URI"),
        instance_type: "ml.m5.large".into(),
        max_runtime_seconds: 3600,
        environment: BTreeMap::from([("GREETING".into(), "hello".into())]),
        metrics: Vec::new(),
    }
}

/// `Metadata` in memory that tells when something changed, and fails on demand.
pub struct WatchedMetadata {
    inner: MemoryMetadata,
    pub changes: watch::Sender<u64>,
    /// Updates still to fail.
    pub failures: Mutex<u32>,
}

impl Default for WatchedMetadata {
    fn default() -> Self {
        Self { inner: MemoryMetadata::default(), changes: watch::channel(0).0, failures: Mutex::new(0) }
    }
}

#[async_trait]
impl Metadata for WatchedMetadata {
    async fn create(&self, record: &Record, event: Option<&Value>) -> Result<(), MetadataError> {
        let done = self.inner.create(record, event).await;
        self.changes.send_modify(|count| *count += 1);
        done
    }

    async fn get(&self, kind: &str, name: &str) -> Result<Option<Record>, MetadataError> {
        self.inner.get(kind, name).await
    }

    async fn update(&self, record: &Record, event: Option<&Value>) -> Result<u64, MetadataError> {
        {
            let mut failures = locked(&self.failures);
            if *failures > 0 {
                *failures -= 1;
                return Err(MetadataError::Store("disk full".into()));
            }
        }
        let done = self.inner.update(record, event).await;
        self.changes.send_modify(|count| *count += 1);
        done
    }

    async fn delete(&self, kind: &str, name: &str, version: Option<u64>) -> Result<(), MetadataError> {
        self.inner.delete(kind, name, version).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, MetadataError> {
        self.inner.list(query).await
    }

    async fn events(&self, kind: &str, name: &str) -> Result<Vec<Event>, MetadataError> {
        self.inner.events(kind, name).await
    }
}

/// Buckets in memory. With a folder, objects are files too, as the disk store has them.
#[derive(Default)]
pub struct MemoryObjects {
    buckets: Mutex<BTreeMap<String, BTreeMap<String, Bytes>>>,
    files: Option<PathBuf>,
}

impl MemoryObjects {
    pub fn with(bucket: &str, objects: &[(&str, &str)]) -> Self {
        let content = objects
            .iter()
            .map(|(key, text)| (key.to_string(), Bytes::copy_from_slice(text.as_bytes())))
            .collect();
        Self { buckets: Mutex::new(BTreeMap::from([(bucket.to_string(), content)])), files: None }
    }

    pub fn on_disk(self, folder: &Path) -> Self {
        Self { files: Some(folder.into()), ..self }
    }

    pub fn content(&self, bucket: &str, key: &str) -> Option<Bytes> {
        locked(&self.buckets).get(bucket)?.get(key).cloned()
    }

    pub fn remove_bucket(&self, bucket: &str) {
        locked(&self.buckets).remove(bucket);
    }

    fn find(&self, bucket: &str, key: &str) -> Result<Bytes, ObjectError> {
        let buckets = locked(&self.buckets);
        let objects = buckets.get(bucket).ok_or_else(|| ObjectError::NoBucket(bucket.into()))?;
        let missing = || ObjectError::NoObject { bucket: bucket.into(), key: key.into() };
        objects.get(key).cloned().ok_or_else(missing)
    }
}

fn info(key: &str, content: &Bytes) -> ObjectInfo {
    ObjectInfo {
        key: key.into(),
        size: content.len() as u64,
        etag: String::new(),
        modified: Timestamp(0),
        checksums: BTreeMap::new(),
        checksum_type: None,
        attributes: Attributes::default(),
        parts: Vec::new(),
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn create_bucket(&self, bucket: &str) -> Result<(), ObjectError> {
        locked(&self.buckets).entry(bucket.into()).or_default();
        Ok(())
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<(), ObjectError> {
        self.remove_bucket(bucket);
        Ok(())
    }

    async fn bucket(&self, bucket: &str) -> Result<BucketInfo, ObjectError> {
        match locked(&self.buckets).contains_key(bucket) {
            true => Ok(BucketInfo { name: bucket.into(), created: Timestamp(0) }),
            false => Err(ObjectError::NoBucket(bucket.into())),
        }
    }

    async fn buckets(&self) -> Result<Vec<BucketInfo>, ObjectError> {
        Ok(Vec::new())
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        body: ByteStream,
        _: Attributes,
        _: Expected,
        _: Precondition,
    ) -> Result<ObjectInfo, ObjectError> {
        self.bucket(bucket).await?;
        let pieces: Vec<Bytes> =
            body.try_collect().await.map_err(|cause| ObjectError::Body(cause.to_string()))?;
        let content = Bytes::from(pieces.concat());
        let stored = info(key, &content);
        locked(&self.buckets).entry(bucket.into()).or_default().insert(key.into(), content);
        Ok(stored)
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectInfo, ObjectError> {
        Ok(info(key, &self.find(bucket, key)?))
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        _: Option<(u64, u64)>,
    ) -> Result<(ObjectInfo, ByteStream), ObjectError> {
        let content = self.find(bucket, key)?;
        Ok((info(key, &content), futures::stream::iter([Ok(content)]).boxed()))
    }

    async fn file(&self, bucket: &str, key: &str) -> Result<Option<(ObjectInfo, PathBuf)>, ObjectError> {
        let content = self.find(bucket, key)?;
        let Some(folder) = &self.files else { return Ok(None) };
        let path = folder.join(hex::encode(key));
        std::fs::write(&path, &content).map_err(|cause| ObjectError::Store(cause.to_string()))?;
        Ok(Some((info(key, &content), path)))
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError> {
        locked(&self.buckets).entry(bucket.into()).or_default().remove(key);
        Ok(())
    }

    async fn list(&self, query: &ListObjects) -> Result<Listing, ObjectError> {
        let buckets = locked(&self.buckets);
        let objects =
            buckets.get(&query.bucket).ok_or_else(|| ObjectError::NoBucket(query.bucket.clone()))?;
        let after = query.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut found: Vec<ObjectInfo> = objects
            .range::<String, _>((after, Bound::Unbounded))
            .filter(|(key, _)| key.starts_with(&query.prefix))
            .take(query.limit + 1)
            .map(|(key, content)| info(key, content))
            .collect();
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more).map(|last| last.key.clone());
        Ok(Listing { objects: found, prefixes: Vec::new(), next })
    }

    async fn set_tags(&self, _: &str, _: &str, _: BTreeMap<String, String>) -> Result<(), ObjectError> {
        Ok(())
    }
}

/// Keeps lines by stream, whatever the group, and counts the batches.
#[derive(Default)]
pub struct MemoryLogs {
    streams: Mutex<BTreeMap<String, Vec<String>>>,
    /// How often lines were appended.
    pub batches: watch::Sender<usize>,
}

impl MemoryLogs {
    /// All lines of a job, over its attempts.
    pub fn of(&self, job: &str) -> Vec<String> {
        let streams = locked(&self.streams);
        let prefix = format!("/aws/sagemaker/TrainingJobs {job}/algo-1-");
        streams
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .flat_map(|(_, lines)| lines.clone())
            .collect()
    }
}

#[async_trait]
impl Logs for MemoryLogs {
    async fn create_group(&self, _: &str) -> Result<(), LogsError> {
        Ok(())
    }

    async fn delete_group(&self, _: &str) -> Result<(), LogsError> {
        Ok(())
    }

    async fn groups(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<GroupInfo>, LogsError> {
        Ok(Vec::new())
    }

    async fn create_stream(&self, _: &str, _: &str) -> Result<(), LogsError> {
        Ok(())
    }

    async fn delete_stream(&self, _: &str, _: &str) -> Result<(), LogsError> {
        Ok(())
    }

    async fn streams(&self, _: &str, _: &str) -> Result<Vec<StreamInfo>, LogsError> {
        Ok(Vec::new())
    }

    async fn append(&self, group: &str, stream: &str, lines: &[LogLine]) -> Result<(), LogsError> {
        let mut streams = locked(&self.streams);
        let stored = streams.entry(format!("{group} {stream}")).or_default();
        stored.extend(lines.iter().map(|line| line.message.clone()));
        drop(streams);
        self.batches.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn read(&self, _: &LogQuery) -> Result<Vec<StoredLine>, LogsError> {
        Ok(Vec::new())
    }
}

#[derive(Default)]
pub struct MemoryMetrics(pub Mutex<Vec<Datum>>);

#[async_trait]
impl Metrics for MemoryMetrics {
    async fn put(&self, data: &[Datum]) -> Result<(), MetricsError> {
        locked(&self.0).extend_from_slice(data);
        Ok(())
    }

    async fn read(&self, _: &Series, _: Timestamp, _: Timestamp) -> Result<Vec<Datum>, MetricsError> {
        Ok(Vec::new())
    }

    async fn series(
        &self,
        _: Option<&str>,
        _: Option<&str>,
        _: &[(String, Option<String>)],
    ) -> Result<Vec<Series>, MetricsError> {
        Ok(Vec::new())
    }
}

/// What a program does: prints, writes files below its folder, and ends.
#[derive(Clone)]
pub struct Script {
    pub lines: Vec<&'static str>,
    pub files: Vec<(&'static str, &'static str)>,
    pub ends: Ends,
}

#[derive(Clone)]
pub enum Ends {
    With(Exit),
    /// When it is asked to.
    Asked(Exit),
    /// Only when it is killed.
    Killed,
}

/// Runs scripts, by name of the job, instead of programs; the rest end at once.
#[derive(Default)]
pub struct ScriptedCompute {
    pub scripts: Mutex<HashMap<String, Script>>,
    pub launched: Mutex<Vec<Program>>,
    pub signals: Arc<Mutex<Vec<Signal>>>,
}

impl ScriptedCompute {
    pub fn with(self, job: &str, script: Script) -> Self {
        locked(&self.scripts).insert(job.into(), script);
        self
    }
}

#[async_trait]
impl Compute for ScriptedCompute {
    async fn launch(&self, program: &Program) -> Result<Box<dyn Process>, ComputeError> {
        locked(&self.launched).push(program.clone());
        let script = locked(&self.scripts).get(&program.name).cloned();
        let script =
            script.unwrap_or(Script { lines: vec![], files: vec![], ends: Ends::With(Exit::Code(0)) });
        for (name, content) in &script.files {
            std::fs::write(program.folder.join(name), content).expect("the folder is prepared");
        }
        let lines = script.lines.into_iter();
        let (sender, signalled) = watch::channel(None);
        Ok(Box::new(ScriptedProcess {
            lines,
            ends: script.ends,
            sender: Arc::new(sender),
            signalled,
            signals: self.signals.clone(),
        }))
    }
}

struct ScriptedProcess {
    lines: std::vec::IntoIter<&'static str>,
    ends: Ends,
    sender: Arc<watch::Sender<Option<Signal>>>,
    signalled: watch::Receiver<Option<Signal>>,
    signals: Arc<Mutex<Vec<Signal>>>,
}

#[async_trait]
impl Process for ScriptedProcess {
    async fn line(&mut self) -> Option<String> {
        self.lines.next().map(String::from)
    }

    async fn wait(&mut self) -> Result<Exit, ComputeError> {
        let killed = |signal: &Option<Signal>| *signal == Some(Signal::Kill);
        match &self.ends {
            Ends::With(exit) => Ok(exit.clone()),
            Ends::Asked(exit) => {
                let signal = self.signalled.wait_for(Option::is_some).await.expect("a sender");
                Ok(if killed(&signal) { Exit::Signal(9) } else { exit.clone() })
            }
            Ends::Killed => {
                self.signalled.wait_for(killed).await.expect("a sender");
                Ok(Exit::Signal(9))
            }
        }
    }

    fn signaller(&self) -> Box<dyn Fn(Signal) + Send + Sync> {
        let (sender, signals) = (self.sender.clone(), self.signals.clone());
        Box::new(move |signal| {
            locked(&signals).push(signal);
            sender.send_replace(Some(signal));
        })
    }
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panicked here")
}
