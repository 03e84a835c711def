#!/usr/bin/env python3
"""The short waits that we promise, measured on the release binary: medians, beside their bars.

    cargo build --release
    .venv/bin/python benches/moments.py [--times 10]

A person notices these; the rival is patience. The public cloud takes seconds to minutes for each.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
sys.path.insert(0, str(ROOT / "tests" / "contract"))

from clouds import Cloud, wait_until  # noqa: E402
from jobs import ask, config, fresh, model, train  # noqa: E402


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--times", type=int, default=10)
    words.add_argument("--strata", type=Path, default=TARGET / "release" / "strata")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="strata-bench-") as folder:
        folder = Path(folder)
        subprocess.run([sys.executable, ROOT / "examples" / "make_data.py", folder / "csv"], check=True, stdout=subprocess.DEVNULL)
        with Cloud(given.strata, folder / "data") as cloud:
            measure(cloud, folder, given.times)


def measure(cloud, folder, times):
    s3, sagemaker, logs = cloud.client("s3"), cloud.client("sagemaker"), cloud.client("logs")
    s3.create_bucket(Bucket="bench")
    s3.upload_file(str(folder / "csv" / "breast-cancer" / "train.csv"), "bench", "breast-cancer/train.csv")
    row = (folder / "csv" / "breast-cancer" / "test.csv").read_text().splitlines()[0].split(",", 1)[1]

    def job():
        return train(sagemaker, "bench", "xgboost", "breast-cancer", objective="binary:logistic", num_round=100)

    first = job()  # installs the library where it is missing
    line("CreateTrainingJob to the program's first line", "50 ms", [to_first_line(logs, job()) for _ in range(times)])
    line("CreateTrainingJob to Completed (427 rows, 100 trees)", "", [to_completed(job()) for _ in range(times)])

    name = model(sagemaker, "xgboost", first["ModelArtifacts"]["S3ModelArtifacts"])
    line("CreateEndpoint to InService, model in memory", "100 ms", [to_service(cloud, sagemaker, name) for _ in range(times + 1)][1:])

    runtime = cloud.client("sagemaker-runtime")
    endpoint = fresh("bench")
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config(sagemaker, {"only": (name, 1)}))
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig={"Delay": 1})
    line("InvokeEndpoint from boto3, one row", "", [timed(lambda: ask(runtime, endpoint, row)) for _ in range(300)][50:])

    starts = []
    for _ in range(times):
        cloud.restart()
        starts.append(cloud.start_seconds)
    line("strata up to listening, existing data folder", "300 ms", starts)
    wait_until("the endpoint answers", lambda: answers(cloud, endpoint, row), 10)
    print(f"{'resident memory, one model in service':<56} {resident(cloud.pid):>8.1f} MB   bar 60 MB")


def to_first_line(logs, job):
    group, name = "/aws/sagemaker/TrainingJobs", job["TrainingJobName"]
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    return stream["firstEventTimestamp"] / 1000 - job["CreationTime"].timestamp()


def to_completed(job):
    return (job["TrainingEndTime"] - job["CreationTime"]).total_seconds()


def to_service(cloud, sagemaker, name):
    """By the cloud's own clock would flatter us: this is what a client that looks all the time sees."""
    endpoint = config(sagemaker, {"only": (name, 1)})
    began = time.perf_counter()
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint)
    while sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] != "InService":
        pass
    seconds = time.perf_counter() - began
    sagemaker.delete_endpoint(EndpointName=endpoint)
    return seconds


def answers(cloud, endpoint, row):
    try:
        return ask(cloud.client("sagemaker-runtime"), endpoint, row)
    except Exception:  # noqa: BLE001: not yet
        return None


def timed(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def line(what, bar, seconds):
    middle, most = statistics.median(seconds) * 1e3, max(seconds) * 1e3
    print(f"{what:<56} {middle:>8.1f} ms   {'bar ' + bar if bar else '':<12} (most {most:.1f} ms)", flush=True)


def resident(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


if __name__ == "__main__":
    main()
