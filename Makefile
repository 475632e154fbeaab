# Every target does its own set-up in .venv; nothing needs to be installed before.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORE_READY := $(VENV)/.ready-core

# One thread for numerical libraries: the tests and the demo run workers side by side.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

# Without byte code on disk, each process that a test starts compiles the package anew, and every
# run rewrites the assertions of all tests again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test check lint types quick check-core bench docs clean

help:
	@echo "make demo   synthetic fields all the way to a submission (in demo/)"
	@echo "make test   every check: lint, types, quick and slow tests"
	@echo "make check  the quick part of it; make lint, types or quick: one step of this"
	@echo "make check-core  a minute of tests that need no torch; with VENV=DIR in a small environment of its own"
	@echo "make bench  the figures of docs/benchmarks.md"
	@echo "make docs   the documentation as HTML (docs/_build/html)"
	@echo "make clean  remove .venv and what was built"

setup: $(READY)

$(READY): setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@ $(CORE_READY)

# The base install and the tools of the tests, unless everything is there already.
$(CORE_READY): setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: $(READY)
	$(BIN)/python -m pipelines.demo --workspace demo --overwrite

check: lint
	$(MAKE) --no-print-directory -j 2 types quick

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Without a cache it takes a minute on one core: beside the tests, it leaves none idle.
types: $(READY)
	$(BIN)/mypy

quick: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

check-core: $(CORE_READY)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "core and not long and not slow" \
		$$(grep -rl --include='test_*.py' mark.core tests | LC_ALL=C sort)

# Pages in a process of their own: what drives the browser stays in the process that starts it.
test: check
	$(BIN)/python -m pytest -m browser
	$(BIN)/python -m pytest -m "slow and not browser"

bench: $(READY)
	$(BIN)/python -m benchmarks

docs: $(READY)
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache
