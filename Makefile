# Everything that people do with this repository. `make help` lists it; nothing but Python 3.11+ (with venv) and make is needed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOLDFAST := $(BIN)/holdfast
PYTEST := $(BIN)/python -m pytest
UV_VERSION := 0.13.9

# `STACK=full` has a command run Holdfast on the servers of `make stack`, with data of its own, instead of embedded ones.
STACK ?=
ifeq ($(STACK),full)
STACK_ENV := $${HOLDFAST_STACK_DIR:-.stack}/env
HOLDFAST_ON := test -e "$(STACK_ENV)" || { echo "there is no stack here yet: make stack" >&2; exit 1; }; \
	set -a; . "$(STACK_ENV)"; set +a; $(HOLDFAST)
else ifeq ($(STACK),)
HOLDFAST_ON := $(HOLDFAST)
else
$(error STACK is `full`, or nothing for the embedded servers)
endif

##@ Run it, embedded, or with STACK=full on the servers of `make stack`
.PHONY: up down status demo verify
up: $(VENV)/.run-ready $(if $(STACK),stack) ## Start everything on this machine and print the addresses
	@$(HOLDFAST_ON) up

down: $(VENV)/.run-ready ## Stop everything that `make up` started; the data stays in .holdfast
	@$(HOLDFAST_ON) down

status: $(VENV)/.run-ready ## Show what runs and whether it answers
	@$(HOLDFAST_ON) status

demo: $(VENV)/.run-ready ## Open 200 vendors in real cities, play an evening of 2,000 bookings, then verify
	@$(HOLDFAST_ON) demo

verify: $(VENV)/.run-ready ## Audit the database: nothing lost, nothing sold twice
	@$(HOLDFAST_ON) verify

##@ The real servers
.PHONY: stack stack-down stack-status
stack: $(VENV)/.run-ready ## Fetch and start Kafka, Elasticsearch, Cassandra, Postgres with a replica, Valkey, stripe-mock
	@$(BIN)/python -m holdfast.stack up

stack-down: $(VENV)/.run-ready ## Stop what `make stack` started; jars and data stay in .stack
	@$(BIN)/python -m holdfast.stack down

stack-status: $(VENV)/.run-ready ## Show what runs of the stack and what it answers
	@$(BIN)/python -m holdfast.stack status

##@ Work on it
.PHONY: setup test check lint types contracts format docs bench soak lock clean
setup: $(VENV)/.work-ready ## Make .venv with everything that development needs

test: $(VENV)/.work-ready ## Run all tests, also those that bring the whole product up
	@$(PYTEST)

check: lint types contracts ## Run everything that CI runs: lint, types, contracts, tests, coverage gates
	@$(PYTEST) -p tests.coverage_gates --cov --cov-report=

lint: $(VENV)/.work-ready ## Look for mistakes and for code that is not formatted
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.work-ready ## Check the types
	@$(BIN)/mypy

contracts: $(VENV)/.work-ready ## Check which folder may know which
	@$(BIN)/lint-imports

format: $(VENV)/.work-ready ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.work-ready ## Write docs/reference/settings.md anew
	@$(BIN)/python -m holdfast.settings_page docs/reference/settings.md

bench: $(VENV)/.work-ready ## Measure booking against the plain baseline, and beside 1,000 forged webhooks, in turn
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.forged

soak: $(VENV)/.work-ready ## The long runs: 10,000 seeds, 20,000 stories and 5,000 bookings of money, 500 searches among 100,000 vendors, 10,000 ended bookings
	@HOLDFAST_SIMULATION_SEEDS=10000 $(PYTEST) tests/simulation
	@HOLDFAST_MONEY_RUNS=20000 $(PYTEST) tests/domain/test_payment_machine.py
	@HOLDFAST_PAYMENT_BOOKINGS=5000 $(PYTEST) -s tests/system/test_money.py
	@HOLDFAST_SEARCH_VENDORS=100000 HOLDFAST_SEARCH_QUERIES=500 $(PYTEST) -s tests/system/test_search_is_exact.py
	@HOLDFAST_ENDED_BOOKINGS=10000 $(PYTEST) tests/system/test_faults_on_real_servers.py -k agree

lock: ## Find the newest allowed dependencies and write both lock files
	@$(PYTHON) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/pip install --quiet uv==$(UV_VERSION)
	@$(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--extra build pyproject.toml -o requirements.lock
	@$(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## Remove .venv and what tools left behind; the data in .holdfast and .stack stays
	@rm -rf $(VENV) $(VENV)-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Help
.PHONY: help
help: ## List all this
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
		echo "Holdfast needs Python 3.11 or newer with venv (on Debian: apt install python3-venv)." \
			"Name another one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: requirements.lock pyproject.toml | $(BIN)/python
	@if [ ! -e $(VENV)/.work-ready ]; then \
		echo "installing what Holdfast runs on into $(VENV) (once, about a minute)"; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	else $(MAKE) --no-print-directory $(VENV)/.work-ready; fi
	@touch $@

$(VENV)/.work-ready: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing what work on Holdfast needs into $(VENV) (once, about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
