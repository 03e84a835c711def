"""Training jobs in motion: stop, time limits, inputs of every kind."""

import gzip
import io
import json
import tarfile

import pytest
import xgboost
from jobs import IMAGES, ask, channel, deploy, finished, in_status, model, refused, start, train

LONG = {"objective": "multi:softprob", "num_class": 10, "num_round": 100_000, "max_depth": 3}
WINE = {"objective": "multi:softmax", "num_class": 3, "num_round": 2}


def saved_booster(s3, job):
    bucket, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
    packed = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        content = tar.extractfile("xgboost-model").read()
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    return booster


def rounds_logged(logs, name):
    """The rounds that a job's log tells of so far."""
    group = "/aws/sagemaker/TrainingJobs"
    try:
        found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix=f"{name}/", filterPattern="#011train-")
        return len(found["events"])
    except logs.exceptions.ResourceNotFoundException:
        return 0


def test_stop_keeps_what_was_saved(s3, sm, client, runtime, bucket, data):
    from clouds import wait_until

    logs = client("logs")
    name = start(sm, bucket, "xgboost", "digits", **LONG)
    in_status(sm, name, "Training")
    wait_until("some rounds are done", lambda: rounds_logged(logs, name) >= 3, 60)
    sm.stop_training_job(TrainingJobName=name)
    assert sm.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] in ("Stopping", "Stopped")
    job = finished(sm, name, 30)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped", job
    words = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert "Stopping" in words and words[-1] == "Stopped", words
    booster = saved_booster(s3, job)
    assert 1 <= booster.num_boosted_rounds() < LONG["num_round"]
    # What was saved can be served.
    row = (data / "digits" / "test.csv").read_text().splitlines()[0].split(",", 1)[1]
    endpoint = deploy(sm, {"only": (model(sm, "xgboost", job["ModelArtifacts"]["S3ModelArtifacts"]), 1)})
    assert ask(runtime, endpoint, row)[1] == "only"
    refused("ValidationException", sm.stop_training_job, TrainingJobName=name)


def test_time_limit(s3, sm, bucket):
    name = start(sm, bucket, "xgboost", "digits", more={"StoppingCondition": {"MaxRuntimeInSeconds": 2}}, **LONG)
    job = finished(sm, name, 60)
    assert job["TrainingJobStatus"] == "Stopped" and job["SecondaryStatus"] == "MaxRuntimeExceeded", job
    assert saved_booster(s3, job).num_boosted_rounds() >= 1
    assert 1 <= job["TrainingTimeInSeconds"] < 30


def test_stop_before_it_runs(sm, bucket):
    """More jobs than places: one that waits can be stopped too."""
    names = [start(sm, bucket, "xgboost", "digits", **LONG) for _ in range(5)]
    for name in reversed(names):
        sm.stop_training_job(TrainingJobName=name)
    for name in names:
        assert finished(sm, name)["TrainingJobStatus"] == "Stopped"


def put(s3, bucket, unique, files):
    """Stores files under one new prefix; returns it."""
    prefix = unique("input")
    for name, body in files.items():
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
    return f"s3://{bucket}/{prefix}"


def first_metric(sm, bucket, channels):
    job = train(
        sm, bucket, "xgboost", "wine", more={"InputDataConfig": channels}, objective="multi:softprob", num_class=3,
        num_round=3, eval_metric="mlogloss",
    )
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    return metrics["train:mlogloss"]


def test_the_same_rows_in_every_form_give_the_same_model(s3, sm, bucket, data, unique):
    """One file, several files, gzip, libsvm, a manifest: the metric does not move."""
    rows = (data / "wine" / "train.csv").read_text().splitlines(keepends=True)
    half = len(rows) // 2
    first, second = "".join(rows[:half]), "".join(rows[half:])

    def libsvm(row):
        label, *cells = row.strip().split(",")
        return label + "".join(f" {i}:{cell}" for i, cell in enumerate(cells)) + "\n"

    plain = put(s3, bucket, unique, {"a.csv": "".join(rows)})
    expected = first_metric(sm, bucket, [channel("train", plain)])
    parts = put(s3, bucket, unique, {"a.csv": first, "b.csv": second})
    assert first_metric(sm, bucket, [channel("train", parts)]) == expected
    packed = put(s3, bucket, unique, {"a.csv.gz": gzip.compress(first.encode()), "b.csv.gz": gzip.compress(second.encode())})
    assert first_metric(sm, bucket, [channel("train", packed) | {"CompressionType": "Gzip"}]) == expected
    sparse = put(s3, bucket, unique, {"a.libsvm": "".join(map(libsvm, rows))})
    assert first_metric(sm, bucket, [channel("train", sparse, "text/libsvm")]) == pytest.approx(expected, rel=1e-6)
    manifest = put(s3, bucket, unique, {"list.manifest": json.dumps([{"prefix": parts + "/"}, "a.csv", "b.csv"])})
    source = channel("train", f"{manifest}/list.manifest", S3DataType="ManifestFile")
    assert first_metric(sm, bucket, [source]) == expected


def test_validation_channel_and_early_stopping(sm, bucket):
    channels = [
        channel("train", f"s3://{bucket}/breast-cancer/train.csv"),
        channel("validation", f"s3://{bucket}/breast-cancer/test.csv"),
    ]
    job = train(
        sm, bucket, "xgboost", "breast-cancer", more={"InputDataConfig": channels},
        objective="binary:logistic", num_round=3000, early_stopping_rounds=5, eval_metric="logloss",
    )
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert 0 < metrics["train:logloss"] < metrics["validation:logloss"] < 0.3


def test_the_same_job_gives_the_same_bytes(s3, sm, bucket):
    def model_file():
        job = train(sm, bucket, "xgboost", "breast-cancer", objective="binary:logistic", num_round=5, subsample=0.7, seed=3)
        uri = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
        packed = s3.get_object(Bucket=uri[0], Key=uri[1])["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            return tar.extractfile("xgboost-model").read()

    assert model_file() == model_file()


@pytest.mark.parametrize("image", ["xgboost:1", "433757028032.dkr.ecr.us-west-2.amazonaws.com/xgboost:latest", IMAGES["xgboost"]])
def test_the_repository_name_chooses_the_program(sm, bucket, image):
    train(sm, bucket, image, "wine", **WINE)


def test_many_jobs_at_once_all_complete(sm, bucket):
    names = [start(sm, bucket, "xgboost", "wine", **WINE) for _ in range(12)]
    assert {finished(sm, name)["TrainingJobStatus"] for name in names} == {"Completed"}


@pytest.mark.slow
def test_seven_thousand_collisions(s3, sm, bucket, runtime, shared_data):
    """HIGGS, 28 features: larger than a page of anything. Needs the shared data sets."""
    source = next((shared_data / "higgs7k").glob("*train*"))
    opened = gzip.open(source, "rt") if source.suffix == ".gz" else open(source)
    with opened as lines:
        body = "".join(line.replace("\t", ",") for line in lines)
    s3.put_object(Bucket=bucket, Key="higgs/train.csv", Body=body)
    job = train(sm, bucket, "xgboost", "higgs/train.csv", objective="binary:logistic", num_round=50, eval_metric="auc")
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics["train:auc"] > 0.8
