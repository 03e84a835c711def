//! Objects, logs, metrics and compute in memory: for unit tests of the layers above. They
//! keep the promises those tests lean on and no more; multipart and checksums are missing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};

use crate::Timestamp;
use crate::compute::{Compute, ComputeError, Process, Program};
use crate::logs::{GroupInfo, LogLine, LogQuery, Logs, LogsError, StoredLine, StreamInfo};
use crate::metrics::{Datum, Metrics, MetricsError, Series};
use crate::objects::{
    Attributes, BucketInfo, ByteStream, Expected, ListObjects, Listing, ObjectError, ObjectInfo, Objects,
    Precondition,
};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

type Bucket = BTreeMap<String, (ObjectInfo, Bytes)>;

/// Every bucket exists, empty, until something is put there.
#[derive(Default)]
pub struct MemoryObjects {
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

impl MemoryObjects {
    /// Puts bytes without ceremony. The ETag changes with them.
    pub fn insert(&self, bucket: &str, key: &str, body: impl Into<Bytes>) -> ObjectInfo {
        let body = body.into();
        let etag = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let info = ObjectInfo {
            key: key.into(),
            size: body.len() as u64,
            etag: format!("{etag:016x}"),
            modified: Timestamp::now(),
            checksums: BTreeMap::new(),
            checksum_type: None,
            attributes: Attributes::default(),
            parts: Vec::new(),
        };
        let mut buckets = locked(&self.buckets);
        buckets.entry(bucket.into()).or_default().insert(key.into(), (info.clone(), body));
        info
    }

