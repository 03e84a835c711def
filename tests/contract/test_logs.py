"""CloudWatch Logs: what is written is read back, in order, from both ends."""

import time
import uuid

import pytest
from botocore.exceptions import ClientError


def now():
    return int(time.time() * 1000)


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture
def logs(client):
    return client("logs")


@pytest.fixture
def group(logs):
    name = f"/contract/{uuid.uuid4().hex[:8]}"
    logs.create_log_group(logGroupName=name)
    yield name
    try:
        logs.delete_log_group(logGroupName=name)
    except logs.exceptions.ResourceNotFoundException:
        pass


def put(logs, group, stream, messages, start=None):
    """Writes messages, one a millisecond, to a stream that is made where missing."""
    try:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    except logs.exceptions.ResourceAlreadyExistsException:
        pass
    start = start or now()
    events = [{"timestamp": start + i, "message": message} for i, message in enumerate(messages)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def messages(page):
    return [event["message"] for event in page["events"]]


def test_groups_come_and_go(logs, group):
    refused("ResourceAlreadyExistsException", logs.create_log_group, logGroupName=group)
    (seen,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert seen["arn"] == f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*"
    assert abs(seen["creationTime"] - now()) < 60_000
    logs.delete_log_group(logGroupName=group)
    message = refused("ResourceNotFoundException", logs.delete_log_group, logGroupName=group)
    assert message == "The specified log group does not exist."


def test_groups_are_listed_in_pages(logs, group):
    names = [f"{group}/{i}" for i in range(3)]
    for name in names:
        logs.create_log_group(logGroupName=name)
    pages = logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix=f"{group}/", PaginationConfig={"PageSize": 2}
    )
    assert [[seen["logGroupName"] for seen in page["logGroups"]] for page in pages] == [names[:2], names[2:]]
    for name in names:
        logs.delete_log_group(logGroupName=name)


def test_streams_send_no_token_unless_more_follow(logs, group):
    for i in range(3):
        put(logs, group, f"job/algo-{i}", ["x"], start=now() - i * 1000)
    put(logs, group, "other", ["x"], start=now() - 10_000)
    page = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="job/", limit=3)
    assert [stream["logStreamName"] for stream in page["logStreams"]] == [f"job/algo-{i}" for i in range(3)]
    assert "nextToken" not in page
    assert "nextToken" in logs.describe_log_streams(logGroupName=group, limit=3)
    newest = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)
    names = [stream["logStreamName"] for stream in newest["logStreams"]]
    assert names == ["job/algo-0", "job/algo-1", "job/algo-2", "other"]
    assert newest["logStreams"][0]["lastEventTimestamp"] == newest["logStreams"][0]["firstEventTimestamp"]


def test_a_stream_is_followed_to_an_empty_page(logs, group):
    put(logs, group, "s", [str(i) for i in range(10)])
    seen, token = [], {}
    while True:
        page = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True, limit=4, **token)
        if not page["events"]:
            break
        seen += messages(page)
        token = {"nextToken": page["nextForwardToken"]}
    assert seen == [str(i) for i in range(10)]
    assert page["nextForwardToken"] == token["nextToken"]
    put(logs, group, "s", ["later"], start=now() + 1000)
    page = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True, **token)
    assert messages(page) == ["later"]


def test_a_stream_is_read_from_its_end(logs, group):
    put(logs, group, "s", ["a", "b", "c"])
    last = logs.get_log_events(logGroupName=group, logStreamName="s", limit=2)
    assert messages(last) == ["b", "c"]
    before = logs.get_log_events(logGroupName=group, logStreamName="s", nextToken=last["nextBackwardToken"])
    assert messages(before) == ["a"]


def test_texts_come_back_as_they_went_in(logs, group):
    texts = ["tab\there", "Grüße 🦀", '{"json": "text"}', "<xml/> & more", "two\nlines", " "]
    put(logs, group, "s", texts)
    assert messages(logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)) == texts


def test_events_too_old_or_too_new_are_told(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    hour = 3_600_000
    times = [now() - 400 * hour, now(), now() + 3 * hour]
    reply = logs.put_log_events(
        logGroupName=group,
        logStreamName="s",
        logEvents=[{"timestamp": at, "message": "x"} for at in times],
    )
    assert reply["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2}
    assert len(logs.get_log_events(logGroupName=group, logStreamName="s")["events"]) == 1


def test_a_batch_must_be_in_order_and_of_bounded_size(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    where = {"logGroupName": group, "logStreamName": "s"}
    back = [{"timestamp": now(), "message": "x"}, {"timestamp": now() - 1000, "message": "x"}]
    message = refused("InvalidParameterException", logs.put_log_events, logEvents=back, **where)
    assert "chronological order" in message
    large = [{"timestamp": now(), "message": "x" * 300_000}] * 4
    message = refused("InvalidParameterException", logs.put_log_events, logEvents=large, **where)
    assert message == "Upload too large: 1200104 bytes exceeds limit of 1048576"


def test_writing_needs_group_and_stream(logs, group):
    event = [{"timestamp": now(), "message": "x"}]
    message = refused(
        "ResourceNotFoundException", logs.put_log_events, logGroupName=group, logStreamName="none", logEvents=event
    )
    assert message == "The specified log stream does not exist."
    message = refused(
        "ResourceNotFoundException", logs.get_log_events, logGroupName=group + "x", logStreamName="none"
    )
    assert message == "The specified log group does not exist."


@pytest.mark.parametrize(
    "pattern, found",
    [
        ("", ["starting", "ERROR: no memory", "WARN slow", "ERROR: timeout"]),
        ("ERROR", ["ERROR: no memory", "ERROR: timeout"]),
        ("ERROR timeout", ["ERROR: timeout"]),
        ('"no memory"', ["ERROR: no memory"]),
        ("ERROR -timeout", ["ERROR: no memory"]),
        ("?WARN ?starting", ["starting", "WARN slow"]),
    ],
)
def test_a_group_is_searched_over_its_streams(logs, group, pattern, found):
    start = now()
    put(logs, group, "a", ["starting", "ERROR: no memory"], start)
    put(logs, group, "b", ["WARN slow", "ERROR: timeout"], start + 10)
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, filterPattern=pattern, PaginationConfig={"PageSize": 1}
    )
    events = [event for page in pages for event in page["events"]]
    assert [event["message"] for event in events] == found
    assert len({event["eventId"] for event in events}) == len(found)


def test_patterns_over_json_are_refused_by_name(logs, group):
    message = refused(
        "InvalidParameterException", logs.filter_log_events, logGroupName=group, filterPattern='{ $.a = "b" }'
    )
    assert "JSON" in message


def test_names_are_validated(logs):
    refused("InvalidParameterException", logs.create_log_group, logGroupName="with space")
