# The commands of this repository; `make` alone lists them.

GO      ?= go
TOOLS   := -modfile=deploy/tools/go.mod
GOTOOL  := $(GO) tool $(TOOLS)
PACKAGES ?= ./...
BIN     := bin
FUZZTIME ?= 30s

.DEFAULT_GOAL := help
.PHONY: help build demo demo-check test check fmt format vet lint cross race e2e soak bench fuzz clean deps web openapi

help: ## list the commands
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/bambuddy-hub, bin/bambuddy-agent, bin/bambuddy-simulator
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/bambuddy-hub ./hub
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/bambuddy-agent ./agent
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/bambuddy-simulator ./shared/simprinter/bambuddy-simulator

demo: ## build all, start a hub, an agent and six simulated printers, print URL and key
	@bash deploy/scripts/demo.sh

demo-check: # start the demo, look at it, end it
	@bash deploy/scripts/demo-check.sh

test: deps race ## run every test with the race detector

check: deps format vet lint cross web race demo-check ## all that CI checks

deps:
	@bash deploy/scripts/test-deps.sh

fmt: ## format the code
	$(GOTOOL) gofumpt -w .

format:
	@echo "checking the format (the tools are built at their first use, which takes some minutes)"
	@! git grep -nE '^(<<<<<<<|>>>>>>>) ' || { echo "a merge was not finished"; exit 1; }
	@out=$$($(GOTOOL) gofumpt -l .); test -z "$$out" || { echo "not formatted (make fmt):"; echo "$$out"; exit 1; }

vet:
	$(GO) vet ./...

lint: ## run the linters
	$(GOTOOL) golangci-lint run --timeout 20m

cross:
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) build -o /dev/null ./agent
	GOOS=linux GOARCH=arm GOARM=7 CGO_ENABLED=0 $(GO) build -o /dev/null ./agent

web: ## check the TypeScript and hold the API document against public linters (needs Node)
	@bash deploy/scripts/web.sh check

# Twice: what types are comes from their comments, and is part of the program.
openapi: ## write the API document and the client's types anew
	$(GO) test ./hub/internal/api -count=1 -run 'TestSchemaWords' -update
	$(GO) test ./hub/internal/api -count=1 -run 'TestOpenAPIGolden' -update
	@bash deploy/scripts/web.sh generate

# One processor a test program: in a synctest bubble Go 1.26 lets two threads run
# timers under one context of the race detector, which now and then crashes it
# (runtime/time.go, unlockAndRun). Programs still run side by side.
RACE := -race -cpu 1

race:
	$(GO) test $(RACE) -shuffle=on -timeout 20m $(PACKAGES)

e2e: deps ## run the whole-system tests alone
	$(GO) test $(RACE) -timeout 20m ./deploy/e2e/...

SOAK_MINUTES ?= 20

soak: deps ## kill the programs at random for SOAK_MINUTES (20) while prints run, and look what is lost
	E2E_MINUTES=$(SOAK_MINUTES) $(GO) test -count=1 -v -timeout 0 -run 'TestKilledAtAnyMoment' ./deploy/e2e

bench: ## run all benchmarks
	$(GO) test -run '^$$' -bench . -benchmem $(PACKAGES)

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@bash deploy/scripts/fuzz.sh $(FUZZTIME)

clean: ## remove what was built and the demo's data
	rm -rf $(BIN) .demo
