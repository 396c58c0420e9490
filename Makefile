# Everything runs in the virtual environment $(VENV), which "make venv" creates.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin

.PHONY: help venv check lint types test trial docs bench run-master run-replica clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

venv: $(VENV)/.complete  ## a virtual environment with replicad (editable), tests and lint tools

# A mark of its own: the README's commands make the same environment without the lint tools.
$(VENV)/.complete: setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[test,lint]'
	$(BIN)/pip install -q -e '.[lzf]' || echo "python-lzf could not be built: RDB files are written uncompressed"
	@touch $@

check: lint types test  ## lint, types, tests

lint: venv  ## ruff
	$(BIN)/ruff check .

types: venv  ## mypy with mypy-zope
	$(BIN)/mypy

test: venv  ## the whole suite under pytest
	$(BIN)/pytest

trial: venv  ## the whole suite under trial
	$(BIN)/python -m twisted.trial tests

docs: venv  ## renew the lists in docs/compatibility.md
	$(BIN)/python docs/compatibility.py

bench: venv  ## replicad and redis-server side by side, as ratios (needs redis-server and redis-benchmark)
	$(BIN)/python -m benchmarks.compare

run-master: venv  ## a master without persistence on port 6379
	$(BIN)/twistd -n --pidfile= replicad -c etc/master.conf

run-replica: venv  ## its replica on port 6380, which keeps everything
	$(BIN)/twistd -n --pidfile= replicad -c etc/replica.conf

clean:  ## remove what building and testing left behind
	rm -rf build dist *.egg-info _trial_temp* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find replicad tests twisted benchmarks docs -name __pycache__ -prune -exec rm -rf {} +