    fn find(&self, bucket: &str, key: &str) -> Result<(ObjectInfo, Bytes), ObjectError> {
        let buckets = locked(&self.buckets);
        let found = buckets.get(bucket).and_then(|objects| objects.get(key)).cloned();
        found.ok_or_else(|| ObjectError::NoObject { bucket: bucket.into(), key: key.into() })
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn create_bucket(&self, bucket: &str) -> Result<(), ObjectError> {
        locked(&self.buckets).entry(bucket.into()).or_default();
        Ok(())
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<(), ObjectError> {
        locked(&self.buckets).remove(bucket);
        Ok(())
    }

    async fn bucket(&self, bucket: &str) -> Result<BucketInfo, ObjectError> {
        Ok(BucketInfo { name: bucket.into(), created: Timestamp(0) })
    }

    async fn buckets(&self) -> Result<Vec<BucketInfo>, ObjectError> {
        let names: Vec<String> = locked(&self.buckets).keys().cloned().collect();
        Ok(names.into_iter().map(|name| BucketInfo { name, created: Timestamp(0) }).collect())
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        body: ByteStream,
        _attributes: Attributes,
        _expected: Expected,
        _precondition: Precondition,
    ) -> Result<ObjectInfo, ObjectError> {
        let whole: BytesMut =
            body.try_collect().await.map_err(|cause| ObjectError::Body(cause.to_string()))?;
        Ok(self.insert(bucket, key, whole.freeze()))
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectInfo, ObjectError> {
        Ok(self.find(bucket, key)?.0)
    }

    async fn get(
        &self,
        bucket: &str,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<(ObjectInfo, ByteStream), ObjectError> {
        let (info, body) = self.find(bucket, key)?;
        let size = body.len() as u64;
        let (from, count) = range.unwrap_or((0, size));
        let from = from.min(size);
        let to = from.saturating_add(count).min(size);
        let part = body.slice(from as usize..to as usize);
        let pieces: Vec<_> = part.chunks(4096).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok((info, stream::iter(pieces).boxed()))
    }

    async fn file(&self, _bucket: &str, _key: &str) -> Result<Option<(ObjectInfo, PathBuf)>, ObjectError> {
        Ok(None)
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<(), ObjectError> {
        if let Some(objects) = locked(&self.buckets).get_mut(bucket) {
            objects.remove(key);
        }
        Ok(())
    }

    async fn list(&self, query: &ListObjects) -> Result<Listing, ObjectError> {
        let buckets = locked(&self.buckets);
        let mut found = buckets
            .get(&query.bucket)
            .into_iter()
            .flat_map(|objects| objects.values())
            .filter(|(info, _)| {
                info.key.starts_with(&query.prefix)
                    && query.after.as_ref().is_none_or(|after| info.key > *after)
            })
            .map(|(info, _)| info.clone());
        let objects: Vec<ObjectInfo> = found.by_ref().take(query.limit).collect();
        let next = found.next().and(objects.last()).map(|last| last.key.clone());
        Ok(Listing { objects, prefixes: Vec::new(), next })
    }

    async fn set_tags(
        &self,
        bucket: &str,
        key: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), ObjectError> {
        self.find(bucket, key)?;
        if let Some((info, _)) =
            locked(&self.buckets).get_mut(bucket).and_then(|objects| objects.get_mut(key))
        {
            info.attributes.tags = tags;
        }
        Ok(())
    }
}

/// Log lines by group and stream, in order of arrival.
#[derive(Default)]
pub struct MemoryLogs {
    lines: Mutex<Vec<(String, StoredLine)>>,
}

#[async_trait]
impl Logs for MemoryLogs {
    async fn create_group(&self, _group: &str) -> Result<(), LogsError> {
        Ok(())
    }

    async fn delete_group(&self, group: &str) -> Result<(), LogsError> {
        locked(&self.lines).retain(|(of, _)| of != group);
        Ok(())
    }

    async fn groups(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<GroupInfo>, LogsError> {
        let mut names: Vec<String> = locked(&self.lines).iter().map(|(group, _)| group.clone()).collect();
        names.retain(|name| name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after));
        names.sort();
        names.dedup();
        names.truncate(limit);
        Ok(names.into_iter().map(|name| GroupInfo { name, created: Timestamp(0), bytes: 0 }).collect())
    }

    async fn create_stream(&self, _group: &str, _stream: &str) -> Result<(), LogsError> {
        Ok(())
    }

    async fn delete_stream(&self, group: &str, stream: &str) -> Result<(), LogsError> {
        locked(&self.lines).retain(|(of, line)| of != group || line.stream != stream);
        Ok(())
    }

    async fn streams(&self, group: &str, prefix: &str) -> Result<Vec<StreamInfo>, LogsError> {
        let lines = locked(&self.lines);
        let mut names: Vec<String> =
            lines.iter().filter(|(of, _)| of == group).map(|(_, line)| line.stream.clone()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names.dedup();
        let info = |name| StreamInfo { name, created: Timestamp(0), first: None, last: None, ingested: None };
        Ok(names.into_iter().map(info).collect())
    }

    async fn append(&self, group: &str, stream: &str, lines: &[LogLine]) -> Result<(), LogsError> {
        let mut stored = locked(&self.lines);
        for line in lines {
            let sequence = stored.len() as i64;
            let line = StoredLine {
                stream: stream.into(),
                sequence,
                at: line.at,
                ingested: Timestamp::now(),
                message: line.message.clone(),
            };
            stored.push((group.into(), line));
        }
        Ok(())
    }

    async fn read(&self, query: &LogQuery) -> Result<Vec<StoredLine>, LogsError> {
        let lines = locked(&self.lines);
        let found = lines.iter().filter(|(group, line)| {
            *group == query.group && (query.streams.is_empty() || query.streams.contains(&line.stream))
        });
        Ok(found.map(|(_, line)| line.clone()).take(query.limit).collect())
    }
}

/// Metric data in order of arrival; `broken` makes the next puts fail.
#[derive(Default)]
pub struct MemoryMetrics {
    pub data: Mutex<Vec<Datum>>,
    pub broken: AtomicBool,
}

#[async_trait]
impl Metrics for MemoryMetrics {
    async fn put(&self, data: &[Datum]) -> Result<(), MetricsError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(MetricsError("told to fail".into()));
        }
        locked(&self.data).extend_from_slice(data);
        Ok(())
    }

    async fn read(
        &self,
        series: &Series,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Datum>, MetricsError> {
        let data = locked(&self.data);
        let found = data.iter().filter(|datum| datum.series == *series && datum.at >= from && datum.at < to);
        Ok(found.cloned().collect())
    }

    async fn series(
        &self,
        namespace: Option<&str>,
        metric: Option<&str>,
        _dimensions: &[(String, Option<String>)],
    ) -> Result<Vec<Series>, MetricsError> {
        let mut series: Vec<Series> = locked(&self.data).iter().map(|datum| datum.series.clone()).collect();
        series.retain(|series| {
            namespace.is_none_or(|wanted| series.namespace == wanted)
                && metric.is_none_or(|wanted| series.metric == wanted)
        });
        series.sort();
        series.dedup();
        Ok(series)
    }
}

/// Starts nothing.
pub struct NoCompute;

#[async_trait]
impl Compute for NoCompute {
    async fn launch(&self, program: &Program) -> Result<Box<dyn Process>, ComputeError> {
        let cause = "no programs run here".to_string();
        Err(ComputeError::Start { program: program.name.clone(), cause })
    }
}
