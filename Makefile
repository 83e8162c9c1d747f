# Everything a person or CI does with this repository. `make help` lists it.
#
# ARGS goes to the program that a target runs:  make demo ARGS='--once --json'   make test ARGS='-run Unlock'

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

ARGS ?=
PKGS ?= ./...
TEST_P ?= 2#           packages tested at once: more disturb the tests that measure time
TEST_TIMEOUT ?= 40m#   of one package
SEED ?= $(shell date +%s)
RACE ?= -race#         of soak; RACE= for what measures milliseconds

TEST_ENV := scripts/with-test-tools
LINT = "$$(tools/build lint)"

.PHONY: help demo build test lint fmt bench pictures fuzz soak vuln clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# All but the demo's own output goes to stderr, so that `make demo ARGS='--once --json' | jq` works.
demo: ## everything on this machine, with nothing to set up: http://127.0.0.1:8080 (ARGS: see upgradegate demo -h)
	@go build -trimpath -o bin/upgradegate ./cmd/upgradegate >&2
	@terraform="$$(scripts/find-terraform)"; export UPGRADEGATE_TERRAFORM="$$terraform"; exec bin/upgradegate demo $(ARGS)

build: ## bin/upgradegate
	go build -trimpath -o bin/upgradegate ./cmd/upgradegate

test: ## all tests, with the race detector; installs or builds what they need, or says what is skipped
	@scripts/test-needs
	@# all histories: with the race detector only a slice of them is played
	@[ -n "$(ARGS)" ] || go test -timeout $(TEST_TIMEOUT) -run 'Histories|InEachPhase' ./lifecycle
	@# and what measures milliseconds, alone
	@[ -n "$(ARGS)" ] || $(TEST_ENV) go test -timeout $(TEST_TIMEOUT) -p 1 -run 'Stag|Stream' ./integration/varnish/...
	@$(TEST_ENV) go test -race -timeout $(TEST_TIMEOUT) -p $(TEST_P) $(ARGS) $(PKGS)

lint: ## what CI checks without running the code
	go vet ./...
	go fix -diff ./...
	go mod tidy -diff
	@lint=$(LINT); set -x; "$$lint" config verify; "$$lint" run $(ARGS) $(PKGS)

fmt: ## gofumpt, and the order of imports
	@lint=$(LINT); set -x; "$$lint" fmt

bench: ## benchmarks
	@scripts/bench $(ARGS)

pictures: ## docs/pictures anew, of all pages; says which changed, by how much, and where to see what (needs chromium)
	@UPGRADEGATE_TEST_NEED=chromium go test -count=1 -v -run '^TestPictures$$' ./server/browser -pictures | sed '/^=== /d; s/^ *pictures_test.go:[0-9]*: //'

fuzz: ## every fuzz target, for FUZZTIME (30s) each
	@scripts/fuzz $(ARGS)

soak: ## the long tests, at random; SEED=n repeats a run
	@echo "soak: SEED=$(SEED)" >&2
	@[ -n "$(ARGS)" ] || UPGRADEGATE_SOAK=1 UPGRADEGATE_SOAK_SEED=$(SEED) go test -timeout 6h -run 'Histories|InEachPhase' ./lifecycle
	@# and what measures milliseconds, alone: ten outages of each length and kind, and ten quiet minutes
	@[ -n "$(ARGS)" ] || UPGRADEGATE_SOAK=1 UPGRADEGATE_SOAK_SEED=$(SEED) $(TEST_ENV) go test -count=1 -timeout 1h -p 1 -v -run Staged ./integration/varnish/lab
	@UPGRADEGATE_SOAK=1 UPGRADEGATE_SOAK_SEED=$(SEED) $(TEST_ENV) \
		go test $(RACE) -count=1 -timeout 6h -p 1 -shuffle=$(SEED) $(ARGS) $(PKGS) \
		|| { echo "soak: failed; make soak SEED=$(SEED) repeats it" >&2; exit 1; }

vuln: ## known vulnerabilities in what the product links; needs vuln.go.dev
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 $(PKGS)

clean: ## remove bin/; the tools stay cached in ~/.cache/upgradegate
	rm -rf bin
