#!/usr/bin/env python3
"""How long a person waits: for the cloud, for a job's first line, for an endpoint.

    cargo build --release
    .venv/bin/python benches/latency.py [--strata target/release/strata] [--rounds 11]

Prints medians and ranges in milliseconds, and the resident memory of the idle cloud:
  start        from `strata up` on an existing data folder to the first answer of /healthz
  first line   from CreateTrainingJob (CreationTime) to the first line of the program (log event)
  trained      from CreateTrainingJob to Completed, seen by a client that polls
  in service   from CreateEndpoint to InService, for a model that was loaded before
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from clouds import Cloud  # noqa: E402
from jobs import finished, model, start  # noqa: E402

GROUP = "/aws/sagemaker/TrainingJobs"


class QuietCloud(Cloud):
    options = []


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--strata", type=Path, default=TARGET / "release" / "strata")
    words.add_argument("--rounds", type=int, default=11)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make = [sys.executable, ROOT / "examples" / "make_data.py", folder / "csv"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        with QuietCloud(given.strata, folder / "data") as cloud:
            s3 = cloud.client("s3")
            s3.create_bucket(Bucket="bench")
            s3.upload_file(str(folder / "csv" / "breast-cancer" / "train.csv"), "bench", "breast-cancer/train.csv")
            jobs = [job(cloud) for _ in range(given.rounds)]
            endpoints = deploy(cloud, jobs[0]["uri"], given.rounds)
        starts = [up(given.strata, folder / "data") for _ in range(given.rounds)]
    show("start", [ms for ms, _ in starts])
    show("first line", [one["first"] for one in jobs])
    show("trained", [one["trained"] for one in jobs])
    show("in service", endpoints)
    print(f"idle cloud: {max(kilobytes for _, kilobytes in starts) / 1024:.0f} MB resident")


def up(strata, data):
    """Milliseconds to the first answer, and the kilobytes that are resident then."""
    began = time.perf_counter()
    command = [strata, "up", "--port", "7497", "--data-dir", data]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen("http://127.0.0.1:7497/healthz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.001)
        took = (time.perf_counter() - began) * 1e3
        status = Path(f"/proc/{process.pid}/status").read_text()
        return took, int(status.split("VmRSS:")[1].split()[0])
    finally:
        process.terminate()
        process.wait()


def job(cloud):
    sagemaker, logs = cloud.client("sagemaker"), cloud.client("logs")
    began = time.perf_counter()
    name = start(sagemaker, "bench", "xgboost", "breast-cancer", objective="binary:logistic", num_round=5)
    done = finished(sagemaker, name)
    trained = (time.perf_counter() - began) * 1e3
    streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
    stream = streams[0]["logStreamName"]
    first = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"][0]
    return {
        "first": first["timestamp"] - done["CreationTime"].timestamp() * 1e3,
        "trained": trained,
        "uri": done["ModelArtifacts"]["S3ModelArtifacts"],
    }


def deploy(cloud, uri, rounds):
    sagemaker = cloud.client("sagemaker")
    variant = {
        "VariantName": "only", "ModelName": model(sagemaker, "xgboost", uri), "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large", "InitialVariantWeight": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="bench", ProductionVariants=[variant])
    took = []
    # The first one loads the model.
    for number in range(rounds + 1):
        name = f"bench-{number}"
        began = time.perf_counter()
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="bench")
        while sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Creating":
            pass
        took.append((time.perf_counter() - began) * 1e3)
    return took[1:]


def show(what, figures):
    print(f"{what:12} {statistics.median(figures):6.0f} ms  ({min(figures):.0f} to {max(figures):.0f})")


if __name__ == "__main__":
    main()
