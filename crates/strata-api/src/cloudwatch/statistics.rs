//! GetMetricStatistics: several statistics of one series.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use strata_base::metrics::Series;

use super::shapes::{Dimension, dimensions, period};
use super::statistic::Statistic;
use super::summary::{Periods, summaries};
use super::{combination, invalid, metrics, missing};
use crate::operation::{Answer, Cx};

/// Most datapoints that one call may ask for.
const MOST: i64 = 1440;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetMetricStatistics {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    start_time: f64,
    end_time: f64,
    period: i64,
    #[serde(default)]
    statistics: Vec<String>,
    #[serde(default)]
    extended_statistics: Vec<String>,
    unit: Option<String>,
}

/// Gives the datapoints of a series, in order of time; one a period and unit.
pub async fn get_metric_statistics(cx: Cx, req: GetMetricStatistics) -> Answer {
    match (req.statistics.is_empty(), req.extended_statistics.is_empty()) {
        (true, true) => {
            let message =
                "At least one of the parameters Statistics and ExtendedStatistics must be specified.";
            return Err(missing(message));
        }
        (false, false) => {
            return Err(combination(
                "The parameters Statistics and ExtendedStatistics are mutually exclusive and you have specified \
                 both.",
            ));
        }
        _ => (),
    }
    let mut asked = Vec::new();
    for word in &req.statistics {
        let known = Statistic::parse(word).filter(|known| !matches!(known, Statistic::Percentile(_)));
        let known =
            known.ok_or_else(|| invalid(format!("The value {word} for parameter Statistics is invalid.")))?;
        asked.push((word, known));
    }
    for word in &req.extended_statistics {
        let Some(known @ Statistic::Percentile(_)) = Statistic::parse(word) else {
            let message = format!(
                "The value {word} for parameter ExtendedStatistics is not supported by this cloud: p0 to p100 are."
            );
            return Err(invalid(message));
        };
        asked.push((word, known));
    }
    let periods = Periods::new(req.start_time, req.end_time, period(req.period)?)?;
    if periods.count() > MOST {
        return Err(combination(format!(
            "You have requested up to {} datapoints, which exceeds the limit of {MOST}. You may reduce the \
             datapoints requested by increasing Period, or decreasing the time range.",
            periods.count()
        )));
    }
    let series =
        Series { namespace: req.namespace, metric: req.metric_name, dimensions: dimensions(req.dimensions)? };
    let with_values = !req.extended_statistics.is_empty();
    let found = summaries(metrics(&cx).await?, &series, periods, with_values).await?;
    let mut datapoints: Vec<Value> = Vec::new();
    for ((at, unit), summary) in &found {
        if req.unit.as_ref().is_some_and(|asked| asked != unit) {
            continue;
        }
        let mut point = json!({ "Timestamp": at.seconds(), "Unit": unit });
        let mut extended = Map::new();
        for (word, statistic) in &asked {
            match (statistic, statistic.of(summary)) {
                (_, None) => (),
                (Statistic::Percentile(_), Some(value)) => {
                    extended.insert(word.to_string(), json!(value));
                }
                (_, Some(value)) => point[word.as_str()] = json!(value),
            }
        }
        if with_values {
            if extended.is_empty() {
                continue;
            }
            point["ExtendedStatistics"] = Value::Object(extended);
        }
        datapoints.push(point);
    }
    Ok(json!({ "Label": series.metric, "Datapoints": datapoints }).into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::cloudwatch::operations;
    use crate::testing::{TestCloud, this_minute};

    async fn cloud(start: i64) -> TestCloud {
        let cloud = TestCloud::new(operations()).await;
        let datum = |minute: i64, more: Value| {
            let mut datum = json!({"MetricName": "Latency", "Timestamp": start + minute * 60});
            datum["Dimensions"] = json!([{"Name": "Endpoint", "Value": "e"}]);
            datum.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            datum
        };
        let set = json!({"SampleCount": 2, "Sum": 30, "Minimum": 10, "Maximum": 20});
        let data = json!([
            datum(0, json!({"Value": 1, "Unit": "Milliseconds"})),
            datum(0, json!({"Values": [2, 3], "Counts": [1, 2], "Unit": "Milliseconds"})),
            datum(1, json!({"Value": 5, "Unit": "Milliseconds"})),
            datum(1, json!({"StatisticValues": set, "Unit": "Milliseconds"})),
            datum(1, json!({"Value": 7})),
        ]);
        cloud.call("PutMetricData", json!({"Namespace": "N", "MetricData": data})).await.unwrap();
        cloud
    }

    fn ask(start: i64, more: Value) -> Value {
        let mut document = json!({
            "Namespace": "N", "MetricName": "Latency", "Dimensions": [{"Name": "Endpoint", "Value": "e"}],
            "StartTime": start, "EndTime": start + 300, "Period": 60,
        });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document
    }

    /// The datapoints, their times as minutes since `start`.
    async fn points(cloud: &TestCloud, start: i64, more: Value) -> Value {
        let mut reply = cloud.call("GetMetricStatistics", ask(start, more)).await.unwrap();
        for point in reply["Datapoints"].as_array_mut().unwrap() {
            point["Timestamp"] = json!((point["Timestamp"].as_f64().unwrap() - start as f64) / 60.0);
        }
        reply["Datapoints"].take()
    }

    #[tokio::test]
    async fn statistics_by_period_and_unit() {
        let start = this_minute() - 600;
        let cloud = cloud(start).await;
        let all = json!({"Statistics": ["Average", "Sum", "Minimum", "Maximum", "SampleCount"]});
        insta::assert_json_snapshot!(points(&cloud, start, all).await, @r#"
        [
          {
            "Average": 2.25,
            "Maximum": 3.0,
            "Minimum": 1.0,
            "SampleCount": 4.0,
            "Sum": 9.0,
            "Timestamp": 0.0,
            "Unit": "Milliseconds"
          },
          {
            "Average": 11.666666666666666,
            "Maximum": 20.0,
            "Minimum": 5.0,
            "SampleCount": 3.0,
            "Sum": 35.0,
            "Timestamp": 1.0,
            "Unit": "Milliseconds"
          },
          {
            "Average": 7.0,
            "Maximum": 7.0,
            "Minimum": 7.0,
            "SampleCount": 1.0,
            "Sum": 7.0,
            "Timestamp": 1.0,
            "Unit": "None"
          }
        ]
        "#);
        let whole = json!({"Statistics": ["Sum"], "Period": 300, "Unit": "Milliseconds"});
        assert_eq!(
            points(&cloud, start, whole).await,
            json!([{"Timestamp": 0.0, "Sum": 44.0, "Unit": "Milliseconds"}])
        );
        let other = json!({"Statistics": ["Sum"], "Dimensions": []});
        assert_eq!(points(&cloud, start, other).await, json!([]));
    }

    #[tokio::test]
    async fn percentiles_need_single_values() {
        let start = this_minute() - 600;
        let cloud = cloud(start).await;
        let asked = json!({"ExtendedStatistics": ["p50", "p99.9"], "Unit": "Milliseconds"});
        assert_eq!(
            points(&cloud, start, asked).await,
            json!([{"Timestamp": 0.0, "Unit": "Milliseconds", "ExtendedStatistics": {"p50": 2.0, "p99.9": 3.0}}])
        );
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_told() {
        let start = this_minute() - 600;
        let cloud = cloud(start).await;
        let mut said = Vec::new();
        for more in [
            json!({}),
            json!({"Statistics": ["Sum"], "ExtendedStatistics": ["p50"]}),
            json!({"ExtendedStatistics": ["tm99"]}),
            json!({"ExtendedStatistics": ["Sum"]}),
            json!({"Statistics": ["Sum"], "Period": 61}),
            json!({"Statistics": ["Sum"], "EndTime": start}),
        ] {
            said.push(cloud.fault("GetMetricStatistics", ask(start, more)).await);
        }
        let day = ask(0, json!({"Statistics": ["Sum"], "EndTime": 172_800}));
        said.push(cloud.fault("GetMetricStatistics", day).await);
        insta::assert_json_snapshot!(said, @r#"
        [
          "MissingParameter: At least one of the parameters Statistics and ExtendedStatistics must be specified.",
          "InvalidParameterCombination: The parameters Statistics and ExtendedStatistics are mutually exclusive and you have specified both.",
          "InvalidParameterValue: The value tm99 for parameter ExtendedStatistics is not supported by this cloud: p0 to p100 are.",
          "InvalidParameterValue: The value Sum for parameter ExtendedStatistics is not supported by this cloud: p0 to p100 are.",
          "InvalidParameterValue: The value 61 for parameter Period is invalid: it must be 1, 5, 10, 20, 30 or a multiple of 60, and at most 31536000",
          "InvalidParameterCombination: The parameter StartTime must be less than the parameter EndTime.",
          "InvalidParameterCombination: You have requested up to 2880 datapoints, which exceeds the limit of 1440. You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        ]
        "#);
    }
}
