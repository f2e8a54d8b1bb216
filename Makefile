# Two commands: `make up` runs everything on this machine, `make test` proves it. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help up test lint fetch faults
.NOTPARALLEL:

fetch_parts := deploy/parts/fetch

# Where the fetched parts lie, for the program and its tests.
parts_env = LEADTRAIL_ENGINE__LIBRARY="$$($(fetch_parts) path engine)" \
            LEADTRAIL_ENRICH__PLACE_DATABASE="$$($(fetch_parts) path places)"
test_env = $(parts_env) LEADTRAIL_KAFKA_LIBS="$$($(fetch_parts) path kafka)"

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1\t\2/p' Makefile | expand -t 12

# The last line is an exec, so that Ctrl-C and TERM reach the program itself and make waits for its clean end.
up: ## fetch what is missing, build, and run all of Leadtrail on this machine with a demo site
	@$(fetch_parts) up
	@cargo build --release --locked --bin leadtrail
	@exec env $(parts_env) target/release/leadtrail up --demo

test: ## fetch what is missing, check format, lints and documentation, and run every test
	@$(fetch_parts) test
	@$(MAKE) --no-print-directory lint
	@$(test_env) cargo test --locked

lint: ## format, clippy and rustdoc, warnings denied
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --document-private-items

# A round is a load, a fault at a moment that the seed decides, healing, and the reckoning. The log adds up over several calls:
# RESUME=1 leaves out the rounds that it has. `leadtrail-load faults --help` has the rest.
ROUNDS ?= 1
SEED ?= 1
RATE ?= 500
STRIKES ?= 1
SCENARIO ?= all
FAULTS_LOG ?= loadtest/faults.log

faults: ## break everything under load and reconcile: ROUNDS= SEED= RATE= STRIKES= SCENARIO= RESUME=1
	@$(fetch_parts) test
	@cargo build --release --locked
	@for home in disk kafka; do \
		$(test_env) target/release/leadtrail-load faults --home $$home --rounds $(ROUNDS) --seed $(SEED) --rate $(RATE) --hang 20 \
			--strikes $(STRIKES) --scenario $(SCENARIO) --log $(FAULTS_LOG) $(if $(RESUME),--resume) || failed=1; \
	done; exit $${failed:-0}

fetch: ## only download the parts for `make up` and `make test`
	@$(fetch_parts) test
