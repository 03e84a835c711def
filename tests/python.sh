#!/usr/bin/env bash
# Makes a Python environment from a requirements file, or leaves it when it is up to date.
#
#   tests/python.sh DIR REQUIREMENTS
#
# The interpreter is $PYTHON (python3). Nothing but DIR is written.
set -euo pipefail

dir=$1 requirements=$2 python=${PYTHON:-python3}
stamp=$dir/.installed-$(cksum <"$requirements" | tr ' ' -)
say() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

[ -e "$stamp" ] && [ -x "$dir/bin/python" ] && exit 0

command -v "$python" >/dev/null || die "$python not found: install it with 'sudo apt install python3 python3-venv' (macOS: 'brew install python'), or name one: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  die "$("$python" --version) is too old: 3.10 or later is needed; name one with make PYTHON=/path/to/python3"

if ! "$dir/bin/python" -c '' 2>/dev/null; then
  say "making the Python environment $dir"
  rm -rf "$dir"
  # Debian and Ubuntu keep ensurepip in a package of its own: without it, a venv without pip
  # still works where the system's pip can fill it.
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv "$dir"
  elif "$python" -m virtualenv --version >/dev/null 2>&1; then
    "$python" -m virtualenv -q "$dir"
  elif "$python" -m pip --python "$python" --version >/dev/null 2>&1; then
    "$python" -m venv --without-pip "$dir"
  else
    die "$python cannot make environments: 'sudo apt install python3-venv' (or python3-pip) repairs it"
  fi
fi

pip=("$dir/bin/python" -m pip)
"${pip[@]}" --version >/dev/null 2>&1 || pip=("$python" -m pip --python "$dir/bin/python")
count=$(grep -c '==' "$requirements")
say "installing $count pinned Python packages from $requirements (quiet; a minute or two the first time)"
start=$SECONDS
"${pip[@]}" install --quiet --disable-pip-version-check --no-deps --requirement "$requirements" ||
  die "pip could not install $requirements: is there a network, and does 'pip download boto3' work?"
touch "$stamp"
say "Python packages ready after $((SECONDS - start)) s"
