//! Searching a group: lines of many streams, in order of time, that match a pattern.

use serde::Deserialize;
use serde_json::{Value, json};
use strata_base::Timestamp;
use strata_base::logs::{LINE_OVERHEAD, LogQuery, READ_BYTES, StoredLine};

use super::cursor::{Cursor, Way};
use super::events::PAGE;
use super::pattern::Pattern;
use super::{fault, group_of, invalid};
use crate::operation::{Answer, Cx};

/// Reads of about 1 MiB that one call makes in search of matches. A page may be empty and still
/// have a token, as AWS documents; so a rare match costs calls, not time in one call.
const READS: usize = 16;
/// Lines in one read.
const READ_LINES: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    #[serde(default)]
    log_stream_names: Vec<String>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    start_from_head: Option<bool>,
}

/// Gives a page of matching events, oldest first unless `startFromHead` is false.
pub async fn filter_log_events(cx: Cx, req: FilterLogEvents) -> Answer {
    let group = group_of(&cx, req.log_group_name, req.log_group_identifier)?;
    if !req.log_stream_names.is_empty() && req.log_stream_name_prefix.is_some() {
        return Err(invalid("Only one of logStreamNames and logStreamNamePrefix may be specified."));
    }
    let pattern = Pattern::parse(req.filter_pattern.as_deref().unwrap_or(""))
        .map_err(|error| invalid(error.to_string()))?;
    let way = if req.start_from_head == Some(false) { Way::Backward } else { Way::Forward };
    let mut cursor = match &req.next_token {
        None => Cursor::outermost(way),
        Some(token) => Cursor::parse(token).ok_or_else(|| invalid("The specified nextToken is invalid."))?,
    };
    let limit = req.limit.unwrap_or(PAGE);
    let mut query = LogQuery {
        group,
        streams: req.log_stream_names,
        stream_prefix: req.log_stream_name_prefix,
        from: req.start_time.map(Timestamp),
        // Inclusive here, unlike GetLogEvents.
        to: req.end_time.map(|at| Timestamp(at.saturating_add(1))),
        cursor: None,
        backward: cursor.way == Way::Backward,
        limit: if pattern.is_empty() { limit } else { READ_LINES },
    };
    let mut found: Vec<StoredLine> = Vec::new();
    let mut bytes = 0;
    let mut ended = false;
    'reads: for _ in 0..READS {
        query.cursor = Some((cursor.at, cursor.sequence));
        let mut lines = cx.platform.ports.logs.read(&query).await.map_err(fault)?;
        if lines.is_empty() {
            ended = true;
            break;
        }
        if query.backward {
            lines.reverse();
        }
        for line in lines {
            if pattern.matches(&line.message) {
                bytes += line.message.len() + LINE_OVERHEAD;
                if found.len() == limit || (bytes > READ_BYTES && !found.is_empty()) {
                    break 'reads;
                }
                cursor = Cursor::beside(cursor.way, &line);
                found.push(line);
            } else {
                cursor = Cursor::beside(cursor.way, &line);
            }
        }
    }
    let mut reply = json!({
        "events": found.iter().map(described).collect::<Vec<_>>(),
        "searchedLogStreams": [],
    });
    if !ended {
        reply["nextToken"] = json!(cursor.token());
    }
    Ok(reply.into())
}

