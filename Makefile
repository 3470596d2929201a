# `make demo` and `make test` do all set-up themselves: they need Python 3.11 or newer, make and a package index.
PYTHON ?= python3
BIN := .venv/bin
SEEDS ?= 100000
PIN := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate
ALIKE := $(PIN) --constraint requirements-dev.txt

.PHONY: help demo test test-browser lint types unit bench soak lock clean

help:            ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Recovery Bridge needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[sandbox]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: .venv/demo ## a month of service recovery on two stand-in helpdesks, over real HTTP
	@$(BIN)/recovery-bridge demo

test: lint types unit ## linters, type checker and every test

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

unit: .venv/dev
	$(BIN)/pytest --numprocesses 2

test-browser: .venv/dev ## the pages in Chromium, with axe; installs playwright's Python part, not Chromium
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-browser.txt
	BRIDGE_BROWSER=1 $(BIN)/pytest tests/browser

soak: .venv/dev ## hours of seeds, killed processes and troubled disks; SEEDS=100000
	$(BIN)/python -m tests.simulator.soak $(SEEDS)
	$(BIN)/python -m tests.simulator.crashes --pairs
	$(BIN)/pytest tests/bridge/test_case_machine.py tests/bridge/test_store_machine.py --hypothesis-profile soak
	BRIDGE_TEST_REQUESTS=500 $(BIN)/pytest tests/web/test_openapi.py
	$(BIN)/python -m tests.proxies
	$(BIN)/python -m tests.soak

bench: .venv/dev ## print the figures of docs/figures.md
	$(BIN)/python -m tests.bench

lock: .venv/bin/python ## pin the versions used in development anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev $(PIN) --upgrade --output-file requirements-dev.txt
	$(BIN)/uv pip compile pyproject.toml --extra browser $(ALIKE) --output-file requirements-browser.txt
	$(BIN)/uv pip compile pyproject.toml --extra serve --extra postgresql $(ALIKE) --output-file deploy/requirements.txt

clean:           ## remove what make made
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
