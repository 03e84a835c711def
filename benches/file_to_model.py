#!/usr/bin/env python3
"""From a CSV file to a saved XGBoost model: Strata's training program against what a person would
write in Python (pyarrow reads the file, xgboost trains). Both sides use the same library version,
threads and settings, measure the train set each round, and run in turn as processes of their own;
medians and their ratio are printed.

    cargo build --release
    python3 benches/file_to_model.py [--rows 1000000] [--rounds 100] [--threads 2] [--pairs 3]

The Python that runs this needs numpy, pyarrow and xgboost-cpu 3.2.0. Both sides run with
OMP_WAIT_POLICY=PASSIVE (Strata sets it itself); without it the rival's waiting threads spin, which
doubles its processor time on a busy machine. Goals: at most 0.8 x the wall time and 0.6 x the peak
memory.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
SETTINGS = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "eval_metric": "logloss", "seed": 1}

# The rival: as short as such programs are, and with what helps it (float32 in one step, no index).
RIVAL = """
import json, sys
import numpy as np, pyarrow as pa, pyarrow.csv as csv, xgboost
file, model, settings, rounds, threads, matrix, measured = sys.argv[1:]
threads = int(threads)
pa.set_cpu_count(threads)
table = csv.read_csv(file, read_options=csv.ReadOptions(autogenerate_column_names=True))
label = table.column(0).to_numpy().astype(np.float32)
data = np.empty((table.num_rows, table.num_columns - 1), np.float32)
for column in range(1, table.num_columns):
    data[:, column - 1] = table.column(column).to_numpy()
del table
train = getattr(xgboost, matrix)(data, label, nthread=threads)
del data
settings = dict(json.loads(settings), nthread=threads, tree_method="hist")
evals = [(train, "train")] if measured == "yes" else []
xgboost.train(settings, train, int(rounds), evals=evals).save_model(model)
"""


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--rounds", type=int, default=100)
    words.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    words.add_argument("--pairs", type=int, default=3)
    words.add_argument("--program", default=os.path.join(TARGET, "release/strata"),
                       help="runs `PROGRAM algorithm xgboost train --opt-ml FOLDER`")
    words.add_argument("--rival-matrix", choices=["DMatrix", "QuantileDMatrix"], default="DMatrix")
    words.add_argument("--rival-measures", choices=["yes", "no"], default="yes")
    words.add_argument("--data", default=os.path.join(TARGET, "bench-data"), help="where the CSV file is kept")
    words.add_argument("--write-data", action="store_true", help=argparse.SUPPRESS)
    words.add_argument("--compare", nargs=3, help=argparse.SUPPRESS)
    given = words.parse_args()
    file = os.path.join(given.data, f"tab-{given.rows}.csv")
    if given.write_data:
        return write_data(file, given.rows)
    if given.compare:
        return print(f"largest difference of predictions: {difference(*given.compare):.2g}")
    # in processes of their own: the peak of a child counts what its parent holds when it starts
    again = [sys.executable, os.path.abspath(__file__), "--data", given.data, "--rows", str(given.rows)]
    if not os.path.exists(file):
        subprocess.run([*again, "--write-data"], check=True)
    size = os.path.getsize(file)
    print(f"{given.rows} rows x 28, {size / 1e6:.0f} MB, {given.rounds} rounds, {given.threads} threads, "
          f"rival {given.rival_matrix}", flush=True)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(given.pairs):
            ours.append(measure(our_command(given, file, folder), {"STRATA_THREADS": str(given.threads)}))
            theirs.append(measure(rival_command(given, file, folder), {"OMP_WAIT_POLICY": "PASSIVE"}))
            print(f"pair {pair + 1}: strata {show(ours[-1])} | python {show(theirs[-1])}", flush=True)
        models = [os.path.join(folder, "model/xgboost-model"), os.path.join(folder, "rival.ubj")]
        subprocess.run([*again, "--compare", *models, file], check=True)
    for name, at, goal in (("wall time", 0, 0.8), ("peak memory", 1, 0.6), ("processor time", 2, None)):
        mine, other = (statistics.median(run[at] for run in runs) for runs in (ours, theirs))
        print(f"{name}: {mine / other:.2f} x" + (f" (goal {goal})" if goal else ""))


def write_data(path, rows):
    """A binary task in the shape of HIGGS, the same on every machine: 14 raw, 7 derived, 7 noise."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv as csv

    os.makedirs(os.path.dirname(path), exist_ok=True)
    random = np.random.default_rng(7)
    raw = random.standard_normal((rows, 14), dtype=np.float32)
    raw[:, 7:] = np.exp(0.5 * raw[:, 7:])
    derived = raw[:, :7] * raw[:, 7:]
    noise = random.standard_normal((rows, 7), dtype=np.float32)
    signal = (1.2 * np.sin(2 * raw[:, 0]) + derived[:, 1] - 0.8 * (np.abs(raw[:, 2]) > 1) + 0.5 * raw[:, 5]
              + 0.9 * np.where(raw[:, 3] > 0, raw[:, 8] - 1, raw[:, 4]) - 0.6 * raw[:, 6] * raw[:, 0])
    label = (random.random(rows) < 1 / (1 + np.exp(0.6 - 1.3 * signal))).astype(np.int8)
    features = np.concatenate([raw, derived + 0.3 * noise, noise], 1).astype(np.float32)
    table = pa.table([label, *features.T], names=[str(column) for column in range(29)])
    csv.write_csv(table, path + ".part", csv.WriteOptions(include_header=False))
    os.rename(path + ".part", path)


