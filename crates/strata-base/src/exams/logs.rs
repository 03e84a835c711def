//! The exam of the `Logs` port.

use crate::Timestamp;
use crate::logs::{LogLine, LogQuery, Logs, LogsError, READ_BYTES, StoredLine};

/// Every question; each uses groups of its own.
pub async fn all(logs: &dyn Logs) {
    groups_are_listed_by_name(logs).await;
    streams_tell_what_they_hold(logs).await;
    what_is_missing_is_named(logs).await;
    lines_come_in_order_of_time_then_arrival(logs).await;
    cursors_page_both_ways(logs).await;
    streams_are_chosen_by_name_and_prefix(logs).await;
    deleting_takes_the_lines_along(logs).await;
    any_text_is_kept(logs).await;
    one_read_is_bounded(logs).await;
}

fn line(at: i64, message: &str) -> LogLine {
    LogLine { at: Timestamp(at), message: message.into() }
}

fn query(group: &str) -> LogQuery {
    LogQuery { group: group.into(), limit: 1000, ..LogQuery::default() }
}

fn messages(lines: &[StoredLine]) -> Vec<&str> {
    lines.iter().map(|line| line.message.as_str()).collect()
}

pub async fn groups_are_listed_by_name(logs: &dyn Logs) {
    for name in ["list/b", "list/a", "list/c", "other", "list%"] {
        logs.create_group(name).await.unwrap();
    }
    let again = logs.create_group("list/a").await.unwrap_err();
    assert!(matches!(again, LogsError::Exists(ref name) if name == "list/a"), "{again}");
    let names = async |prefix, after, limit| -> Vec<String> {
        let groups = logs.groups(prefix, after, limit).await.unwrap();
        groups.into_iter().map(|group| group.name).collect()
    };
    assert_eq!(names("list/", None, 10).await, ["list/a", "list/b", "list/c"]);
    assert_eq!(names("list/", None, 2).await, ["list/a", "list/b"]);
    assert_eq!(names("list/", Some("list/b"), 2).await, ["list/c"]);
    assert_eq!(names("list%", None, 9).await, ["list%"]);
    assert!(names("none", None, 9).await.is_empty());
}

pub async fn streams_tell_what_they_hold(logs: &dyn Logs) {
    let group = "tell";
    logs.append(group, "job/algo-1", &[line(20, "12345678"), line(10, "ab")]).await.unwrap();
    logs.append(group, "job/algo-1", &[line(15, "c")]).await.unwrap();
    logs.create_stream(group, "empty").await.unwrap();
    let streams = logs.streams(group, "").await.unwrap();
    assert_eq!(
        streams.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(),
        ["empty", "job/algo-1"]
    );
    assert_eq!((streams[0].first, streams[0].last, streams[0].ingested), (None, None, None));
    assert_eq!((streams[1].first, streams[1].last), (Some(Timestamp(10)), Some(Timestamp(20))));
    assert!(streams[1].ingested.is_some_and(|at| at >= streams[1].created));
    assert_eq!(logs.streams(group, "job/").await.unwrap().len(), 1);
    assert_eq!(logs.groups(group, None, 1).await.unwrap()[0].bytes, 8 + 2 + 1 + 3 * 26);
    // An empty stream learns its times with its first lines.
    logs.append(group, "empty", &[]).await.unwrap();
    logs.append(group, "empty", &[line(7, "x")]).await.unwrap();
    let empty = &logs.streams(group, "empty").await.unwrap()[0];
    assert_eq!((empty.first, empty.last), (Some(Timestamp(7)), Some(Timestamp(7))));
}

pub async fn what_is_missing_is_named(logs: &dyn Logs) {
    let no_group = |outcome: LogsError| {
        assert!(matches!(outcome, LogsError::NoGroup(ref name) if name == "nowhere"), "{outcome}");
    };
    no_group(logs.delete_group("nowhere").await.unwrap_err());
    no_group(logs.create_stream("nowhere", "s").await.unwrap_err());
    no_group(logs.delete_stream("nowhere", "s").await.unwrap_err());
    no_group(logs.streams("nowhere", "").await.unwrap_err());
    no_group(logs.read(&query("nowhere")).await.unwrap_err());
    logs.create_group("somewhere").await.unwrap();
    logs.create_stream("somewhere", "s").await.unwrap();
    assert!(matches!(logs.create_stream("somewhere", "s").await, Err(LogsError::Exists(_))));
    assert!(matches!(logs.delete_stream("somewhere", "t").await, Err(LogsError::NoStream(_))));
    let named = LogQuery { streams: vec!["s".into(), "t".into()], ..query("somewhere") };
    let missing = logs.read(&named).await.unwrap_err();
    assert!(matches!(missing, LogsError::NoStream(ref name) if name == "t"), "{missing}");
    assert!(logs.read(&query("somewhere")).await.unwrap().is_empty());
}

