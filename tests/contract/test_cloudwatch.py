"""CloudWatch: numbers that were put come back as statistics."""

import datetime
import uuid

import pytest
from botocore.exceptions import ClientError


def minute(ago=0):
    now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    return now - datetime.timedelta(minutes=ago)


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture
def cloudwatch(client):
    return client("cloudwatch")


@pytest.fixture
def namespace():
    return f"Contract/{uuid.uuid4().hex[:8]}"


def put(cloudwatch, namespace, *data):
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{"MetricName": "m", **datum} for datum in data])


def statistics(cloudwatch, namespace, start, **more):
    arguments = {"MetricName": "m", "EndTime": minute(-1), "Period": 60, **more}
    reply = cloudwatch.get_metric_statistics(Namespace=namespace, StartTime=start, **arguments)
    return sorted(reply["Datapoints"], key=lambda point: point["Timestamp"])


def test_values_become_statistics(cloudwatch, namespace):
    start = minute(ago=10)
    put(
        cloudwatch,
        namespace,
        {"Timestamp": start, "Value": 1.5, "Unit": "Count"},
        {"Timestamp": start, "Values": [2, 4], "Counts": [3, 1], "Unit": "Count"},
        {
            "Timestamp": minute(ago=9),
            "StatisticValues": {"SampleCount": 2, "Sum": 30, "Minimum": 10, "Maximum": 20},
            "Unit": "Count",
        },
    )
    first, second = statistics(
        cloudwatch, namespace, start, Statistics=["Average", "Sum", "Minimum", "Maximum", "SampleCount"]
    )
    assert first == {
        "Timestamp": start, "Unit": "Count", "SampleCount": 5, "Sum": 11.5, "Average": 2.3, "Minimum": 1.5,
        "Maximum": 4,
    }
    assert (second["SampleCount"], second["Average"]) == (2, 15)
    (whole,) = statistics(cloudwatch, namespace, start, Statistics=["Sum"], Period=3600)
    assert (whole["Sum"], whole["Timestamp"]) == (41.5, start)


def test_percentiles_of_single_values(cloudwatch, namespace):
    start = minute(ago=10)
    put(cloudwatch, namespace, {"Timestamp": start, "Values": [float(i) for i in range(1, 101)]})
    (point,) = statistics(cloudwatch, namespace, start, ExtendedStatistics=["p50", "p99", "p100"])
    assert point["ExtendedStatistics"] == {"p50": 50, "p99": 99, "p100": 100}


def test_dimensions_tell_series_apart(cloudwatch, namespace):
    one, two = ([{"Name": "d", "Value": value}] for value in "12")
    start = minute(ago=5)
    put(
        cloudwatch,
        namespace,
        {"Timestamp": start, "Value": 1, "Dimensions": one},
        {"Timestamp": start, "Value": 2, "Dimensions": two},
    )
    (point,) = statistics(cloudwatch, namespace, start, Statistics=["Sum"], Dimensions=two)
    assert point["Sum"] == 2
    assert statistics(cloudwatch, namespace, start, Statistics=["Sum"]) == []
    listed = cloudwatch.list_metrics(Namespace=namespace, Dimensions=[{"Name": "d"}])["Metrics"]
    assert listed == [{"Namespace": namespace, "MetricName": "m", "Dimensions": dimensions} for dimensions in (one, two)]
    assert cloudwatch.list_metrics(Namespace=namespace, RecentlyActive="PT3H")["Metrics"] == listed
    assert cloudwatch.list_metrics(Namespace=namespace, MetricName="none")["Metrics"] == []


def test_metric_data_pages(cloudwatch, namespace):
    start = minute(ago=10)
    put(
        cloudwatch,
        namespace,
        *[{"Timestamp": minute(ago=10 - i), "Value": i} for i in range(5)],
        *[{"MetricName": "n", "Timestamp": minute(ago=10 - i), "Value": 10 * i} for i in range(5)],
    )
    queries = [
        {
            "Id": f"q_{name}",
            "Label": f"the {name}",
            "MetricStat": {"Metric": {"Namespace": namespace, "MetricName": name}, "Period": 60, "Stat": "Maximum"},
        }
        for name in ("m", "n", "none")
    ]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=start, EndTime=minute(), ScanBy="TimestampAscending", MaxDatapoints=3
    )
    values, times = {}, {}
    for page in pages:
        for result in page["MetricDataResults"]:
            assert result["Label"] == "the " + result["Id"][2:]
            values.setdefault(result["Id"], []).extend(result["Values"])
            times.setdefault(result["Id"], []).extend(result["Timestamps"])
    assert values == {"q_m": [0, 1, 2, 3, 4], "q_n": [0, 10, 20, 30, 40], "q_none": []}
    assert times["q_m"] == [minute(ago=10 - i) for i in range(5)]


def test_newest_comes_first_unless_asked_otherwise(cloudwatch, namespace):
    put(cloudwatch, namespace, *[{"Timestamp": minute(ago=5 - i), "Value": i} for i in range(3)])
    stat = {"Metric": {"Namespace": namespace, "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    (result,) = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "q", "MetricStat": stat}], StartTime=minute(ago=10), EndTime=minute()
    )["MetricDataResults"]
    assert (result["Values"], result["StatusCode"], result["Label"]) == ([2, 1, 0], "Complete", "m")


def test_what_cannot_be_put_is_named(cloudwatch, namespace):
    def datum(**members):
        return {"Namespace": namespace, "MetricData": [{"MetricName": "m", **members}]}

    put_metric_data = cloudwatch.put_metric_data
    message = refused("InvalidParameterValue", put_metric_data, **datum(Value=float("nan")))
    assert "MetricData.member.1.Value" in message
    refused("InvalidParameterValue", put_metric_data, **datum(Value=float("inf")))
    refused("InvalidParameterCombination", put_metric_data, **datum(Value=1, Values=[1]))
    refused("InvalidParameterValue", put_metric_data, **datum(Value=1, Timestamp=minute(ago=60 * 24 * 15)))
    refused("InvalidParameterValue", put_metric_data, Namespace="AWS/SageMaker", MetricData=[{"MetricName": "m", "Value": 1}])
    assert cloudwatch.list_metrics(Namespace=namespace)["Metrics"] == []


def test_what_cannot_be_asked_is_named(cloudwatch, namespace):
    ask = {"Namespace": namespace, "MetricName": "m", "StartTime": minute(ago=5), "EndTime": minute()}
    call = cloudwatch.get_metric_statistics
    refused("InvalidParameterValue", call, **ask, Period=61, Statistics=["Sum"])
    refused("InvalidParameterCombination", call, **{**ask, "StartTime": minute(-5)}, Period=60, Statistics=["Sum"])
    refused("InvalidParameterCombination", call, **{**ask, "StartTime": minute(60 * 48)}, Period=60, Statistics=["Sum"])
    message = refused(
        "ValidationError",
        cloudwatch.get_metric_data,
        MetricDataQueries=[{"Id": "e", "Expression": "a + b"}],
        StartTime=minute(ago=5),
        EndTime=minute(),
    )
    assert "MetricStat" in message
