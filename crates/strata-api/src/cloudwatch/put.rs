//! Taking in metric data.

use serde::Deserialize;
use serde_json::json;
use strata_base::Timestamp;
use strata_base::metrics::{Datum, Series};
use strata_wire::Fault;

use super::shapes::{Dimension, Number, dimensions};
use super::{combination, invalid, missing, refuse, store};
use crate::operation::{Answer, Cx};

const MOST_DATA: usize = 1000;
const MOST_VALUES: usize = 150;
/// 2^360, CloudWatch's bound on what a value may be.
const MOST: f64 = f64::from_bits((1023 + 360) << 52);
const HOUR_MS: i64 = 3_600_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutMetricData {
    namespace: String,
    #[serde(default)]
    metric_data: Vec<MetricDatum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDatum {
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    timestamp: Option<f64>,
    value: Option<Number>,
    statistic_values: Option<StatisticSet>,
    #[serde(default)]
    values: Vec<Number>,
    #[serde(default)]
    counts: Vec<Number>,
    unit: Option<String>,
    storage_resolution: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatisticSet {
    sample_count: Number,
    sum: Number,
    minimum: Number,
    maximum: Number,
}

/// Stores all of the data or, where any of them is wrong, none.
pub async fn put_metric_data(cx: Cx, req: PutMetricData) -> Answer {
    refuse(&cx, &[("EntityMetricData", "send the metrics in MetricData, without their entity")])?;
    if req.namespace.starts_with("AWS/") {
        return Err(invalid(format!("The value {} for parameter Namespace is invalid.", req.namespace)));
    }
    if req.metric_data.is_empty() {
        return Err(missing("The parameter MetricData is required."));
    }
    if req.metric_data.len() > MOST_DATA {
        let message = format!("The collection MetricData must not have a size greater than {MOST_DATA}.");
        return Err(invalid(message));
    }
    let now = Timestamp::now();
    let mut data = Vec::with_capacity(req.metric_data.len());
    for (i, datum) in req.metric_data.into_iter().enumerate() {
        let place = format!("MetricData.member.{}", i + 1);
        data.push(checked(&req.namespace, datum, &place, now)?);
    }
    cx.platform.ports.metrics.put(&data).await.map_err(store)?;
    Ok(json!({}).into())
}

fn checked(namespace: &str, datum: MetricDatum, place: &str, now: Timestamp) -> Result<Datum, Fault> {
    let at = moment(&datum, place, now)?;
    let observed = observed(&datum, place)?;
    let series = Series {
        namespace: namespace.into(),
        metric: datum.metric_name,
        dimensions: dimensions(datum.dimensions)?,
    };
    Ok(Datum { series, at, unit: datum.unit.unwrap_or_else(|| "None".into()), ..observed })
}

/// When it was: now where not said, down to the whole second or, as is usual, minute.
fn moment(datum: &MetricDatum, place: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    let step = match datum.storage_resolution {
        None | Some(60) => 60_000,
        Some(1) => 1000,
        Some(other) => {
            let member = format!("{place}.StorageResolution");
            return Err(invalid(format!("The value {other} for parameter {member} is invalid: 1 or 60.")));
        }
    };
    let at = datum.timestamp.map_or(now, Timestamp::from_seconds);
    if at.0 > now.0 + 2 * HOUR_MS {
        let message =
            format!("The parameter {place}.Timestamp must specify a time no more than 2 hours ahead.");
        return Err(invalid(message));
    }
    if at.0 < now.0 - 14 * 24 * HOUR_MS {
        let message =
            format!("The parameter {place}.Timestamp must specify a time within the past two weeks.");
        return Err(invalid(message));
    }
    Ok(Timestamp(at.0.div_euclid(step) * step))
}

/// The numbers of a datum, as one value, as values with counts, or as a summary.
fn observed(datum: &MetricDatum, place: &str) -> Result<Datum, Fault> {
    let nameless = Datum::single(Series::default(), Timestamp(0), 0.0, "None");
    let both = |a: &str, b: &str| {
        combination(format!(
            "The parameters {place}.{a} and {place}.{b} are mutually exclusive and you have specified both."
        ))
    };
    match (datum.value, &datum.statistic_values, datum.values.is_empty()) {
        (Some(_), Some(_), _) => Err(both("Value", "StatisticValues")),
        (Some(_), _, false) => Err(both("Value", "Values")),
        (_, Some(_), false) => Err(both("StatisticValues", "Values")),
        (None, None, true) => Err(missing(format!(
            "At least one of the parameters must be specified: {place}.Value, {place}.Values, \
             {place}.StatisticValues."
        ))),
        (Some(value), ..) => {
            let value = within(value, &format!("{place}.Value"))?;
            Ok(Datum { sum: value, minimum: value, maximum: value, values: vec![(value, 1.0)], ..nameless })
        }
        (_, Some(set), _) => {
            let number = |number, member: &str| within(number, &format!("{place}.StatisticValues.{member}"));
            let count = number(set.sample_count, "SampleCount")?;
            let sum = number(set.sum, "Sum")?;
            let minimum = number(set.minimum, "Minimum")?;
            let maximum = number(set.maximum, "Maximum")?;
            if count <= 0.0 {
                let member = format!("{place}.StatisticValues.SampleCount");
                return Err(invalid(format!("The value {count} for parameter {member} is invalid.")));
            }
            if minimum > maximum {
                return Err(combination(format!(
                    "The parameter {place}.StatisticValues.Maximum must be greater than \
                     {place}.StatisticValues.Minimum."
                )));
            }
            // Of equal extremes all observations are known.
            let values = if minimum == maximum { vec![(minimum, count)] } else { Vec::new() };
            Ok(Datum { count, sum, minimum, maximum, values, ..nameless })
        }
        (None, None, false) => from_values(datum, place, nameless),
    }
}

fn from_values(datum: &MetricDatum, place: &str, nameless: Datum) -> Result<Datum, Fault> {
    if datum.values.len() > MOST_VALUES {
        let member = format!("{place}.Values");
        return Err(invalid(format!(
            "The collection {member} must not have a size greater than {MOST_VALUES}."
        )));
    }
    if !datum.counts.is_empty() && datum.counts.len() != datum.values.len() {
        return Err(combination(format!(
            "The parameters {place}.Values and {place}.Counts must be of the same size."
        )));
    }
    let mut sum = 0.0;
    let mut count = 0.0;
    let mut values = Vec::with_capacity(datum.values.len());
    for (i, value) in datum.values.iter().enumerate() {
        let value = within(*value, &format!("{place}.Values.member.{}", i + 1))?;
        let member = format!("{place}.Counts.member.{}", i + 1);
        let times = within(datum.counts.get(i).copied().unwrap_or(Number(1.0)), &member)?;
        if times < 0.0 {
            return Err(invalid(format!("The value {times} for parameter {member} is invalid.")));
        }
        if times > 0.0 {
            sum += value * times;
            count += times;
            values.push((value, times));
        }
    }
    if count == 0.0 {
        return Err(invalid(format!(
            "The value 0 for parameter {place}.Counts is invalid: nothing was observed."
        )));
    }
    let minimum = values.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min);
    let maximum = values.iter().map(|(value, _)| *value).fold(f64::NEG_INFINITY, f64::max);
    Ok(Datum { count, sum, minimum, maximum, values, ..nameless })
}

fn within(number: Number, member: &str) -> Result<f64, Fault> {
    // Written so that NaN is outside.
    if (-MOST..=MOST).contains(&number.0) {
        return Ok(number.0);
    }
    Err(invalid(format!("The value {} for parameter {member} is invalid.", number.0)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cloudwatch::operations;
    use crate::testing::TestCloud;

    const NOW: Timestamp = Timestamp(1_700_000_012_345);

    fn taken(mut datum: Value) -> Result<Datum, String> {
        datum["MetricName"] = json!("m");
        let datum = serde_json::from_value(datum).unwrap();
        checked("N", datum, "MetricData.member.1", NOW).map_err(|fault| fault.to_string())
    }

    #[test]
    fn two_to_the_360() {
        assert_eq!(MOST, 2f64.powi(360));
    }

    #[test]
    fn one_value_many_values_and_summaries() {
        let one = taken(json!({"Value": 2.5})).unwrap();
        assert_eq!((one.count, one.sum, one.values), (1.0, 2.5, vec![(2.5, 1.0)]));
        assert_eq!(one.at, Timestamp(1_699_999_980_000));
        let many = taken(json!({"Values": [1, 2, 3], "Counts": [2, 0, 1], "Unit": "Count"})).unwrap();
        assert_eq!((many.count, many.sum, many.minimum, many.maximum), (3.0, 5.0, 1.0, 3.0));
        assert_eq!((many.unit.as_str(), many.values), ("Count", vec![(1.0, 2.0), (3.0, 1.0)]));
        let set = json!({"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4});
        let set = taken(json!({"StatisticValues": set})).unwrap();
        assert_eq!((set.count, set.sum, set.minimum, set.maximum), (4.0, 10.0, 1.0, 4.0));
        assert!(set.values.is_empty());
        let fine = taken(json!({"Value": 1, "StorageResolution": 1, "Timestamp": 1_700_000_001.9})).unwrap();
        assert_eq!(fine.at, Timestamp(1_700_000_001_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let set = |count: f64, minimum: f64| json!({"StatisticValues": {"SampleCount": count, "Sum": 1, "Minimum": minimum, "Maximum": 1}});
        let said: Vec<String> = [
            json!({}),
            json!({"Value": 1, "Values": [1]}),
            json!({"Value": "NaN"}),
            json!({"Values": [1, "Infinity"]}),
            json!({"Value": 1e109}),
            json!({"Values": [1, 2], "Counts": [1]}),
            json!({"Values": [1], "Counts": [0]}),
            json!({"Values": [1], "Counts": [-1]}),
            json!({"Values": vec![1; 151]}),
            set(0.0, 0.0),
            set(1.0, 2.0),
            json!({"Value": 1, "StorageResolution": 5}),
            json!({"Value": 1, "Timestamp": 1_700_010_000}),
            json!({"Value": 1, "Timestamp": 1_600_000_000}),
            json!({"Value": 1, "Dimensions": [{"Name": "a", "Value": "1"}, {"Name": "a", "Value": "2"}]}),
        ]
        .into_iter()
        .map(|datum| taken(datum).unwrap_err())
        .collect();
        insta::assert_json_snapshot!(said, @r#"
        [
          "MissingParameter: At least one of the parameters must be specified: MetricData.member.1.Value, MetricData.member.1.Values, MetricData.member.1.StatisticValues.",
          "InvalidParameterCombination: The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive and you have specified both.",
          "InvalidParameterValue: The value NaN for parameter MetricData.member.1.Value is invalid.",
          "InvalidParameterValue: The value inf for parameter MetricData.member.1.Values.member.2 is invalid.",
          "InvalidParameterValue: The value 10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 for parameter MetricData.member.1.Value is invalid.",
          "InvalidParameterCombination: The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the same size.",
          "InvalidParameterValue: The value 0 for parameter MetricData.member.1.Counts is invalid: nothing was observed.",
          "InvalidParameterValue: The value -1 for parameter MetricData.member.1.Counts.member.1 is invalid.",
          "InvalidParameterValue: The collection MetricData.member.1.Values must not have a size greater than 150.",
          "InvalidParameterValue: The value 0 for parameter MetricData.member.1.StatisticValues.SampleCount is invalid.",
          "InvalidParameterCombination: The parameter MetricData.member.1.StatisticValues.Maximum must be greater than MetricData.member.1.StatisticValues.Minimum.",
          "InvalidParameterValue: The value 5 for parameter MetricData.member.1.StorageResolution is invalid: 1 or 60.",
          "InvalidParameterValue: The parameter MetricData.member.1.Timestamp must specify a time no more than 2 hours ahead.",
          "InvalidParameterValue: The parameter MetricData.member.1.Timestamp must specify a time within the past two weeks.",
          "InvalidParameterValue: No Metric may specify the same dimension name twice: a"
        ]
        "#);
    }

    #[tokio::test]
    async fn all_or_nothing_is_stored() {
        let cloud = TestCloud::new(operations()).await;
        let bad = json!({
            "Namespace": "N",
            "MetricData": [{"MetricName": "a", "Value": 1}, {"MetricName": "b", "Value": "NaN"}],
        });
        let mut said = vec![cloud.fault("PutMetricData", bad).await];
        assert!(cloud.platform.ports.metrics.series(None, None, &[]).await.unwrap().is_empty());
        let one = json!([{"MetricName": "a", "Value": 1}]);
        said.push(cloud.fault("PutMetricData", json!({"Namespace": "N"})).await);
        said.push(
            cloud.fault("PutMetricData", json!({"Namespace": "AWS/SageMaker", "MetricData": one})).await,
        );
        let entity = json!({"Namespace": "N", "EntityMetricData": [{"MetricData": one}]});
        said.push(cloud.fault("PutMetricData", entity).await);
        let many = vec![json!({"MetricName": "a", "Value": 1}); 1001];
        said.push(cloud.fault("PutMetricData", json!({"Namespace": "N", "MetricData": many})).await);
        insta::assert_json_snapshot!(said, @r#"
        [
          "InvalidParameterValue: The value NaN for parameter MetricData.member.2.Value is invalid.",
          "MissingParameter: The parameter MetricData is required.",
          "InvalidParameterValue: The value AWS/SageMaker for parameter Namespace is invalid.",
          "InvalidParameterValue: EntityMetricData is not honoured by this cloud: send the metrics in MetricData, without their entity",
          "InvalidParameterValue: The collection MetricData must not have a size greater than 1000."
        ]
        "#);
    }
}