pub async fn lines_come_in_order_of_time_then_arrival(logs: &dyn Logs) {
    let group = "order";
    logs.append(group, "a", &[line(2, "a2"), line(1, "a1"), line(2, "a2 again")]).await.unwrap();
    logs.append(group, "b", &[line(2, "b2"), line(0, "b0")]).await.unwrap();
    let lines = logs.read(&query(group)).await.unwrap();
    assert_eq!(messages(&lines), ["b0", "a1", "a2", "a2 again", "b2"]);
    assert_eq!(lines[0].stream, "b");
    assert!(lines[2].sequence < lines[3].sequence && lines[3].sequence < lines[4].sequence);
    // From is inclusive, to exclusive.
    let middle = LogQuery { from: Some(Timestamp(1)), to: Some(Timestamp(2)), ..query(group) };
    assert_eq!(messages(&logs.read(&middle).await.unwrap()), ["a1"]);
}

pub async fn cursors_page_both_ways(logs: &dyn Logs) {
    let group = "pages";
    let lines: Vec<LogLine> = (0..25).map(|i| line(i / 3, &i.to_string())).collect();
    logs.append(group, "s", &lines).await.unwrap();
    for streams in [vec![], vec!["s".to_string()]] {
        for backward in [false, true] {
            let mut page = LogQuery { limit: 4, backward, streams: streams.clone(), ..query(group) };
            let mut seen: Vec<i32> = Vec::new();
            loop {
                let lines = logs.read(&page).await.unwrap();
                let edge = if backward { lines.first() } else { lines.last() };
                let Some(edge) = edge else { break };
                page.cursor = Some((edge.at.0, edge.sequence));
                let numbers = lines.iter().map(|line| line.message.parse::<i32>().unwrap());
                if backward {
                    seen.splice(0..0, numbers)
                } else {
                    seen.splice(seen.len().., numbers)
                };
            }
            assert_eq!(seen, (0..25).collect::<Vec<_>>(), "backward: {backward}");
        }
    }
}

pub async fn streams_are_chosen_by_name_and_prefix(logs: &dyn Logs) {
    let group = "choose";
    for (at, stream) in [(1, "job-1/a"), (2, "job-1/b"), (3, "job-10/a"), (4, "job_1/a")] {
        logs.append(group, stream, &[line(at, stream)]).await.unwrap();
    }
    let prefixed = LogQuery { stream_prefix: Some("job-1/".into()), ..query(group) };
    assert_eq!(messages(&logs.read(&prefixed).await.unwrap()), ["job-1/a", "job-1/b"]);
    let named = LogQuery { streams: vec!["job_1/a".into(), "job-1/b".into()], ..query(group) };
    assert_eq!(messages(&logs.read(&named).await.unwrap()), ["job-1/b", "job_1/a"]);
}

pub async fn deleting_takes_the_lines_along(logs: &dyn Logs) {
    let group = "delete";
    logs.append(group, "keep", &[line(1, "kept")]).await.unwrap();
    logs.append(group, "drop", &[line(1, "dropped"), line(2, "dropped too")]).await.unwrap();
    logs.delete_stream(group, "drop").await.unwrap();
    assert_eq!(messages(&logs.read(&query(group)).await.unwrap()), ["kept"]);
    assert_eq!(logs.groups(group, None, 1).await.unwrap()[0].bytes, 4 + 26);
    logs.delete_group(group).await.unwrap();
    assert!(matches!(logs.read(&query(group)).await, Err(LogsError::NoGroup(_))));
    logs.create_group(group).await.unwrap();
    assert!(logs.streams(group, "").await.unwrap().is_empty());
    assert!(logs.read(&query(group)).await.unwrap().is_empty());
}

pub async fn any_text_is_kept(logs: &dyn Logs) {
    let group = "text";
    let texts =
        ["tab\tand\nnewline", "nul \0 inside", "quote ' and \" and \\", "Grüße 🦀", "\u{10FFFF}", " "];
    let lines: Vec<LogLine> = (0..).zip(texts).map(|(at, text)| line(at, text)).collect();
    logs.append(group, "s", &lines).await.unwrap();
    assert_eq!(messages(&logs.read(&query(group)).await.unwrap()), texts);
}

pub async fn one_read_is_bounded(logs: &dyn Logs) {
    let group = "bounded";
    let long = "x".repeat(READ_BYTES / 4);
    logs.append(group, "s", &vec![line(1, &long); 8]).await.unwrap();
    logs.append(group, "s", &[line(2, &"y".repeat(2 * READ_BYTES))]).await.unwrap();
    let first = logs.read(&query(group)).await.unwrap();
    assert_eq!(first.len(), 3);
    let last = LogQuery { backward: true, ..query(group) };
    assert_eq!(logs.read(&last).await.unwrap()[0].message.len(), 2 * READ_BYTES);
}
