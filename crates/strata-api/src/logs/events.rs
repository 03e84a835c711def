//! Writing lines to a stream and reading it back, page by page.

use serde::Deserialize;
use serde_json::{Value, json};
use strata_base::Timestamp;
use strata_base::logs::{LINE_OVERHEAD, LogLine, LogQuery, StoredLine};
use strata_wire::Fault;

use super::cursor::{Cursor, Way};
use super::{fault, group_of, invalid};
use crate::operation::{Answer, Cx};

/// AWS's bounds on one call.
const CALL_BYTES: usize = 1_048_576;
const HOUR_MS: i64 = 3_600_000;
const TOO_OLD_MS: i64 = 14 * 24 * HOUR_MS;
const TOO_NEW_MS: i64 = 2 * HOUR_MS;
/// Most events in one page.
pub const PAGE: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutLogEvents {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<InputLogEvent>,
    entity: Option<Value>,
}

#[derive(Deserialize)]
pub struct InputLogEvent {
    timestamp: i64,
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: String,
    start_time: Option<i64>,
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    start_from_head: bool,
}

/// Appends events that are neither too old nor too new, and tells which were.
pub async fn put_log_events(cx: Cx, req: PutLogEvents) -> Answer {
    let now = Timestamp::now();
    let accepted = accept(&req.log_events, now)?;
    // Unlike the cloud's own writers, a caller must have made group and stream.
    let there = LogQuery {
        group: req.log_group_name.clone(),
        streams: vec![req.log_stream_name.clone()],
        limit: 0,
        ..LogQuery::default()
    };
    cx.platform.ports.logs.read(&there).await.map_err(fault)?;

    let mut reply = json!({ "nextSequenceToken": format!("{:056}", now.0) });
    if accepted.start > 0 {
        reply["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"] = json!(accepted.start);
    }
    if accepted.end < req.log_events.len() {
        reply["rejectedLogEventsInfo"]["tooNewLogEventStartIndex"] = json!(accepted.end);
    }
    if req.entity.is_some() {
        // Events are taken all the same, as AWS does with entities that it cannot use.
        reply["rejectedEntityInfo"] = json!({ "errorType": "UnsupportedLogGroupType" });
    }
    let (skipped, taken) = (accepted.start, accepted.len());
    let events = req.log_events.into_iter().skip(skipped).take(taken);
    let lines: Vec<LogLine> =
        events.map(|event| LogLine { at: Timestamp(event.timestamp), message: event.message }).collect();
    if !lines.is_empty() {
        let logs = &cx.platform.ports.logs;
        logs.append(&req.log_group_name, &req.log_stream_name, &lines).await.map_err(fault)?;
    }
    Ok(reply.into())
}

/// Which events of a call are stored: those between the too old and the too new.
fn accept(events: &[InputLogEvent], now: Timestamp) -> Result<std::ops::Range<usize>, Fault> {
    let bytes: usize = events.iter().map(|event| event.message.len() + LINE_OVERHEAD).sum();
    if bytes > CALL_BYTES {
        return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {CALL_BYTES}")));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        let message = "Log events in a single PutLogEvents request must be in chronological order.";
        return Err(invalid(message));
    }
    let start = events.partition_point(|event| event.timestamp < now.0 - TOO_OLD_MS);
    let end = events.partition_point(|event| event.timestamp <= now.0 + TOO_NEW_MS);
    if let Some([first, .., last]) = events.get(start..end)
        && last.timestamp - first.timestamp > 24 * HOUR_MS
    {
        let message =
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.";
        return Err(invalid(message));
    }
    Ok(start..end)
}

