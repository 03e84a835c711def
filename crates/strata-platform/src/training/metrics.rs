//! Numbers in log lines: what a job's metric definitions find becomes its final
//! metrics and series in CloudWatch.

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};
use strata_algorithms::Card;
use strata_base::Timestamp;
use strata_base::metrics::{Datum, Series};

use super::spec::{MetricDefinition, Spec};

/// CloudWatch namespace of the metrics of jobs. Their only dimension is the job's name: that
/// is what the SDK's `TrainingJobAnalytics` asks for, and CloudWatch wants all dimensions named.
pub const NAMESPACE: &str = "/aws/sagemaker/TrainingJobs";

/// The last value that was found of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Final {
    pub value: f64,
    pub at: Timestamp,
}

/// Finds the metrics of one job.
pub struct Scraper {
    job: String,
    expressions: Vec<(String, Regex)>,
    pub last: BTreeMap<String, Final>,
}

/// The definitions in force: the caller's, then those of the algorithm that he did not replace.
pub fn definitions(spec: &Spec, card: &Card) -> Vec<MetricDefinition> {
    let mut all = spec.metrics.clone();
    for known in card.metrics {
        if !all.iter().any(|given| given.name == known.name) {
            all.push(MetricDefinition { name: known.name.into(), regex: known.regex.into() });
        }
    }
    all
}

impl Scraper {
    pub fn new(job: &str, definitions: &[MetricDefinition]) -> Self {
        let compiled = definitions.iter().filter_map(|metric| match metric.compile() {
            Ok(regex) => Some((metric.name.clone(), regex)),
            // The caller's were compiled when the job was created.
            Err(cause) => {
                tracing::warn!(job, metric = metric.name, cause, "metric definition left out");
                None
            }
        });
        Self { job: job.into(), expressions: compiled.collect(), last: BTreeMap::new() }
    }

    /// What the line says: the first group of each expression that matches, or the whole match.
    pub fn read(&mut self, at: Timestamp, line: &str) -> Vec<Datum> {
        let mut found = Vec::new();
        for (name, regex) in &self.expressions {
            let Some(captures) = regex.captures(line) else { continue };
            let text = captures.get(1).or_else(|| captures.get(0)).map_or("", |text| text.as_str());
            let Some(value) = text.trim().parse::<f64>().ok().filter(|value| value.is_finite()) else {
                continue;
            };
            self.last.insert(name.clone(), Final { value, at });
            let dimensions = BTreeMap::from([("TrainingJobName".to_string(), self.job.clone())]);
            let series = Series { namespace: NAMESPACE.into(), metric: name.clone(), dimensions };
            found.push(Datum::single(series, at, value, "None"));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scraper(definitions: &[(&str, &str)]) -> Scraper {
        let definitions: Vec<MetricDefinition> = definitions
            .iter()
            .map(|(name, regex)| MetricDefinition { name: name.to_string(), regex: regex.to_string() })
            .collect();
        Scraper::new("job", &definitions)
    }

    #[test]
    fn the_last_finite_value_stays() {
        let mut scraper = scraper(&[("validation:rmse", "validation-rmse:([^\\s]+)"), ("whole", "[0-9]+")]);
        let lines = [
            "[1]#011train-rmse:9#011validation-rmse:2.5",
            "nothing",
            "[2] validation-rmse:1.5e0",
            "validation-rmse:nan",
        ];
        let found: Vec<Datum> =
            (1..).zip(lines).flat_map(|(at, line)| scraper.read(Timestamp(at), line)).collect();
        let values: Vec<(&str, f64)> = found.iter().map(|d| (d.series.metric.as_str(), d.sum)).collect();
        assert_eq!(
            values,
            [("validation:rmse", 2.5), ("whole", 1.0), ("validation:rmse", 1.5), ("whole", 2.0)]
        );
        assert_eq!(scraper.last["validation:rmse"], Final { value: 1.5, at: Timestamp(3) });
        assert_eq!(found[0].series.dimensions, BTreeMap::from([("TrainingJobName".into(), "job".into())]));
    }
}
