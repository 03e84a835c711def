//! What is counted for each variant, and how it reaches CloudWatch and Prometheus.
//!
//! The request path touches a handful of atomics. A flush takes what was added since the
//! flush before, so sums over time are exact whenever it happens.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use strata_base::Timestamp;
use strata_base::metrics::{Datum, Metrics, MetricsError, Series};

use super::histogram::{Counts, Histogram};

const NAMESPACE: &str = "AWS/SageMaker";

/// How one invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// 4xx: the request was wrong.
    Client,
    /// 5xx: the model failed or took too long.
    Server,
    /// 503: turned away because too many waited.
    Overloaded,
}

const OUTCOMES: [(Outcome, &str); 4] = [
    (Outcome::Answered, "answered"),
    (Outcome::Client, "client_error"),
    (Outcome::Server, "server_error"),
    (Outcome::Overloaded, "overloaded"),
];

/// The counters of one variant; they outlive its deployments.
pub struct VariantMeters {
    endpoint: String,
    variant: String,
    pub instances: AtomicUsize,
    outcomes: [AtomicU64; 4],
    model: Histogram,
    overhead: Histogram,
}

impl VariantMeters {
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    /// `model`: from handing the request to the model to its answer; `whole`: from the
    /// arrival of the request.
    pub fn time(&self, model: Duration, whole: Duration) {
        self.model.record(model);
        self.overhead.record(whole.saturating_sub(model));
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            outcomes: self.outcomes.each_ref().map(|count| count.load(Relaxed)),
            model: self.model.counts(),
            overhead: self.overhead.counts(),
        }
    }
}

#[derive(Clone, Default)]
struct Snapshot {
    outcomes: [u64; 4],
    model: Counts,
    overhead: Counts,
}

/// The meters of all variants there are.
#[derive(Default)]
pub struct Meters {
    variants: Mutex<Vec<(Arc<VariantMeters>, Snapshot)>>,
    /// Held over a flush, so that two never send the same numbers.
    flushing: tokio::sync::Mutex<()>,
}

impl Meters {
    /// The meters of this variant: those it had before, or new ones.
    pub fn of(&self, endpoint: &str, variant: &str) -> Arc<VariantMeters> {
        let mut variants = self.locked();
        let known = variants.iter().find(|(m, _)| m.endpoint == endpoint && m.variant == variant);
        if let Some((meters, _)) = known {
            return meters.clone();
        }
        let meters = Arc::new(VariantMeters {
            endpoint: endpoint.into(),
            variant: variant.into(),
            instances: AtomicUsize::new(1),
            outcomes: Default::default(),
            model: Histogram::default(),
            overhead: Histogram::default(),
        });
        variants.push((meters.clone(), Snapshot::default()));
        meters
    }

    /// Stores what was counted since the last flush.
    pub async fn flush(&self, metrics: &dyn Metrics) -> Result<(), MetricsError> {
        let _flushing = self.flushing.lock().await;
        let now = Timestamp::now();
        let mut data = Vec::new();
        let mut flushed = Vec::new();
        for (meters, before) in self.locked().iter() {
            let after = meters.snapshot();
            if after.outcomes != before.outcomes || after.model.sum != before.model.sum {
                data.extend(summaries(meters, before, &after, now));
                flushed.push((meters.clone(), after));
            }
        }
        if !data.is_empty() {
            metrics.put(&data).await?;
        }
        let mut variants = self.locked();
        for (meters, after) in flushed {
            if let Some((_, before)) = variants.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &meters)) {
                *before = after;
            }
        }
        // A variant that is gone is forgotten once nothing of it is left to tell.
        variants.retain(|(meters, sent)| {
            Arc::strong_count(meters) > 1 || meters.snapshot().outcomes != sent.outcomes
        });
        Ok(())
    }

    /// All counters in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        let variants: Vec<(String, Snapshot)> = self
            .locked()
            .iter()
            .map(|(meters, _)| {
                let labels = format!(
                    "endpoint=\"{}\",variant=\"{}\"",
                    escaped(&meters.endpoint),
                    escaped(&meters.variant)
                );
                (labels, meters.snapshot())
            })
            .collect();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write_prometheus(&mut text, &variants);
        text
    }

    fn locked(&self) -> MutexGuard<'_, Vec<(Arc<VariantMeters>, Snapshot)>> {
        self.variants.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The difference between two snapshots as CloudWatch's metrics.