/// Reads a page of one stream. Both tokens are always given; at an end the page is empty and its
/// token is the one that was passed.
pub async fn get_log_events(cx: Cx, req: GetLogEvents) -> Answer {
    let group = group_of(&cx, req.log_group_name, req.log_group_identifier)?;
    let head = if req.start_from_head { Way::Forward } else { Way::Backward };
    let from = match &req.next_token {
        None => Cursor::outermost(head),
        Some(token) => Cursor::parse(token).ok_or_else(|| invalid("The specified nextToken is invalid."))?,
    };
    let query = LogQuery {
        group,
        streams: vec![req.log_stream_name],
        stream_prefix: None,
        from: req.start_time.map(Timestamp),
        to: req.end_time.map(Timestamp),
        cursor: Some((from.at, from.sequence)),
        backward: from.way == Way::Backward,
        limit: req.limit.unwrap_or(PAGE),
    };
    let lines = cx.platform.ports.logs.read(&query).await.map_err(fault)?;
    let (forward, backward) = match (&*lines, from.way) {
        ([first, .., last], _) => (Cursor::beside(Way::Forward, last), Cursor::beside(Way::Backward, first)),
        ([only], _) => (Cursor::beside(Way::Forward, only), Cursor::beside(Way::Backward, only)),
        // An empty stream read from its end: who follows it wants what comes, from the start.
        ([], Way::Backward) if req.next_token.is_none() => (Cursor::outermost(Way::Forward), from),
        ([], Way::Forward) => (from, from.turned()),
        ([], Way::Backward) => (from.turned(), from),
    };
    Ok(json!({
        "events": lines.iter().map(described).collect::<Vec<_>>(),
        "nextForwardToken": forward.token(),
        "nextBackwardToken": backward.token(),
    })
    .into())
}

