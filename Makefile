# Every check of this repository is a target here; .ci/run calls them in order.
#   make help

SHELL := bash
.DEFAULT_GOAL := help

# A developer's go.work must not change what is built, and -modfile refuses to work beside one.
export GOWORK := off

# The tools are pinned in a module of their own, so that the library does not depend on them.
TOOL := go tool -modfile=tools/go.mod

# Modules below the root, each with its own go.mod; tools/ only pins versions and has no code.
MODULES = $(sort $(patsubst %/go.mod,%,$(shell find . -mindepth 2 -name go.mod \
	-not -path './tools/*' -not -path '*/testdata/*' -not -path '*/.*/*')))

# What a caller may set: make bench PKG=./internal/table BENCH=Get COUNT=6
# SHORT= (empty) takes the benchmarks of 1,000,000 records and 100,000 live queries too.
PKG       ?= ./bench
BENCH     ?= .
BENCHTIME ?= 0.2s
COUNT     ?= 6
SHORT     ?= -short
FUZZTIME  ?= 5s
EXAMPLES  ?= quickstart tasks
export FUZZTIME

BENCH_RUN = go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) -timeout 2h $(SHORT) $(PKG)

# The table beside other stores: make bench-table TABLE=-full, or TABLE=-quick. OUT has its markers, or is made.
TABLE ?=
OUT   ?= README.md

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

##@ Test

.PHONY: test
test: ## Run the tests
	go test ./...

.PHONY: race
race: ## Run the tests under the race detector, in random order
	go test -race -shuffle=on ./...

.PHONY: fuzz
fuzz: ## Fuzz every target of every package for FUZZTIME (5s)
	@.ci/fuzz

.PHONY: examples
examples: ## Build every example, run those that end by themselves (EXAMPLES)
	go build -o /dev/null ./examples/...
	@set -e; for name in $(EXAMPLES); do echo "go run ./examples/$$name"; go run "./examples/$$name"; done
	go run ./examples/analytics -duration 2s

.PHONY: modules
modules: ## Build, vet and test every nested module on its own
	@set -e; for dir in $(MODULES); do \
		echo "-- $$dir"; \
		go -C "$$dir" build ./...; \
		go -C "$$dir" vet ./...; \
		go -C "$$dir" test ./...; \
	done

.PHONY: ci
ci: ## Run all that CI runs
	@.ci/run

##@ Code

.PHONY: fmt
fmt: ## Format the code
	$(TOOL) gofumpt -l -w .

.PHONY: lint
lint: fmt-check vet staticcheck fix-check ## Check formatting, go vet, staticcheck and go fix

.PHONY: fmt-check
fmt-check:
	@files=$$($(TOOL) gofumpt -l .) || exit; \
	if [ -n "$$files" ]; then printf 'not formatted (make fmt):\n%s\n' "$$files"; exit 1; fi

.PHONY: vet
vet:
	go vet ./...

.PHONY: staticcheck
staticcheck:
	$(TOOL) staticcheck ./...

# Prints the patch and fails when it is not empty.
.PHONY: fix-check
fix-check:
	@go fix -diff ./... || { echo 'go fix has something to say (go fix ./...)'; exit 1; }

.PHONY: tidy-check
tidy-check: ## Check that every go.mod and go.sum is tidy
	@set -e; for dir in . ./tools $(MODULES); do \
		go -C "$$dir" mod tidy -diff || { echo "not tidy (go -C $$dir mod tidy)"; exit 1; }; \
	done

##@ Benchmarks

.PHONY: bench
bench: ## Run the benchmarks: PKG, BENCH, BENCHTIME, COUNT, SHORT=
	$(BENCH_RUN)

# -short leaves out what takes minutes: a million records, 100,000 live queries.
.PHONY: bench-once
bench-once: ## Run every benchmark once, to see that it works
	go test -run '^$$' -bench . -benchtime 1x -short ./...
	go -C bench/peers test -run '^$$' -bench . -benchtime 1x -short ./...

.PHONY: bench-table
bench-table: ## Measure all stores; table into OUT (README.md), plots into bench/plots: TABLE=-quick, TABLE=-full
	cd bench/peers && go run ./cmd/table $(TABLE) -out ../../$(OUT) -plots ../plots -json ../results.json

# The earlier baseline stays until the new run has succeeded.
.PHONY: bench-save
bench-save: ## Run the benchmarks and keep the result as the baseline
	set -o pipefail; $(BENCH_RUN) | tee bench/current.txt
	@mv bench/current.txt bench/baseline.txt

.PHONY: bench-compare
bench-compare: ## Run the benchmarks and compare them with the baseline
	@test -f bench/baseline.txt || { echo 'no baseline yet (make bench-save)'; exit 1; }
	set -o pipefail; $(BENCH_RUN) | tee bench/current.txt
	@$(TOOL) benchstat bench/baseline.txt bench/current.txt
