#!/usr/bin/env bash
# Everything that must hold, in order of cost: format, lints, unit tests, contract tests.
# Goes on after a failure, and ends with one line that adds up all runners.
#
#   tests/run.sh [arguments for the contract tests' pytest]
set -uo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-.venv} target=${CARGO_TARGET_DIR:-target} reports=${CARGO_TARGET_DIR:-target}/test-reports
passed=0 failed=0 skipped=0
mkdir -p "$reports"
say() { printf '\n==> %s\n' "$*"; }
number() { grep -oE "[0-9]+ $1" <<<"$2" | tail -1 | grep -oE '^[0-9]+' || echo 0; }

# Runs a command and counts it as one test.
check() {
  say "$*"
  local start=$SECONDS
  if "$@"; then passed=$((passed + 1)); echo "ok after $((SECONDS - start)) s"; else failed=$((failed + 1)); fi
}

# Adds a runner's counts; a runner that failed without a failed test (it did not compile) counts one.
add() { # exit code, passed, failed, skipped
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
  if [ "$1" -ne 0 ] && [ "$3" -eq 0 ]; then failed=$((failed + 1)); fi
}

rust_tests() {
  local log=$reports/rust.log code line
  if cargo nextest --version >/dev/null 2>&1; then
    say "cargo nextest run --workspace"
    cargo nextest run --workspace --no-fail-fast --status-level fail 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    # "Summary [ 1.2s] 40 tests run: 39 passed (1 slow), 1 failed, 0 skipped"
    line=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E 'tests? run:' | tail -1)
    add "$code" "$(number passed "$line")" \
      "$(($(number failed "$line") + $(number 'timed out' "$line") + $(number 'exec failed' "$line")))" "$(number skipped "$line")"
  else
    say "cargo test --workspace (cargo-nextest is not installed)"
    cargo test --workspace --no-fail-fast 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    # One "test result: ok. 5 passed; 0 failed; 1 ignored; ..." a test binary.
    read -r p f s < <(awk '/^test result:/ {for (i = 2; i <= NF; i++) {if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1)}} END {print p+0, f+0, s+0}' "$log")
    add "$code" "$p" "$f" "$s"
  fi
}

contract_tests() {
  local log=$reports/contract.log code line
  say "building the binary for the contract tests"
  if ! cargo build --quiet --package strata; then
    echo "the binary does not build: contract tests not run"; failed=$((failed + 1)); return
  fi
  [ -e examples/data/PROVENANCE.md ] || "$venv/bin/python" examples/make_data.py
  say "pytest tests/contract"
  STRATA_BIN=$target/debug/strata "$venv/bin/python" -m pytest tests/contract "$@" 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  line=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '[0-9]+ (passed|failed|skipped|errors?).* in ' | tail -1)
  add "$code" "$(number passed "$line")" "$(($(number failed "$line") + $(number 'errors?' "$line")))" "$(number skipped "$line")"
}

began=$SECONDS
tests/python.sh "$venv" tests/requirements.txt || exit 1
# Unit tests compare numbers with the Python libraries where there is one that has them.
STRATA_TEST_PYTHON=$(cd "$venv" && pwd)/bin/python
export STRATA_TEST_PYTHON
check cargo fmt --all --check
check cargo clippy --quiet --workspace --all-targets -- -D warnings
rust_tests
contract_tests "$@"

say "all done after $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
