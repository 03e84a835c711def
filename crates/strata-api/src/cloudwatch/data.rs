//! GetMetricData: one statistic each of many series, in pages.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::json;
use strata_base::Timestamp;
use strata_base::metrics::{Metrics, Series};
use strata_wire::Fault;

use super::shapes::{Dimension, dimensions, period};
use super::statistic::{Statistic, Summary};
use super::summary::{Periods, summaries};
use super::{metrics, validation};
use crate::operation::{Answer, Cx};

const MOST_QUERIES: usize = 500;
/// Most datapoints in one page.
const MOST_POINTS: usize = 100_800;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetMetricData {
    metric_data_queries: Vec<MetricDataQuery>,
    start_time: f64,
    end_time: f64,
    next_token: Option<String>,
    scan_by: Option<String>,
    max_datapoints: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDataQuery {
    id: String,
    metric_stat: Option<MetricStat>,
    expression: Option<String>,
    label: Option<String>,
    return_data: Option<bool>,
    account_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: Metric,
    period: i64,
    stat: String,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    namespace: Option<String>,
    metric_name: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
}

/// A query that was checked.
struct Query {
    id: String,
    label: String,
    series: Series,
    periods: Periods,
    statistic: Statistic,
    unit: Option<String>,
}

/// Where the next page starts: behind this time of this query, or at its first datapoint.
struct Token {
    query: usize,
    behind: Option<i64>,
}

/// Gives datapoints query after query, newest first unless asked otherwise, until the page is full.
pub async fn get_metric_data(cx: Cx, req: GetMetricData) -> Answer {
    let ascending = req.scan_by.as_deref() == Some("TimestampAscending");
    let mut room = match req.max_datapoints.unwrap_or(MOST_POINTS as i64) {
        most @ 1.. if most <= MOST_POINTS as i64 => most as usize,
        other => {
            let message =
                format!("The value {other} for parameter MaxDatapoints is invalid: 1 to {MOST_POINTS}.");
            return Err(validation(message));
        }
    };
    let mut from = match &req.next_token {
        None => Token { query: 0, behind: None },
        Some(text) => Token::parse(text)
            .ok_or_else(|| Fault::new(400, "InvalidNextToken", "The next token is not one of ours."))?,
    };
    let queries = checked(&cx, req.metric_data_queries, req.start_time, req.end_time)?;
    let metrics = metrics(&cx).await?;
    let mut results = Vec::new();
    let mut next = None;
    for (i, query) in queries.iter().enumerate().skip(from.query) {
        if room == 0 {
            next = Some(Token { query: i, behind: None });
            break;
        }
        let mut points = points(metrics, query).await?;
        if !ascending {
            points.reverse();
        }
        if let Some(behind) = from.behind.take() {
            points.retain(|(at, _)| if ascending { at.0 > behind } else { at.0 < behind });
        }
        let cut = points.len() > room;
        points.truncate(room);
        room -= points.len();
        if let (true, Some((last, _))) = (cut, points.last()) {
            next = Some(Token { query: i, behind: Some(last.0) });
        }
        results.push(json!({
            "Id": query.id,
            "Label": query.label,
            "Timestamps": points.iter().map(|(at, _)| at.seconds()).collect::<Vec<_>>(),
            "Values": points.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            "StatusCode": if cut { "PartialData" } else { "Complete" },
        }));
        if cut {
            break;
        }
    }
    let mut reply = json!({ "MetricDataResults": results, "Messages": [] });
    if let Some(next) = next {
        reply["NextToken"] = json!(next.text());
    }
    Ok(reply.into())
}

/// The datapoints of one query, oldest first.
async fn points(metrics: &dyn Metrics, query: &Query) -> Result<Vec<(Timestamp, f64)>, Fault> {
    let with_values = matches!(query.statistic, Statistic::Percentile(_));
    let found = summaries(metrics, &query.series, query.periods, with_values).await?;
    let mut merged: Vec<(Timestamp, Summary)> = Vec::new();
    for ((at, unit), summary) in found {
        if query.unit.as_ref().is_some_and(|asked| *asked != unit) {
            continue;
        }
        // A result has no unit: without one asked for, what was observed in any counts together.
        match merged.last_mut() {
            Some((last, known)) if *last == at => known.add(summary),
            _ => merged.push((at, summary)),
        }
    }
    let value = |(at, summary): (Timestamp, Summary)| Some((at, query.statistic.of(&summary)?));
    Ok(merged.into_iter().filter_map(value).collect())
}

fn checked(cx: &Cx, queries: Vec<MetricDataQuery>, start: f64, end: f64) -> Result<Vec<Query>, Fault> {
    if queries.is_empty() || queries.len() > MOST_QUERIES {
        let message =
            format!("The collection MetricDataQueries must have between 1 and {MOST_QUERIES} members.");
        return Err(validation(message));
    }
    let mut ids = HashSet::new();
    let mut good = Vec::new();
    for query in queries {
        let id = query.id;
        let mut letters = id.chars();
        let named = letters.next().is_some_and(|first| first.is_ascii_lowercase())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !named {
            return Err(validation(format!(
                "The value {id} for parameter Id is invalid: it must start with a lowercase letter and hold letters, \
                 digits and underscores."
            )));
        }
        if !ids.insert(id.clone()) {
            return Err(validation(format!("The values for parameter Id must be unique: {id}.")));
        }
        if query.expression.is_some() {
            return Err(validation(format!(
                "Expression of query {id} is not honoured by this cloud: ask for the metrics with MetricStat and \
                 compute with them"
            )));
        }
        let Some(asked) = query.metric_stat else {
            return Err(validation(format!(
                "Query {id}: either MetricStat or Expression must be specified."
            )));
        };
        if query.account_id.is_some_and(|account| account != cx.platform.ports.cloud.account) {
            return Err(validation(format!("Query {id}: this cloud is one account; leave AccountId out.")));
        }
        if query.label.as_ref().is_some_and(|label| label.contains("${")) {
            return Err(validation(format!("Query {id}: dynamic labels are not honoured by this cloud.")));
        }
        let Some(statistic) = Statistic::parse(&asked.stat) else {
            return Err(validation(format!(
                "The value {} for parameter Stat is not supported by this cloud: SampleCount, Average, Sum, Minimum, \
                 Maximum and p0 to p100 are.",
                asked.stat
            )));
        };
        let (Some(namespace), Some(metric)) = (asked.metric.namespace, asked.metric.metric_name) else {
            return Err(validation(format!("Query {id}: Namespace and MetricName are required.")));
        };
        let as_validation = |fault: Fault| validation(fault.message);
        let length = period(asked.period).map_err(as_validation)?;
        let periods = Periods::new(start, end, length).map_err(as_validation)?;
        let dimensions = dimensions(asked.metric.dimensions).map_err(as_validation)?;
        // Only expressions could use data that are not returned.
        if query.return_data == Some(false) {
            continue;
        }
        let label = query.label.unwrap_or_else(|| metric.clone());
        let series = Series { namespace, metric, dimensions };
        good.push(Query { id, label, series, periods, statistic, unit: asked.unit });
    }
    Ok(good)
}

impl Token {
    fn text(&self) -> String {
        match self.behind {
            None => format!("{}", self.query),
            Some(behind) => format!("{}/{behind}", self.query),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (query, behind) = match text.split_once('/') {
            None => (text, None),
            Some((query, behind)) => (query, Some(behind.parse().ok()?)),
        };
        Some(Self { query: query.parse().ok()?, behind })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::cloudwatch::operations;
    use crate::testing::{TestCloud, this_minute};

    async fn cloud(start: i64) -> TestCloud {
        let cloud = TestCloud::new(operations()).await;
        let mut data = Vec::new();
        for minute in 0..5 {
            for (metric, value) in [("a", minute), ("b", 10 * minute)] {
                data.push(json!({"MetricName": metric, "Timestamp": start + minute * 60, "Value": value}));
            }
        }
        cloud.call("PutMetricData", json!({"Namespace": "N", "MetricData": data})).await.unwrap();
        cloud
    }

    fn query(id: &str, metric: &str, stat: &str) -> Value {
        let metric = json!({"Namespace": "N", "MetricName": metric});
        json!({"Id": id, "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}})
    }

    fn ask(start: i64, queries: Value) -> Value {
        json!({"MetricDataQueries": queries, "StartTime": start, "EndTime": start + 300})
    }

    #[tokio::test]
    async fn newest_first_unless_asked_otherwise() {
        let start = this_minute() - 600;
        let cloud = cloud(start).await;
        let mut document = ask(start, json!([query("x", "a", "Sum"), query("y", "none", "Sum")]));
        let mut reply = cloud.call("GetMetricData", document.clone()).await.unwrap();
        assert_eq!(reply["MetricDataResults"][0]["Timestamps"][0], json!((start + 240) as f64));
        for result in reply["MetricDataResults"].as_array_mut().unwrap() {
            result["Timestamps"] = json!(result["Timestamps"].as_array().unwrap().len());
        }
        insta::assert_json_snapshot!(reply, @r#"
        {
          "Messages": [],
          "MetricDataResults": [
            {
              "Id": "x",
              "Label": "a",
              "StatusCode": "Complete",
              "Timestamps": 5,
              "Values": [
                4.0,
                3.0,
                2.0,
                1.0,
                0.0
              ]
            },
            {
              "Id": "y",
              "Label": "none",
              "StatusCode": "Complete",
              "Timestamps": 0,
              "Values": []
            }
          ]
        }
        "#);
        document["ScanBy"] = json!("TimestampAscending");
        let reply = cloud.call("GetMetricData", document).await.unwrap();
        assert_eq!(reply["MetricDataResults"][0]["Values"], json!([0.0, 1.0, 2.0, 3.0, 4.0]));
    }

    #[tokio::test]
    async fn pages_hold_everything_once() {
        let start = this_minute() - 600;
        let cloud = cloud(start).await;
        for scan_by in ["TimestampAscending", "TimestampDescending"] {
            for most in [1, 2, 3, 4, 5, 7, 10, 11] {
                let queries =
                    json!([query("x", "a", "Maximum"), query("y", "none", "Sum"), query("z", "b", "p50")]);
                let mut document = ask(start, queries);
                document["ScanBy"] = json!(scan_by);
                document["MaxDatapoints"] = json!(most);
                let mut seen: Vec<(String, f64)> = Vec::new();
                loop {
                    let page = cloud.call("GetMetricData", document.clone()).await.unwrap();
                    let before = seen.len();
                    for result in page["MetricDataResults"].as_array().unwrap() {
                        let id = result["Id"].as_str().unwrap();
                        let values = result["Values"].as_array().unwrap().iter();
                        seen.extend(values.map(|value| (id.to_string(), value.as_f64().unwrap())));
                    }
                    assert!(seen.len() - before <= most, "a page of {most}");
                    let Some(token) = page.get("NextToken") else { break };
                    document["NextToken"] = token.clone();
                }
                let mut minutes = [0.0, 1.0, 2.0, 3.0, 4.0];
                if scan_by == "TimestampDescending" {
                    minutes.reverse();
                }
                let mut all: Vec<(String, f64)> = Vec::new();
                all.extend(minutes.iter().map(|minute| ("x".into(), *minute)));
                all.extend(minutes.iter().map(|minute| ("z".into(), 10.0 * minute)));
                assert_eq!(seen, all, "{scan_by}, pages of {most}");
            }
        }
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_told() {
        let start = this_minute() - 600;
        let cloud = TestCloud::new(operations()).await;
        let with = |member: &str, value: Value| {
            let mut query = query("x", "a", "Sum");
            query[member] = value;
            json!([query])
        };
        let mut said = Vec::new();
        for queries in [
            json!([]),
            json!([{"Id": "x"}]),
            json!([{"Id": "x", "Expression": "a + b"}]),
            json!([query("X", "a", "Sum")]),
            json!([query("x", "a", "Sum"), query("x", "b", "Sum")]),
            json!([query("x", "a", "tm90")]),
            with("AccountId", json!("999999999999")),
            with("Label", json!("${MAX}")),
            with("MetricStat", json!({"Metric": {"MetricName": "a"}, "Period": 60, "Stat": "Sum"})),
            with("MetricStat", json!({"Metric": {}, "Period": 7, "Stat": "Sum"})),
        ] {
            said.push(cloud.fault("GetMetricData", ask(start, queries)).await);
        }
        let mut token = ask(start, json!([query("x", "a", "Sum")]));
        token["NextToken"] = json!("1/x");
        said.push(cloud.fault("GetMetricData", token.clone()).await);
        token["MaxDatapoints"] = json!(0);
        said.push(cloud.fault("GetMetricData", token).await);
        insta::assert_json_snapshot!(said, @r#"
        [
          "ValidationError: The collection MetricDataQueries must have between 1 and 500 members.",
          "ValidationError: Query x: either MetricStat or Expression must be specified.",
          "ValidationError: Expression of query x is not honoured by this cloud: ask for the metrics with MetricStat and compute with them",
          "ValidationError: The value X for parameter Id is invalid: it must start with a lowercase letter and hold letters, digits and underscores.",
          "ValidationError: The values for parameter Id must be unique: x.",
          "ValidationError: The value tm90 for parameter Stat is not supported by this cloud: SampleCount, Average, Sum, Minimum, Maximum and p0 to p100 are.",
          "ValidationError: Query x: this cloud is one account; leave AccountId out.",
          "ValidationError: Query x: dynamic labels are not honoured by this cloud.",
          "ValidationError: Query x: Namespace and MetricName are required.",
          "ValidationError: Query x: Namespace and MetricName are required.",
          "InvalidNextToken: The next token is not one of ours.",
          "ValidationError: The value 0 for parameter MaxDatapoints is invalid: 1 to 100800."
        ]
        "#);
    }
}
