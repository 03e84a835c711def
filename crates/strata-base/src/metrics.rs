//! The `Metrics` port: numbers over time with dimensions, as CloudWatch means them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Names one series: namespace, metric, dimensions.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    pub namespace: String,
    pub metric: String,
    pub dimensions: BTreeMap<String, String>,
}

/// A summary of `count` observations at one moment; a single value has count 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Datum {
    pub series: Series,
    pub at: Timestamp,
    pub count: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// CloudWatch's unit word, e.g. `Microseconds`, `None`.
    pub unit: String,
    /// Distinct values with how often each occurred, for percentiles; empty when only the
    /// summary is known.
    pub values: Vec<(f64, f64)>,
}

impl Datum {
    pub fn single(series: Series, at: Timestamp, value: f64, unit: &str) -> Self {
        Self {
            series,
            at,
            count: 1.0,
            sum: value,
            minimum: value,
            maximum: value,
            unit: unit.into(),
            values: vec![(value, 1.0)],
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("metric store: {0}")]
pub struct MetricsError(pub String);

#[async_trait]
pub trait Metrics: Send + Sync + 'static {
    /// Stores all of the data in one transaction.
    async fn put(&self, data: &[Datum]) -> Result<(), MetricsError>;

    /// What one series holds from `from` (inclusive) to `to` (exclusive), in order of time.
    async fn read(&self, series: &Series, from: Timestamp, to: Timestamp)
    -> Result<Vec<Datum>, MetricsError>;

    /// Series that match, in order: exact namespace and metric where given, and every given
    /// dimension present (with this value, where one is given).
    async fn series(
        &self,
        namespace: Option<&str>,
        metric: Option<&str>,
        dimensions: &[(String, Option<String>)],
    ) -> Result<Vec<Series>, MetricsError>;

    /// Those of [`series`](Self::series) that hold a datum at or after `since`.
    async fn active_series(
        &self,
        namespace: Option<&str>,
        metric: Option<&str>,
        dimensions: &[(String, Option<String>)],
        since: Timestamp,
    ) -> Result<Vec<Series>, MetricsError> {
        let mut active = Vec::new();
        for series in self.series(namespace, metric, dimensions).await? {
            if !self.read(&series, since, Timestamp(i64::MAX)).await?.is_empty() {
                active.push(series);
            }
        }
        Ok(active)
    }
}