fn summaries(meters: &VariantMeters, before: &Snapshot, after: &Snapshot, at: Timestamp) -> Vec<Datum> {
    let dimensions = BTreeMap::from([
        ("EndpointName".to_string(), meters.endpoint.clone()),
        ("VariantName".to_string(), meters.variant.clone()),
    ]);
    let series = |metric: &str| Series {
        namespace: NAMESPACE.into(),
        metric: metric.into(),
        dimensions: dimensions.clone(),
    };
    let ended = |outcome: Outcome| {
        after.outcomes[outcome as usize].wrapping_sub(before.outcomes[outcome as usize]) as f64
    };
    let all: f64 = OUTCOMES.iter().map(|(outcome, _)| ended(*outcome)).sum();
    let mut data = Vec::new();
    if all > 0.0 {
        // One observation a request: 1 where it applies, else 0, as AWS sends them, so that
        // the average of an error metric is the error rate.
        let mut each = |metric: &str, count: f64, value: f64| {
            let values = [(0.0, all - count), (value, count)].into_iter().filter(|(_, n)| *n > 0.0);
            data.push(Datum {
                series: series(metric),
                at,
                count: all,
                sum: count * value,
                minimum: if count < all { 0.0 } else { value },
                maximum: if count > 0.0 { value } else { 0.0 },
                unit: "None".into(),
                values: values.collect(),
            });
        };
        each("Invocations", all, 1.0);
        each("Invocation4XXErrors", ended(Outcome::Client), 1.0);
        each("Invocation5XXErrors", ended(Outcome::Server) + ended(Outcome::Overloaded), 1.0);
        let instances = meters.instances.load(Relaxed).max(1) as f64;
        each("InvocationsPerInstance", all, 1.0 / instances);
    }
    let latencies = [
        ("ModelLatency", &meters.model, &after.model, &before.model),
        ("OverheadLatency", &meters.overhead, &after.overhead, &before.overhead),
    ];
    for (metric, histogram, after, before) in latencies {
        let added = after.since(before);
        let count = added.total();
        if count == 0 {
            continue;
        }
        // A request that ends during the flush may have told its extremes to this flush and
        // its count to the next, or the other way round: the values have the last word.
        let values: Vec<(f64, f64)> =
            added.values().map(|(nanos, count)| (nanos / 1000.0, count as f64)).collect();
        let (low, high) = histogram.take_extremes();
        let first = values.first().map_or(0.0, |(value, _)| *value);
        let last = values.last().map_or(0.0, |(value, _)| *value);
        let exact = low <= high;
        let minimum = if exact { low as f64 / 1000.0 } else { first };
        let maximum = if exact { high as f64 / 1000.0 } else { last };
        data.push(Datum {
            series: series(metric),
            at,
            count: count as f64,
            sum: added.sum as f64 / 1000.0,
            minimum,
            maximum,
            unit: "Microseconds".into(),
            values: values.into_iter().map(|(value, n)| (value.clamp(minimum, maximum), n)).collect(),
        });
    }
    data
}

fn write_prometheus(text: &mut String, variants: &[(String, Snapshot)]) -> std::fmt::Result {
    writeln!(text, "# HELP strata_invocations_total Requests to a variant, by how they ended.")?;
    writeln!(text, "# TYPE strata_invocations_total counter")?;
    for (labels, snapshot) in variants {
        for (outcome, word) in OUTCOMES {
            let count = snapshot.outcomes[outcome as usize];
            writeln!(text, "strata_invocations_total{{{labels},outcome=\"{word}\"}} {count}")?;
        }
    }
    let histograms = [
        ("strata_model_latency_seconds", "Time the model took to answer."),
        ("strata_overhead_latency_seconds", "Time spent around the model."),
    ];
    for (at, (name, help)) in histograms.into_iter().enumerate() {
        writeln!(text, "# HELP {name} {help}")?;
        writeln!(text, "# TYPE {name} histogram")?;
        for (labels, snapshot) in variants {
            let counts = if at == 0 { &snapshot.model } else { &snapshot.overhead };
            // About 1 us to 69 s; powers of two are where our buckets end exactly.
            for (nanos, count) in counts.below_powers(10, 36) {
                let seconds = nanos as f64 / 1e9;
                writeln!(text, "{name}_bucket{{{labels},le=\"{seconds}\"}} {count}")?;
            }
            let total = counts.total();
            writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}")?;
            writeln!(text, "{name}_sum{{{labels}}} {}", counts.sum as f64 / 1e9)?;
            writeln!(text, "{name}_count{{{labels}}} {total}")?;
        }
    }
    Ok(())
}

