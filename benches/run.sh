#!/usr/bin/env bash
# `make bench`: each benchmark prints a ratio to a named rival, measured in the same run.
# Run it on a machine that has nothing else to do. Needs wrk for the serving one.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
tests/python.sh "$venv" benches/requirements.txt
cargo build --release --package strata
CARGO_TARGET_DIR=$CARGO_TARGET_DIR/floor cargo build --release --manifest-path benches/floor/Cargo.toml

printf '\n==> How long a person waits\n'
"$venv/bin/python" benches/latency.py
if command -v wrk >/dev/null && command -v taskset >/dev/null; then
  printf '\n==> InvokeEndpoint against a bare axum handler\n'
  "$venv/bin/python" benches/serving.py --fastapi
else
  printf '\n==> InvokeEndpoint against a bare axum handler: left out, wrk or taskset is missing (sudo apt install wrk)\n'
fi
printf '\n==> CSV file to XGBoost model against pyarrow and Python xgboost\n'
"$venv/bin/python" benches/file_to_model.py
