"""Kill it, start it again: nothing that was accepted is lost, nothing is half written."""

import json
import signal
import subprocess
import threading
import uuid

import psutil
import pytest
from botocore.exceptions import ClientError, HTTPClientError
from clouds import wait_until
from jobs import ask, deploy, finished, in_status, model, start, train

# Long enough to be met in the middle, short enough to wait for.
MINUTE = {"objective": "multi:softprob", "num_class": 10, "num_round": 400, "max_depth": 5}


@pytest.fixture
def stage(own_cloud, data):
    """A cloud of its own with data, a finished job and a live endpoint."""

    class Stage:
        cloud = own_cloud
        s3, sm = own_cloud.client("s3", retries=True), own_cloud.client("sagemaker", retries=True)
        runtime = own_cloud.client("sagemaker-runtime", retries=True)
        bucket = f"durable-{uuid.uuid4().hex[:8]}"

    Stage.s3.create_bucket(Bucket=Stage.bucket)
    for name in ("breast-cancer", "digits"):
        Stage.s3.upload_file(str(data / name / "train.csv"), Stage.bucket, f"{name}/train.csv")
    Stage.job = train(Stage.sm, Stage.bucket, "xgboost", "breast-cancer", objective="binary:logistic", num_round=10)
    Stage.model = model(Stage.sm, "xgboost", Stage.job["ModelArtifacts"]["S3ModelArtifacts"])
    Stage.endpoint = deploy(Stage.sm, {"only": (Stage.model, 1)})
    return Stage


@pytest.mark.slow
def test_kill_9_in_the_middle_of_everything(stage, held_out):
    row = held_out[0][1]
    before, _ = ask(stage.runtime, stage.endpoint, row)
    running = start(stage.sm, stage.bucket, "xgboost", "digits", **MINUTE)
    waiting = [start(stage.sm, stage.bucket, "xgboost", "digits", **(MINUTE | {"num_round": 5})) for _ in range(3)]
    in_status(stage.sm, running, "Training")
    children = psutil.Process(stage.cloud.pid).children(recursive=True)
    assert children, "the job should run in a process of its own"

    stage.cloud.kill9()
    # An orphan that went on would write into the next attempt's folder.
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"programs outlive the cloud: {alive}"
    stage.cloud.start()

    # The endpoint answers the same bytes; the first request may come while the model loads.
    def answer():
        try:
            return ask(stage.runtime, stage.endpoint, row)[0]
        except ClientError:
            return None

    assert wait_until("the endpoint answers", answer, 10) == before
    assert stage.sm.describe_endpoint(EndpointName=stage.endpoint)["EndpointStatus"] == "InService"
    # What was finished is finished, word for word.
    job = stage.sm.describe_training_job(TrainingJobName=stage.job["TrainingJobName"])
    drop = "ResponseMetadata"
    assert {k: v for k, v in job.items() if k != drop} == {k: v for k, v in stage.job.items() if k != drop}
    # What ran goes on and says so.
    job = finished(stage.sm, running, 120)
    assert job["TrainingJobStatus"] == "Completed", job
    words = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert "Restarting" in words and words[-1] == "Completed", words
    for name in waiting:
        assert finished(stage.sm, name, 120)["TrainingJobStatus"] == "Completed"
    artefact = stage.s3.head_object(
        Bucket=stage.bucket, Key=job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
    )
    assert artefact["ContentLength"] > 0


@pytest.mark.slow
def test_sigterm_in_the_middle_of_everything(stage, held_out):
    """A graceful end: exit code 0, and the next start goes on with the job."""
    running = start(stage.sm, stage.bucket, "xgboost", "digits", **MINUTE)
    in_status(stage.sm, running, "Training")
    children = psutil.Process(stage.cloud.pid).children(recursive=True)
    assert stage.cloud.stop() == 0, stage.cloud.log_tail()
    assert not psutil.wait_procs(children, timeout=10)[1]
    stage.cloud.start()
    assert finished(stage.sm, running, 120)["TrainingJobStatus"] == "Completed"
    assert wait_until("the endpoint answers", lambda: ask(stage.runtime, stage.endpoint, held_out[0][1])[0], 10)


def test_sigterm_finishes_what_runs(own_cloud):
    """An upload that has begun when SIGTERM comes is still stored, or the caller is told that it is not."""
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="bucket")
    body = bytes(30_000_000)
    outcome = {}

    def put():
        try:
            outcome["etag"] = s3.put_object(Bucket="bucket", Key="k", Body=body)["ETag"]
        except (ClientError, HTTPClientError) as error:
            outcome["error"] = error

    upload = threading.Thread(target=put)
    upload.start()
    own_cloud.process.send_signal(signal.SIGTERM)
    upload.join(60)
    assert own_cloud.process.wait(60) == 0
    own_cloud.start()
    stored = own_cloud.client("s3").list_objects_v2(Bucket="bucket").get("Contents", [])
    if "etag" in outcome:
        assert [(item["Size"], item["ETag"]) for item in stored] == [(len(body), outcome["etag"])]
    else:
        assert stored == [], outcome


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_kill_9(own_cloud, tmp_path):
    """Puts and models in a loop, power cut in the middle: all that was answered is there and whole."""
    s3, sm = own_cloud.client("s3"), own_cloud.client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    done, enough = [], threading.Event()

    def work(thread):
        for i in range(100_000):
            key = f"{thread}/{i}"
            try:
                s3.put_object(Bucket="bucket", Key=key, Body=key.encode() * 1000)
                sm.add_tags(
                    ResourceArn=f"arn:aws:sagemaker:us-east-1:123456789012:model/m{thread}",
                    Tags=[{"Key": str(i % 40), "Value": key}],
                )
            except HTTPClientError:
                return
            except ClientError as error:
                assert error.response["Error"]["Code"] == "ValidationException", error  # there is no such model
            done.append(key)
            if len(done) > 60:
                enough.set()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    own_cloud.kill9()
    for thread in threads:
        thread.join(60)
    own_cloud.start()
    s3 = own_cloud.client("s3")
    for key in done:
        assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == key.encode() * 1000
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for item in page.get("Contents", []):
            assert item["Size"] == len(item["Key"]) * 1000, item


def test_an_existing_folder_opens_again(stage):
    """How fast is measured by benches/latency.py."""
    stage.cloud.stop()
    stage.cloud.start()
    name = stage.job["TrainingJobName"]
    assert stage.sm.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Completed"


def test_two_clouds_on_one_folder_are_refused(own_cloud):
    second = own_cloud.run("up", "--port", "0", "--data-dir", str(own_cloud.folder), check=False)
    assert second.returncode != 0 and "another cloud" in second.stderr, second
    assert str(own_cloud.pid) in second.stderr
    assert own_cloud.healthy()


def test_a_port_that_is_taken_is_named(own_cloud, tmp_path):
    second = own_cloud.run("up", "--port", str(own_cloud.port), "--data-dir", str(tmp_path / "other"), check=False)
    assert second.returncode != 0 and str(own_cloud.port) in second.stderr and "--port" in second.stderr, second


def test_keys_are_made_once_and_kept(binary, tmp_path):
    import os

    clean = {name: value for name, value in os.environ.items() if not name.startswith("STRATA_")}

    def env():
        done = subprocess.run([binary, "env", "--json", "--data-dir", tmp_path / "d"], env=clean, capture_output=True, check=True)
        return json.loads(done.stdout)

    first = env()
    assert first["AWS_ACCESS_KEY_ID"] and len(first["AWS_SECRET_ACCESS_KEY"]) >= 32
    assert env() == first
