//! Log streams.

use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::{Value, json};
use strata_base::logs::{LogsError, StreamInfo};

use super::{fault, group_of, invalid};
use crate::operation::{Answer, Cx};

/// AWS's page.
const PAGE: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRequest {
    log_group_name: String,
    log_stream_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeLogStreams {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    #[serde(default)]
    order_by: OrderBy,
    #[serde(default)]
    descending: bool,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
enum OrderBy {
    #[default]
    LogStreamName,
    LastEventTime,
}

pub async fn create_log_stream(cx: Cx, req: StreamRequest) -> Answer {
    let created = cx.platform.ports.logs.create_stream(&req.log_group_name, &req.log_stream_name).await;
    created.map_err(|error| match error {
        LogsError::Exists(_) => fault(LogsError::Exists("The specified log stream".into())),
        other => fault(other),
    })?;
    Ok(json!({}).into())
}

pub async fn delete_log_stream(cx: Cx, req: StreamRequest) -> Answer {
    let logs = &cx.platform.ports.logs;
    logs.delete_stream(&req.log_group_name, &req.log_stream_name).await.map_err(fault)?;
    Ok(json!({}).into())
}

/// Lists the streams of a group by name or by their last event. A next token is sent only where
/// more follow: SageMaker's SDK would ask for ever.
pub async fn describe_log_streams(cx: Cx, req: DescribeLogStreams) -> Answer {
    let group = group_of(&cx, req.log_group_name, req.log_group_identifier)?;
    if req.order_by == OrderBy::LastEventTime && req.log_stream_name_prefix.is_some() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let prefix = req.log_stream_name_prefix.as_deref().unwrap_or("");
    let mut streams = cx.platform.ports.logs.streams(&group, prefix).await.map_err(fault)?;
    let order = |a: (i64, &str), b: (i64, &str)| {
        let order = a.cmp(&b);
        if req.descending { order.reverse() } else { order }
    };
    streams.sort_by(|a, b| order(place(req.order_by, a), place(req.order_by, b)));
    if let Some(token) = &req.next_token {
        let (time, name) = token
            .split_once('/')
            .and_then(|(time, name)| Some((time.parse().ok()?, name)))
            .ok_or_else(|| invalid("The specified nextToken is invalid."))?;
        streams.retain(|stream| order(place(req.order_by, stream), (time, name)) == Ordering::Greater);
    }
    let limit = req.limit.unwrap_or(PAGE);
    let more = streams.len() > limit;
    streams.truncate(limit);
    let mut reply = json!({
        "logStreams": streams.iter().map(|stream| described(&cx, &group, stream)).collect::<Vec<_>>(),
    });
    if let (true, Some(last)) = (more, streams.last()) {
        let (time, name) = place(req.order_by, last);
        reply["nextToken"] = json!(format!("{time}/{name}"));
    }
    Ok(reply.into())
}

/// Where a stream stands in the asked order; names tell equal times apart.
fn place(order_by: OrderBy, stream: &StreamInfo) -> (i64, &str) {
    let time = match order_by {
        OrderBy::LogStreamName => 0,
        // Streams that hold nothing come before all others.
        OrderBy::LastEventTime => stream.last.map_or(-1, |at| at.0),
    };
    (time, &stream.name)
}

fn described(cx: &Cx, group: &str, stream: &StreamInfo) -> Value {
    let resource = format!("log-group:{group}:log-stream:{}", stream.name);
    let mut shown = json!({
        "logStreamName": stream.name,
        "creationTime": stream.created.0,
        "arn": cx.platform.ports.cloud.arn("logs", &resource),
        // AWS stopped to count by stream in 2019 and says 0 since.
        "storedBytes": 0,
    });
    for (member, time) in [
        ("firstEventTimestamp", stream.first),
        ("lastEventTimestamp", stream.last),
        ("lastIngestionTime", stream.ingested),
    ] {
        if let Some(time) = time {
            shown[member] = json!(time.0);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strata_base::Timestamp;
    use strata_base::logs::LogLine;

    use crate::logs::operations;
    use crate::testing::{TestCloud, masked};

    fn names(page: &Value) -> Vec<&str> {
        let streams = page["logStreams"].as_array().unwrap().iter();
        streams.map(|stream| stream["logStreamName"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn streams_come_and_go() {
        let cloud = TestCloud::new(operations()).await;
        let stream = json!({"logGroupName": "g", "logStreamName": "job/algo-1"});
        let mut said = vec![cloud.fault("CreateLogStream", stream.clone()).await];
        cloud.call("CreateLogGroup", json!({"logGroupName": "g"})).await.unwrap();
        cloud.call("CreateLogStream", stream.clone()).await.unwrap();
        said.push(cloud.fault("CreateLogStream", stream.clone()).await);
        let page = cloud.call("DescribeLogStreams", json!({"logGroupName": "g"})).await.unwrap();
        insta::assert_json_snapshot!(masked(page, &["creationTime"]), @r#"
        {
          "logStreams": [
            {
              "arn": "arn:aws:logs:us-east-1:123456789012:log-group:g:log-stream:job/algo-1",
              "creationTime": "<creationTime>",
              "logStreamName": "job/algo-1",
              "storedBytes": 0
            }
          ]
        }
        "#);
        cloud.call("DeleteLogStream", stream.clone()).await.unwrap();
        said.push(cloud.fault("DeleteLogStream", stream).await);
        said.push(cloud.fault("DescribeLogStreams", json!({"logGroupName": "none"})).await);
        said.push(cloud.fault("DescribeLogStreams", json!({})).await);
        insta::assert_json_snapshot!(said, @r#"
        [
          "ResourceNotFoundException: The specified log group does not exist.",
          "ResourceAlreadyExistsException: The specified log stream already exists",
          "ResourceNotFoundException: The specified log stream does not exist.",
          "ResourceNotFoundException: The specified log group does not exist.",
          "InvalidParameterException: Exactly one of logGroupName and logGroupIdentifier must be specified."
        ]
        "#);
    }

    #[tokio::test]
    async fn streams_are_ordered_and_paged() {
        let cloud = TestCloud::new(operations()).await;
        let logs = &cloud.platform.ports.logs;
        for (name, at) in [("job-1/a", 30), ("job-2/a", 10), ("job-1/b", 20)] {
            let line = LogLine { at: Timestamp(at), message: "x".into() };
            logs.append("g", name, &[line]).await.unwrap();
        }
        logs.create_stream("g", "empty").await.unwrap();
        let all = async |mut document: Value| {
            document["logGroupName"] = json!("g");
            document["limit"] = json!(2);
            let mut seen = Vec::new();
            loop {
                let page = cloud.call("DescribeLogStreams", document.clone()).await.unwrap();
                seen.extend(names(&page).iter().map(|name| name.to_string()));
                let Some(token) = page.get("nextToken") else { break seen };
                document["nextToken"] = token.clone();
            }
        };
        assert_eq!(all(json!({})).await, ["empty", "job-1/a", "job-1/b", "job-2/a"]);
        assert_eq!(all(json!({"descending": true})).await, ["job-2/a", "job-1/b", "job-1/a", "empty"]);
        assert_eq!(all(json!({"logStreamNamePrefix": "job-1/"})).await, ["job-1/a", "job-1/b"]);
        let by_time = json!({"orderBy": "LastEventTime"});
        assert_eq!(all(by_time).await, ["empty", "job-2/a", "job-1/b", "job-1/a"]);
        let newest = json!({"orderBy": "LastEventTime", "descending": true});
        assert_eq!(all(newest).await, ["job-1/a", "job-1/b", "job-2/a", "empty"]);
        let mixed = json!({"logGroupName": "g", "orderBy": "LastEventTime", "logStreamNamePrefix": "j"});
        assert!(cloud.fault("DescribeLogStreams", mixed).await.contains("Cannot order by LastEventTime"));
        let token = json!({"logGroupName": "g", "nextToken": "x"});
        assert!(cloud.fault("DescribeLogStreams", token).await.contains("nextToken is invalid"));
    }
}
