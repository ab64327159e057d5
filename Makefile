# `make demo` and `make test` work as the first command after a clone; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python
PROTOS = $(shell cd protos && find headrace -name '*.proto' | sort)
# Two workers: unit tests wait little, so more processes than cores gain nothing.
TEST_PROCESSES ?= 2
PYTEST := $(RUN) -m pytest

.PHONY: help setup gen lock check test test-e2e test-kafka test-vllm controls demo up down bench model clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv with everything in it (the other targets do this by themselves)
	@env -u PYTHONDONTWRITEBYTECODE $(PYTHON) tools/setup.py

gen: setup ## generate Python from protos/headrace into protos/gen
	$(RUN) -m grpc_tools.protoc -Iprotos --python_out=protos/gen --pyi_out=protos/gen $(PROTOS)

lock: setup ## recompile requirements/*.txt (ARGS=--upgrade takes newer versions)
	$(RUN) tools/lock.py $(ARGS)

check: setup ## style, types, import directions, protos, sizes, secrets
	@$(RUN) tools/check.py $(ARGS)

test: setup ## unit, contract and integration tests without vLLM and Kafka (ARGS=… goes to pytest)
	$(PYTEST) -n $(TEST_PROCESSES) -m "not vllm and not kafka" $(ARGS)

test-vllm: setup model ## tests against the real engine
	$(PYTEST) tests/unit tests/contract tests/integration tests/e2e -m vllm $(ARGS)

test-e2e: setup model ## tests of the whole platform as processes, on simulated engines
	$(PYTEST) tests/e2e -m "not vllm and not kafka" $(ARGS)

test-kafka: setup model ## tests against one and three real Apache Kafka nodes (needs Java and Maven)
	$(RUN) tools/kafka_node.py fetch
	$(PYTEST) tests/contract tests/integration tests/e2e -m kafka $(ARGS)

controls: setup ## switch each safeguard off, expect its test to go red (minutes; no part of test or .ci/run)
	@$(RUN) tools/controls.py $(ARGS)

# The time to the first token counts from here, so that making the environment is in it.
demo: export HEADRACE_STARTED_AT := $(shell date +%s)
demo: setup ## start everything, run an agent session, kill a worker in mid-stream, stop everything
	@$(BIN)/headrace demo $(ARGS)

up: setup ## start the platform in the foreground; Ctrl-C stops all of it
	@$(BIN)/headrace up $(ARGS)

down: setup ## stop a platform that runs here
	@$(BIN)/headrace down $(ARGS)

model: setup ## fetch and convert the bundled model (once)
	@$(BIN)/headrace model fetch $(ARGS)

bench: setup ## measure: trunk, relay cost, throughput (JSON in loadtests/out)
	$(RUN) -m loadtests $(ARGS)

clean: ## remove caches and measured output; keeps .venv and .headrace
	rm -rf .mypy_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info loadtests/out
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## also remove .venv and .headrace (model, keys, stores)
	rm -rf .venv .headrace