def our_command(given, file, folder):
    channel = os.path.join(folder, "input/data/train")
    config = os.path.join(folder, "input/config")
    os.makedirs(channel, exist_ok=True)
    os.makedirs(config, exist_ok=True)
    link = os.path.join(channel, "data.csv")
    if not os.path.exists(link):
        os.symlink(os.path.abspath(file), link)
    hyperparameters = {name: str(value) for name, value in SETTINGS.items()} | {"num_round": str(given.rounds)}
    channels = {"train": {"ContentType": "text/csv"}}
    for name, content in (("hyperparameters", hyperparameters), ("inputdataconfig", channels)):
        with open(os.path.join(config, name + ".json"), "w") as out:
            json.dump(content, out)
    return [given.program, "algorithm", "xgboost", "train", "--opt-ml", folder]


def rival_command(given, file, folder):
    return [sys.executable, "-c", RIVAL, file, os.path.join(folder, "rival.ubj"), json.dumps(SETTINGS),
            str(given.rounds), str(given.threads), given.rival_matrix, given.rival_measures]


def measure(command, environment):
    """Wall seconds, peak resident MB and processor seconds of a process."""
    start = time.perf_counter()
    child = subprocess.Popen(command, env=dict(os.environ, **environment), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} failed")
    peak = usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
    return time.perf_counter() - start, peak, usage.ru_utime + usage.ru_stime


def show(run):
    return f"{run[0]:.1f} s, {run[1]:.0f} MB, {run[2]:.1f} CPU s"


def difference(ours, theirs, file):
    import io
    import itertools

    import numpy as np
    import pyarrow.csv as csv
    import xgboost

    with open(file, "rb") as text:
        lines = io.BytesIO(b"".join(itertools.islice(text, 20_000)))
    table = csv.read_csv(lines, read_options=csv.ReadOptions(autogenerate_column_names=True))
    rows = np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float32)[:, 1:]
    with open(ours, "rb") as model:
        ours = bytearray(model.read())
    predictions = [xgboost.Booster(model_file=model).inplace_predict(rows) for model in (ours, theirs)]
    return float(np.abs(predictions[0] - predictions[1]).max())


if __name__ == "__main__":
    main()
