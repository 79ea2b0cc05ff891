PYTHON ?= python

.PHONY: dev lint test bench

dev:
	$(PYTHON) -m pip install -e '.[train,dev]'

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

bench:
	$(PYTHON) benchmarks/scan.py
