# The two commands of the README live here: `make demo` and `make test`.
#
#   make demo    build, start a cloud with a fresh data folder, run examples/quickstart.py
#   make test    format, lints, unit tests, then real clients against the real binary
#   make bench   ratios to named rivals (needs wrk)
#   make clean   remove what these made
#
# PORT=7411 make demo uses another port; PYTHON=... another interpreter; VENV=... another environment.

PORT ?= 7410
PYTHON ?= python3
VENV ?= .venv
export PORT PYTHON VENV

.PHONY: help demo test bench clean

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

demo:
	@examples/demo.sh

test:
	@tests/run.sh

bench:
	@benches/run.sh

clean:
	rm -rf .venv .strata examples/data
	cargo clean
