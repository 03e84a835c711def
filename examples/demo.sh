#!/usr/bin/env bash
# `make demo`: from a fresh checkout to two compared models. Stops the cloud it started, however it ends.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${PORT:-7410} venv=${VENV:-.venv} data=.strata/demo log=.strata/demo.log
url=http://127.0.0.1:$port
strata=${CARGO_TARGET_DIR:-target}/release/strata
cloud=
# A proxy for the outside world is none for this machine.
export NO_PROXY=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}
export no_proxy=$NO_PROXY
say() { printf '\n==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

stop() {
  [ -n "$cloud" ] || return 0
  kill -TERM "$cloud" 2>/dev/null || true
  wait "$cloud" 2>/dev/null || true
  cloud=
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

command -v cargo >/dev/null || die "cargo not found: install Rust from https://rustup.rs and open a new shell"
tests/python.sh "$venv" examples/requirements.txt
python=$venv/bin/python

"$python" -c 'import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1])))' "$port" 2>/dev/null ||
  die "port $port is taken: stop what listens there, or choose another with PORT=7411 make demo"

say "Building the release binary (several minutes the first time)"
began=$SECONDS
cargo build --release --package strata
echo "built after $((SECONDS - began)) s"

say "Writing small real data sets to examples/data"
"$python" examples/make_data.py

say "Starting the cloud on $url with a fresh data folder, $data"
rm -rf "$data" "$log"
mkdir -p .strata
# In a process group of its own: Ctrl-C ends the quickstart, which cleans up, and then we stop the cloud.
set -m
"$strata" up --port "$port" --data-dir "$data" >"$log" 2>&1 &
cloud=$!
set +m
"$python" - "$url/healthz" "$cloud" <<'PYTHON' || { tail -n 30 "$log" >&2; die "the cloud did not start; its log is $log"; }
import os, sys, time, urllib.request
url, pid, began = sys.argv[1], int(sys.argv[2]), time.monotonic()
while time.monotonic() - began < 60:
    try:
        urllib.request.urlopen(url, timeout=5).close()
        print(f"ready after {time.monotonic() - began:.2f} s")
        sys.exit(0)
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except OSError:
        break
    time.sleep(0.01)
sys.exit(1)
PYTHON

say "Running examples/quickstart.py"
exports=$("$strata" env --data-dir "$data")
(
  eval "$exports"
  AWS_ENDPOINT_URL=$url exec "$python" examples/quickstart.py
) || die "the quickstart failed; the cloud's log is $log"

stop
rm -rf "$data"
cat <<END

==> The cloud of the demo is stopped and its data folder removed. To go on with one of your own:

  $strata up                          # starts it; leave it running, or add & at the end
  eval "\$($strata env)"               # in another shell: endpoint and keys for every AWS client
  $venv/bin/python examples/quickstart.py
  $strata jobs ls                     # also: models, endpoints, logs NAME -f, invoke NAME --body @file
  $strata --help
END