fn described(line: &StoredLine) -> Value {
    json!({ "timestamp": line.at.0, "message": line.message, "ingestionTime": line.ingested.0 })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strata_base::Timestamp;

    use super::*;
    use crate::logs::operations;
    use crate::testing::{TestCloud, masked};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    async fn cloud_with_stream() -> TestCloud {
        let cloud = TestCloud::new(operations()).await;
        cloud.call("CreateLogGroup", json!({"logGroupName": "g"})).await.unwrap();
        cloud.call("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"})).await.unwrap();
        cloud
    }

    /// Puts lines `from..to`, one a millisecond.
    async fn put(cloud: &TestCloud, start: i64, from: i64, to: i64) -> Value {
        let events: Vec<Value> =
            (from..to).map(|i| json!({"timestamp": start + i, "message": i.to_string()})).collect();
        let document = json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events});
        cloud.call("PutLogEvents", document).await.unwrap()
    }

    fn messages(page: &Value) -> Vec<i64> {
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["message"].as_str().unwrap().parse().unwrap()).collect()
    }

    async fn page(cloud: &TestCloud, more: Value) -> Value {
        let mut document = json!({"logGroupName": "g", "logStreamName": "s"});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        cloud.call("GetLogEvents", document).await.unwrap()
    }

    #[tokio::test]
    async fn a_stream_is_read_forward_to_an_empty_page() {
        let cloud = cloud_with_stream().await;
        put(&cloud, Timestamp::now().0, 0, 10).await;
        let mut token = json!(null);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let page = page(&cloud, json!({"startFromHead": true, "limit": 4, "nextToken": token})).await;
            seen.extend(messages(&page));
            token = page["nextForwardToken"].clone();
        }
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        let end = page(&cloud, json!({"startFromHead": true, "nextToken": token})).await;
        assert_eq!((messages(&end), &end["nextForwardToken"]), (vec![], &token));
        // The way back from the end starts with the last line.
        let back = page(&cloud, json!({"limit": 2, "nextToken": end["nextBackwardToken"]})).await;
        assert_eq!(messages(&back), [8, 9]);
        // What arrives later is found from the same token.
        put(&cloud, Timestamp::now().0 + 1000, 10, 12).await;
        let later = page(&cloud, json!({"startFromHead": true, "nextToken": token})).await;
        assert_eq!(messages(&later), [10, 11]);
    }

    #[tokio::test]
    async fn a_stream_is_read_from_its_end() {
        let cloud = cloud_with_stream().await;
        let empty = page(&cloud, json!({})).await;
        assert_eq!(messages(&empty), Vec::<i64>::new());
        put(&cloud, Timestamp::now().0, 0, 5).await;
        let followed = page(&cloud, json!({"nextToken": empty["nextForwardToken"]})).await;
        assert_eq!(messages(&followed), [0, 1, 2, 3, 4]);
        let last = page(&cloud, json!({"limit": 2})).await;
        assert_eq!(messages(&last), [3, 4]);
        let before = page(&cloud, json!({"limit": 5, "nextToken": last["nextBackwardToken"]})).await;
        assert_eq!(messages(&before), [0, 1, 2]);
        let start = page(&cloud, json!({"nextToken": before["nextBackwardToken"]})).await;
        assert_eq!(messages(&start), Vec::<i64>::new());
        assert_eq!(start["nextBackwardToken"], before["nextBackwardToken"]);
        let again = page(&cloud, json!({"nextToken": start["nextForwardToken"], "limit": 1})).await;
        assert_eq!(messages(&again), [0]);
    }

    #[tokio::test]
    async fn times_bound_what_is_read() {
        let cloud = cloud_with_stream().await;
        let start = Timestamp::now().0;
        put(&cloud, start, 0, 10).await;
        let some = page(&cloud, json!({"startTime": start + 3, "endTime": start + 6})).await;
        assert_eq!(messages(&some), [3, 4, 5]);
        let masks = ["timestamp", "ingestionTime", "nextForwardToken", "nextBackwardToken"];
        let one = page(&cloud, json!({"startTime": start, "endTime": start + 1})).await;
        insta::assert_json_snapshot!(masked(one, &masks), @r#"
        {
          "events": [
            {
              "ingestionTime": "<ingestionTime>",
              "message": "0",
              "timestamp": "<timestamp>"
            }
          ],
          "nextBackwardToken": "<nextBackwardToken>",
          "nextForwardToken": "<nextForwardToken>"
        }
        "#);
    }

    #[tokio::test]
    async fn what_cannot_be_stored_is_told() {
        let cloud = cloud_with_stream().await;
        let now = Timestamp::now().0;
        let hours = |hours: i64| json!({"timestamp": now + hours * HOUR_MS, "message": "x"});
        let put = async |events: Vec<Value>| {
            let document = json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events});
            cloud.call("PutLogEvents", document).await
        };
        let old_and_new = put(vec![hours(-400), hours(-337), hours(0), hours(3)]).await.unwrap();
        let info = &old_and_new["rejectedLogEventsInfo"];
        assert_eq!(*info, json!({"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 3}));
        assert_eq!(page(&cloud, json!({})).await["events"].as_array().unwrap().len(), 1);
        let said = [
            put(vec![hours(0), hours(-1)]).await.unwrap_err().to_string(),
            put(vec![hours(-25), hours(0)]).await.unwrap_err().to_string(),
            put(vec![json!({"timestamp": now, "message": "x".repeat(CALL_BYTES)})])
                .await
                .unwrap_err()
                .to_string(),
            cloud
                .fault(
                    "PutLogEvents",
                    json!({"logGroupName": "g", "logStreamName": "none", "logEvents": [hours(0)]}),
                )
                .await,
            cloud.fault("GetLogEvents", json!({"logGroupName": "none", "logStreamName": "s"})).await,
            cloud
                .fault(
                    "GetLogEvents",
                    json!({"logGroupName": "g", "logStreamName": "s", "nextToken": "f/x/s"}),
                )
                .await,
        ];
        insta::assert_json_snapshot!(said, @r#"
        [
          "InvalidParameterException: Log events in a single PutLogEvents request must be in chronological order.",
          "InvalidParameterException: The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
          "InvalidParameterException: Upload too large: 1048602 bytes exceeds limit of 1048576",
          "ResourceNotFoundException: The specified log stream does not exist.",
          "ResourceNotFoundException: The specified log group does not exist.",
          "InvalidParameterException: The specified nextToken is invalid."
        ]
        "#);
    }

    #[test]
    fn the_bounds_of_time_are_awss() {
        let at = |timestamp: i64| InputLogEvent { timestamp: NOW.0 + timestamp, message: "x".into() };
        assert_eq!(accept(&[at(-TOO_OLD_MS), at(-TOO_OLD_MS + 1)], NOW).unwrap(), 0..2);
        assert_eq!(accept(&[at(-TOO_OLD_MS - 1)], NOW).unwrap(), 1..1);
        assert_eq!(accept(&[at(TOO_NEW_MS), at(TOO_NEW_MS + 1)], NOW).unwrap(), 0..1);
        // Rejected events do not count to the span.
        assert_eq!(accept(&[at(-2 * TOO_OLD_MS), at(0)], NOW).unwrap(), 1..2);
        let far = InputLogEvent { timestamp: i64::MAX, message: "x".into() };
        assert_eq!(accept(&[at(0), far], NOW).unwrap(), 0..1);
    }
}
