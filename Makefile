PYTHON ?= python

.PHONY: dev lint test test-fast bench battery fuzz

dev:
	$(PYTHON) -m pip install -e '.[train,dev]'

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

# What a change breaks shows here within two minutes; whole networks and training runs are left out.
test-fast:
	$(PYTHON) -m pytest -m "not slow"

# What broken and odd files give, as the table in docs/robustness.md.
battery:
	$(PYTHON) -m tests.battery

# Thousands of damaged files; goes on where it was stopped (fuzz/README.md).
fuzz:
	$(PYTHON) -m fuzz

# BENCH=--quick shows in a few minutes whether they run.
bench:
	$(PYTHON) benchmarks/speed/startup.py $(BENCH)
	$(PYTHON) benchmarks/speed/nets.py $(BENCH)
	$(PYTHON) benchmarks/speed/scan.py $(BENCH)
	$(PYTHON) benchmarks/speed/memory.py $(BENCH)
	$(PYTHON) benchmarks/speed/peers.py $(BENCH)
	$(PYTHON) benchmarks/speed/growth.py $(BENCH)
