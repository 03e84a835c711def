#!/usr/bin/env python3
"""InvokeEndpoint on one core against a bare axum handler that returns the same bytes.

    cargo build --release
    CARGO_TARGET_DIR=target/floor cargo build --release --manifest-path benches/floor/Cargo.toml
    .venv/bin/python benches/serving.py [--seconds 5] [--rounds 3] [--connections 1,8,64] [--fastapi]

One row of breast cancer through an XGBoost model (100 trees, depth 6), CSV in, CSV out, with the
signature of each request checked. Servers are pinned to core 0 and wrk to core 1; the contestants
take turns, and medians over the rounds are compared, so that a disturbance meets all of them.
Needs wrk and taskset (Linux), two cores, and the packages of tests/requirements.txt.

Goal: at least 0.6 x the bare handler at 64 connections.
"""

import argparse
import json
import os
import re
import shutil
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

from clouds import Cloud, wait_until  # noqa: E402
from jobs import ask, deploy, model, numbers, train  # noqa: E402
from wires import headers_for  # noqa: E402

ENDPOINT = "bench"
FLOOR_PORT, FASTAPI_PORT = 7498, 7499

FASTAPI = """
import sys, numpy as np, uvicorn, xgboost
from fastapi import FastAPI, Request, Response
booster = xgboost.Booster(model_file=sys.argv[1])
booster.set_param({"nthread": 1})
app = FastAPI()

@app.post("/endpoints/{name}/invocations")
async def invoke(name: str, request: Request):
    rows = np.array([line.split(b",") for line in (await request.body()).split(b"\\n")], np.float32)
    return Response("\\n".join(map(str, booster.inplace_predict(rows))), media_type="text/csv")

uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--seconds", type=int, default=5, help="of each measurement")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--connections", default="1,8,64")
    words.add_argument("--fastapi", action="store_true", help="also measure FastAPI with Python xgboost")
    words.add_argument("--strata", type=Path, default=TARGET / "release" / "strata")
    words.add_argument("--floor", type=Path, default=TARGET / "floor" / "release" / "floor")
    words.add_argument("--json", type=Path, help="write all figures to this file")
    given = words.parse_args()
    for tool in ("wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} not found: sudo apt install wrk util-linux")
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the server, one for wrk")

    others = []
    with tempfile.TemporaryDirectory(prefix="strata-bench-") as folder:
        folder = Path(folder)
        try:
            measure(given, folder, others)
        finally:
            for process in others:
                process.terminate()
                process.wait()


def measure(given, folder, others):
    with PinnedCloud(given.strata, folder / "data") as cloud:
        row, model_file = prepare(cloud, folder)
        runtime = cloud.client("sagemaker-runtime")
        answer, _ = ask(runtime, ENDPOINT, row)
        check(model_file, row, answer)
        others.append(pinned([given.floor, str(FLOOR_PORT), "text/csv; charset=utf-8", answer.decode()]))
        contestants = {"bare axum": f"http://127.0.0.1:{FLOOR_PORT}", "strata": cloud.url}
        if given.fastapi:
            (folder / "app.py").write_text(FASTAPI)
            others.append(pinned([sys.executable, folder / "app.py", model_file, str(FASTAPI_PORT)]))
            contestants["fastapi"] = f"http://127.0.0.1:{FASTAPI_PORT}"
        for url in contestants.values():
            wait_until(f"{url} answers", lambda: answers(cloud, url, row), 30)

        figures = {}
        for connections in map(int, given.connections.split(",")):
            for turn in range(given.rounds):
                for name, url in contestants.items():
                    figure = wrk(cloud, folder, url, row, connections, given.seconds)
                    figures.setdefault(connections, {}).setdefault(name, []).append(figure)
                    print(f"{connections:>3} connections, round {turn + 1}: {name:<10} {figure['rate']:>9.0f} req/s", file=sys.stderr)
        report(figures)
        memory = resident(cloud.pid)
        print(f"\nstrata holds {memory:.0f} MB resident after this")
        if given.json:
            given.json.write_text(json.dumps(figures, indent=1))


class PinnedCloud(Cloud):
    """`strata up` on core 0."""

    options = []

    def start(self):
        ours = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {0})  # children inherit it
        try:
            super().start()
        finally:
            os.sched_setaffinity(0, ours)


def pinned(command):
    return subprocess.Popen(["taskset", "-c", "0", *map(str, command)], stdout=subprocess.DEVNULL)


def prepare(cloud, folder):
    """Trains and deploys the model; returns one row and the model's file."""
    subprocess.run([sys.executable, ROOT / "examples" / "make_data.py", folder / "csv"], check=True, stdout=subprocess.DEVNULL)
    s3, sagemaker = cloud.client("s3"), cloud.client("sagemaker")
    s3.create_bucket(Bucket="bench")
    s3.upload_file(str(folder / "csv" / "breast-cancer" / "train.csv"), "bench", "breast-cancer/train.csv")
    # No minimum weight, so that the trees use their depth.
    job = train(sagemaker, "bench", "xgboost", "breast-cancer", objective="binary:logistic", num_round=100,
                max_depth=6, eta=0.1, min_child_weight=0)
    uri = job["ModelArtifacts"]["S3ModelArtifacts"]
    deploy(sagemaker, {"only": (model(sagemaker, "xgboost", uri), 1)}, ENDPOINT)
    packed = folder / "model.tar.gz"
    s3.download_file("bench", uri.split("/", 3)[3], str(packed))
    shutil.unpack_archive(packed, folder / "model", **({"filter": "data"} if sys.version_info >= (3, 12) else {}))
    row = (folder / "csv" / "breast-cancer" / "test.csv").read_text().splitlines()[0].split(",", 1)[1]
    return row, folder / "model" / "xgboost-model"