fn described(line: &StoredLine) -> Value {
    json!({
        "logStreamName": line.stream,
        "timestamp": line.at.0,
        "message": line.message,
        "ingestionTime": line.ingested.0,
        "eventId": format!("{:020}{:036}", line.at.0, line.sequence),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use strata_base::Timestamp;
    use strata_base::logs::{LogLine, READ_BYTES};

    use crate::logs::operations;
    use crate::testing::{TestCloud, masked};

    async fn cloud() -> TestCloud {
        let cloud = TestCloud::new(operations()).await;
        for (at, stream, message) in [
            (1, "job-1/a", "starting"),
            (2, "job-2/a", "starting"),
            (3, "job-1/a", "ERROR no memory"),
            (4, "job-2/a", "WARN slow"),
            (5, "job-1/a", "done"),
        ] {
            let line = LogLine { at: Timestamp(at), message: message.into() };
            cloud.platform.ports.logs.append("g", stream, &[line]).await.unwrap();
        }
        cloud
    }

    /// Times of the events of all pages, and how many pages there were.
    async fn all(cloud: &TestCloud, mut document: Value) -> (Vec<i64>, usize) {
        document["logGroupName"] = json!("g");
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let page = cloud.call("FilterLogEvents", document.clone()).await.unwrap();
            pages += 1;
            seen.extend(
                page["events"].as_array().unwrap().iter().map(|event| event["timestamp"].as_i64().unwrap()),
            );
            let Some(token) = page.get("nextToken") else { break (seen, pages) };
            document["nextToken"] = token.clone();
        }
    }

    #[tokio::test]
    async fn streams_times_and_patterns_choose() {
        let cloud = cloud().await;
        for (document, times) in [
            (json!({}), vec![1, 2, 3, 4, 5]),
            (json!({"startFromHead": false}), vec![5, 4, 3, 2, 1]),
            (json!({"filterPattern": "?ERROR ?WARN"}), vec![3, 4]),
            (json!({"filterPattern": "-starting", "startFromHead": false}), vec![5, 4, 3]),
            (json!({"logStreamNamePrefix": "job-1/"}), vec![1, 3, 5]),
            (json!({"logStreamNames": ["job-2/a"], "filterPattern": "starting"}), vec![2]),
            (json!({"startTime": 2, "endTime": 4}), vec![2, 3, 4]),
            (json!({"filterPattern": "nothing"}), vec![]),
        ] {
            assert_eq!(all(&cloud, document.clone()).await.0, times, "{document}");
            let mut paged = document.clone();
            paged["limit"] = json!(1);
            assert_eq!(all(&cloud, paged).await.0, times, "one by one: {document}");
        }
        let one = json!({"logGroupName": "g", "startTime": 3, "endTime": 3});
        let one = cloud.call("FilterLogEvents", one).await.unwrap();
        insta::assert_json_snapshot!(masked(one, &["ingestionTime"]), @r#"
        {
          "events": [
            {
              "eventId": "00000000000000000003000000000000000000000000000000000003",
              "ingestionTime": "<ingestionTime>",
              "logStreamName": "job-1/a",
              "message": "ERROR no memory",
              "timestamp": 3
            }
          ],
          "searchedLogStreams": []
        }
        "#);
    }

    #[tokio::test]
    async fn a_page_is_bounded_in_bytes() {
        let cloud = TestCloud::new(operations()).await;
        let long = "x".repeat(READ_BYTES / 2);
        for at in 0..5 {
            let line = LogLine { at: Timestamp(at), message: format!("{at} {long}") };
            cloud.platform.ports.logs.append("g", "s", &[line]).await.unwrap();
        }
        let (times, pages) = all(&cloud, json!({"filterPattern": "x"})).await;
        assert_eq!(times, [0, 1, 2, 3, 4]);
        assert!(pages >= 5, "{pages}");
    }

    #[tokio::test]
    async fn what_cannot_be_searched_is_told() {
        let cloud = cloud().await;
        let mut said = Vec::new();
        for document in [
            json!({"logGroupName": "none"}),
            json!({"logGroupName": "g", "logStreamNames": ["none"]}),
            json!({"logGroupName": "g", "logStreamNames": ["job-1/a"], "logStreamNamePrefix": "j"}),
            json!({"logGroupName": "g", "filterPattern": "{ $.a = 1 }"}),
            json!({"logGroupName": "g", "nextToken": "x"}),
            json!({"logGroupName": "g", "logGroupIdentifier": "g"}),
        ] {
            said.push(cloud.fault("FilterLogEvents", document).await);
        }
        insta::assert_json_snapshot!(said, @r#"
        [
          "ResourceNotFoundException: The specified log group does not exist.",
          "ResourceNotFoundException: The specified log stream does not exist.",
          "InvalidParameterException: Only one of logStreamNames and logStreamNamePrefix may be specified.",
          "InvalidParameterException: Invalid filter pattern: patterns over the members of JSON events ({...}) are not understood by this cloud; use words, \"phrases\", -exclusions and ?options",
          "InvalidParameterException: The specified nextToken is invalid.",
          "InvalidParameterException: Exactly one of logGroupName and logGroupIdentifier must be specified."
        ]
        "#);
    }
}
