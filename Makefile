# The entry points of the project: run, test, setup, bench, bench-fleet, bench-backtest, bench-latency, soak, fuzz, simulate, kill, outage, hostile, lock. See README.md.
PYTHON ?= python3
SECONDS ?= 600
ROUNDS ?= 200
SEEDS ?= 10000
MINUTES ?= 60
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
CONSOLE := admin_api/console/vendor/.ready

.PHONY: run test setup bench bench-fleet bench-backtest bench-latency drill drill-upgrade soak fuzz simulate kill log-outage outage hostile lint lock clean

run: setup
	exec $(BIN)/lezgate demo

setup: $(STAMP) $(CONSOLE)

$(STAMP): requirements.lock pyproject.toml tools/make_venv.sh
	PYTHON=$(PYTHON) sh tools/make_venv.sh $(VENV)
	touch $@

$(CONSOLE): admin_api/console/package-lock.json tools/vendor_console.py $(STAMP)
	$(BIN)/python tools/vendor_console.py
	touch $@

test: setup
	sh tools/test_packages.sh
	$(BIN)/python -m pytest -n $$(($$(nproc) + 2)) --dist loadfile -m "not alone"  # a good part of them waits
	$(BIN)/python -m pytest -m alone

bench: setup
	$(BIN)/python -m benchmarks

bench-fleet: setup
	$(BIN)/python -m benchmarks.fleet

drill-upgrade: setup
	$(BIN)/python -m tests.drills.upgrade

drill: setup
	$(BIN)/python -m tests.drills.backup

bench-backtest: setup
	$(BIN)/python -m benchmarks.backtest

bench-latency: setup  # acknowledgements and alarms at 5,000 reports/s, five minutes
	$(BIN)/python -m benchmarks.latency

soak: setup  # MINUTES=60 at 2,000 reports/s: does anything grow?
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

fuzz: setup
	$(BIN)/python -m tests.fuzz.runner --seconds $(SECONDS)

simulate: setup
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

kill: setup  # ROUNDS=200 of kill -9 under load, a table of them
	KILL_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -q tests/e2e/test_kill.py

log-outage: setup  # nats-server away for OUTAGE_S=30 seconds, and a cluster whose leader dies
	OUTAGE_S=$(or $(OUTAGE_S),30) $(BIN)/python -m pytest -s tests/gateway/test_log_outage.py

outage: setup  # the database away for five minutes at 1,000 reports/s
	OUTAGE_S=300 OUTAGE_RATE=1000 $(BIN)/python -m pytest -q tests/e2e/test_outage.py

hostile: setup  # 5,000 connections that mean no good: p99 of honest terminals with and without them
	$(BIN)/python -m benchmarks.hostile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock:
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --constraints requirements.lock \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q -o deploy/requirements.lock

clean:
	rm -rf $(VENV) admin_api/console/vendor admin_api/console/node_modules var