def check(model_file, row, answer):
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(model_file.read_bytes()))
    expected = float(booster.predict(xgboost.DMatrix([[float(cell) for cell in row.split(",")]]))[0])
    (got,) = numbers(answer)
    if abs(got - expected) > 1e-6:
        sys.exit(f"strata answers {got}, Python xgboost {expected}: nothing to measure until they agree")


def signed(cloud, url, row):
    """A signature is good for 15 minutes; each measurement gets a fresh one."""
    target = f"{url}/endpoints/{ENDPOINT}/invocations"
    return target, headers_for(cloud, "POST", target, row.encode(), {"content-type": "text/csv"})


def answers(cloud, url, row):
    target, headers = signed(cloud, url, row)
    try:
        request = urllib.request.Request(target, row.encode(), headers)
        return urllib.request.urlopen(request, timeout=10).read()
    except OSError:
        return None


def wrk(cloud, folder, url, row, connections, seconds):
    target, headers = signed(cloud, url, row)
    script = folder / "request.lua"
    # A JSON string is a Lua string as long as there is nothing but ASCII in it.
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(row)}"]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(str(value))}" for name, value in headers.items()]
    script.write_text("\n".join(lines))
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script, target]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", done)
    if bad:
        sys.exit(f"{url}: {bad[0]}")

    def milliseconds(percent):
        value, unit = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)", done, re.M).groups()
        return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]

    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])
    return {"rate": rate, "p50": milliseconds(50), "p99": milliseconds(99)}


def report(figures):
    print("\n| connections | server | req/s | p50 ms | p99 ms | ratio to bare axum |")
    print("|---|---|---|---|---|---|")
    for connections, contestants in figures.items():
        floor = statistics.median(figure["rate"] for figure in contestants["bare axum"])
        for name, runs in contestants.items():
            rate, p50, p99 = (statistics.median(figure[key] for figure in runs) for key in ("rate", "p50", "p99"))
            print(f"| {connections} | {name} | {rate:,.0f} | {p50:.3f} | {p99:.3f} | {rate / floor:.3f} |")


def resident(pid):
    """Megabytes, as /proc says."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


if __name__ == "__main__":
    main()