/// A label value as the text format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use strata_base::doubles::MemoryMetrics;

    use super::*;

    async fn sums(metrics: &MemoryMetrics, metric: &str) -> (f64, f64) {
        let data = metrics.data.lock().unwrap();
        let data: Vec<&Datum> = data.iter().filter(|datum| datum.series.metric == metric).collect();
        for datum in &data {
            let of_values: f64 = datum.values.iter().map(|(_, count)| count).sum();
            assert_eq!(of_values, datum.count, "{metric}");
            assert!(datum.minimum <= datum.maximum, "{metric}");
        }
        (data.iter().map(|datum| datum.count).sum(), data.iter().map(|datum| datum.sum).sum())
    }

    #[tokio::test]
    async fn flushes_in_any_number_add_up_exactly() {
        let meters = Meters::default();
        let metrics = MemoryMetrics::default();
        let variant = meters.of("e", "v");
        variant.instances.store(4, Relaxed);
        for round in 0..10 {
            for i in 0..100 {
                variant.count(match i % 10 {
                    0 => Outcome::Client,
                    1 => Outcome::Server,
                    2 => Outcome::Overloaded,
                    _ => Outcome::Answered,
                });
                variant.time(Duration::from_micros(3), Duration::from_micros(5));
            }
            if round % 3 == 0 {
                meters.flush(&metrics).await.unwrap();
            }
        }
        assert_eq!(sums(&metrics, "Invocations").await, (1000.0, 1000.0));
        assert_eq!(sums(&metrics, "Invocation4XXErrors").await, (1000.0, 100.0));
        assert_eq!(sums(&metrics, "Invocation5XXErrors").await, (1000.0, 200.0));
        assert_eq!(sums(&metrics, "InvocationsPerInstance").await, (1000.0, 250.0));
        assert_eq!(sums(&metrics, "ModelLatency").await, (1000.0, 3000.0));
        assert_eq!(sums(&metrics, "OverheadLatency").await, (1000.0, 2000.0));
        let before = metrics.data.lock().unwrap().len();
        meters.flush(&metrics).await.unwrap();
        assert_eq!(metrics.data.lock().unwrap().len(), before, "an idle variant sends nothing");
    }

    #[tokio::test]
    async fn a_failed_flush_loses_nothing_and_gone_variants_are_forgotten() {
        let meters = Meters::default();
        let metrics = MemoryMetrics::default();
        let variant = meters.of("e", "v");
        variant.count(Outcome::Answered);
        drop(variant);
        metrics.broken.store(true, Relaxed);
        assert!(meters.flush(&metrics).await.is_err());
        metrics.broken.store(false, Relaxed);
        meters.flush(&metrics).await.unwrap();
        assert_eq!(sums(&metrics, "Invocations").await, (1.0, 1.0));
        assert!(!meters.prometheus().contains("endpoint=\"e\""));
    }

    #[test]
    fn prometheus_text() {
        let meters = Meters::default();
        let variant = meters.of("quote\"d", "v1");
        variant.count(Outcome::Answered);
        variant.time(Duration::from_micros(3), Duration::from_millis(3));
        let text = meters.prometheus();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains("_bucket") || line.contains("0.000004") || line.contains("Inf"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        # HELP strata_invocations_total Requests to a variant, by how they ended.
        # TYPE strata_invocations_total counter
        strata_invocations_total{endpoint="quote\"d",variant="v1",outcome="answered"} 1
        strata_invocations_total{endpoint="quote\"d",variant="v1",outcome="client_error"} 0
        strata_invocations_total{endpoint="quote\"d",variant="v1",outcome="server_error"} 0
        strata_invocations_total{endpoint="quote\"d",variant="v1",outcome="overloaded"} 0
        # HELP strata_model_latency_seconds Time the model took to answer.
        # TYPE strata_model_latency_seconds histogram
        strata_model_latency_seconds_bucket{endpoint="quote\"d",variant="v1",le="0.000004096"} 1
        strata_model_latency_seconds_bucket{endpoint="quote\"d",variant="v1",le="+Inf"} 1
        strata_model_latency_seconds_sum{endpoint="quote\"d",variant="v1"} 0.000003
        strata_model_latency_seconds_count{endpoint="quote\"d",variant="v1"} 1
        # HELP strata_overhead_latency_seconds Time spent around the model.
        # TYPE strata_overhead_latency_seconds histogram
        strata_overhead_latency_seconds_bucket{endpoint="quote\"d",variant="v1",le="0.000004096"} 0
        strata_overhead_latency_seconds_bucket{endpoint="quote\"d",variant="v1",le="+Inf"} 1
        strata_overhead_latency_seconds_sum{endpoint="quote\"d",variant="v1"} 0.002997
        strata_overhead_latency_seconds_count{endpoint="quote\"d",variant="v1"} 1
        "#);
    }
}
