# The project's tasks; `make help` lists them. Everything that is made goes
# below .panther and out, and nothing is installed on the machine.
#
#   ARGS       arguments of panther build-all: make build-all ARGS='--inputs offline'
#   ENGINE     dagger: make build-all in containers (docs/dagger.md); SETTINGS are
#              then what comes before the function, ARGS its arguments
#   TESTFLAGS  arguments of go test: make test TESTFLAGS='-run ^(TestPush|TestWatch)$$ -v'
#   PACKAGES   what make test tests: make test PACKAGES=./internal/nix/...
#   BENCHFLAGS arguments of tools/bench: make bench BENCHFLAGS='--cases push-*'
#
# The last three are words between spaces and mean nothing to a shell; a dollar sign
# is written twice, as everywhere in make.

SHELL := /bin/sh
# No file names from patterns: a regular expression may look like one.
.SHELLFLAGS := -fc
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STATE := .panther
BIN := $(STATE)/bin
GOLANGCI_LINT_VERSION := v2.15.0
TEST_TIMEOUT := 20m

ARGS :=
ENGINE :=
SETTINGS :=
TESTFLAGS :=
PACKAGES := ./...
BENCHFLAGS :=
export TESTFLAGS PACKAGES BENCHFLAGS

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build-all
ifeq ($(ENGINE),dagger)
build-all:
	@exec tools/dagger/call $(SETTINGS) build-all -o out $(ARGS)
else
build-all: build ## the main job: build all hosts, push them to out/cache, report in out/report
	@nix=$$(tools/nix/prepare $(STATE)/nix) && $(BIN)/panther build-all --nix "$$nix" $(ARGS)
endif

.PHONY: test
test: ## run the tests
	@versions=$$(tools/nix/prepare --versions $(STATE)/nix) && nix=$$(tools/nix/prepare --private $(STATE)/nix) && \
	s3=$$(tools/s3/prepare --no-minio $(BIN)) && \
	axe=$$(tools/axe/prepare $(STATE)/axe) && \
	gitlab=$$(tools/gitlab/prepare $(STATE)/gitlab) && \
	PANTHEROS_NIX_BIN=$$nix PANTHEROS_NIX_VERSIONS=$$versions PANTHEROS_S3_BIN=$$s3 PANTHEROS_AXE=$$axe PANTHEROS_GITLAB_CI_LOCAL=$$gitlab go test -timeout $(TEST_TIMEOUT) $$TESTFLAGS $$PACKAGES

.PHONY: check
check: build lint-tool ## format, vet, lint, module file and generated files
	@unformatted=$$(gofmt -l cmd internal pipeline tools) && \
	if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):" >&2; echo "$$unformatted" >&2; exit 1; fi
	go vet ./...
	@PATH="$$PATH:$(CURDIR)/$(BIN)" golangci-lint run ./...
	go mod tidy -diff
	@nix=$$(tools/nix/prepare $(STATE)/nix) && tools/nix/vendor-hash --check "$$nix"
	$(BIN)/panther generate --check

.PHONY: bench
bench: build ## measure pcache against its peers (BENCHFLAGS=--quick: five minutes)
	@versions=$$(tools/nix/prepare --versions $(STATE)/nix) && s3=$$(tools/s3/prepare $(BIN)) && go build -o $(BIN)/bench ./tools/bench && \
	exec $(BIN)/bench --work $(STATE)/bench --pcache $(BIN)/pcache --nix "$$versions" --s3 "$$s3" $$BENCHFLAGS

.PHONY: bench-doc
bench-doc: ## the same, and write the result to docs/benchmarks.md
	@$(MAKE) --no-print-directory bench BENCHFLAGS="--markdown docs/benchmarks.md $(BENCHFLAGS)"

PROFILED := push-dir,push-versitygw,half-30ms,pull-http,serve-*

.PHONY: profile
profile: ## take the profile that pcache is compiled by (tools/pgo/pcache.pgo) anew, from make bench's cases
	@versions=$$(tools/nix/prepare --versions $(STATE)/nix) && s3=$$(tools/s3/prepare --no-minio $(BIN)) && \
	rm -rf $(STATE)/profiles && go build -o $(BIN)/pcache-plain ./cmd/pcache && go build -o $(BIN)/bench ./tools/bench && \
	$(BIN)/bench --work $(STATE)/bench --pcache $(BIN)/pcache-plain --nix "$$versions" --s3 "$$s3" --cases '$(PROFILED)' --profiles $(STATE)/profiles $$BENCHFLAGS && \
	go run ./tools/pgo -o tools/pgo/pcache.pgo $$(find $(STATE)/profiles -name '*.pprof')

.PHONY: microbench
microbench: ## run the packages' own benchmarks
	@nix=$$(tools/nix/prepare --private $(STATE)/nix) && s3=$$(tools/s3/prepare --no-minio $(BIN)) && \
	PANTHEROS_NIX_BIN=$$nix PANTHEROS_S3_BIN=$$s3 go test -run '^$$' -bench . ./...

.PHONY: large
large: ## measure the memory of pushes and pulls of a path of 10 GB (60 GB of disk; PANTHEROS_S3=all: MinIO too)
	@nix=$$(tools/nix/prepare --private $(STATE)/nix) && s3=$$(tools/s3/prepare $(BIN)) && \
	PANTHEROS_NIX_BIN=$$nix PANTHEROS_S3_BIN=$$s3 PANTHEROS_LARGE=$${PANTHEROS_LARGE:-10000000000} go test -count=1 -timeout 6h -v $$TESTFLAGS -run TestLargePath ./cmd/pcache/e2e

.PHONY: race
race: ## run the tests of the libraries and of pcache with the race detector
	@versions=$$(tools/nix/prepare --versions $(STATE)/nix) && nix=$$(tools/nix/prepare --private $(STATE)/nix) && \
	s3=$$(tools/s3/prepare --no-minio $(BIN)) && \
	PANTHEROS_NIX_BIN=$$nix PANTHEROS_NIX_VERSIONS=$$versions PANTHEROS_S3_BIN=$$s3 go test -race -timeout $(TEST_TIMEOUT) $$TESTFLAGS ./internal/... ./cmd/pcache/... ./pipeline/...

.PHONY: build
build: ## build panther and pcache into .panther/bin
	@mkdir -p $(BIN)
	@go build -o $(BIN)/ ./cmd/panther
	@go build -pgo=tools/pgo/pcache.pgo -o $(BIN)/ ./cmd/pcache

.PHONY: man
man: build ## write pcache's manual pages and shell completions to out/man and out/completion
	@$(BIN)/pcache man out/man && mkdir -p out/completion && \
	for shell in bash fish zsh; do $(BIN)/pcache completion $$shell >out/completion/pcache.$$shell || exit 1; done
	@echo "man -l out/man/pcache.1; . out/completion/pcache.bash"

.PHONY: nix
nix: ## prepare a Nix and print the folder of its commands
	@tools/nix/prepare $(STATE)/nix

.PHONY: nix-versions
nix-versions: ## prepare the versions of Nix that the tests run with, and print their folders
	@tools/nix/prepare --versions $(STATE)/nix

.PHONY: dagger
dagger: ## build Dagger's CLI and engine and the build image, for machines without Docker
	@dir=$$(tools/dagger/prepare $(STATE)/dagger) && \
	echo "tools/dagger/engine run $$dir dagger call --image-file=$$dir/image.tar --goproxy=$$(go env GOPROXY) build-all"

.PHONY: e2e
e2e: ## the Dagger module on the real engine, with an S3 server in it
	@dir=$$(tools/dagger/prepare $(STATE)/dagger) && s3=$$(tools/s3/prepare --no-minio $(BIN)) && \
	nix=$$(tools/nix/prepare --private $(STATE)/nix) && newer=$$(tools/nix/prepare --private --suite sid $(STATE)/nix) && \
	PANTHEROS_NIX_BIN=$$nix PANTHEROS_NEWER_NIX=$$newer PANTHEROS_DAGGER=$$dir PANTHEROS_S3_BIN=$$(cd $$s3 && pwd) PANTHEROS_GOPROXY=$$(go env GOPROXY) \
	exec tools/dagger/engine run $$dir go test -count=1 -tags e2e -timeout 45m -v $$TESTFLAGS ./e2e

.PHONY: s3
s3: ## build the S3 servers of the tests, MinIO as well (PANTHEROS_S3=all make test)
	@tools/s3/prepare $(BIN)

# Built from source once: it is no dependency of the project's modules.
.PHONY: lint-tool
lint-tool:
	@command -v golangci-lint >/dev/null || [ -x $(BIN)/golangci-lint ] || { \
		echo "building golangci-lint $(GOLANGCI_LINT_VERSION), once; this takes some minutes" >&2; \
		GOBIN=$(CURDIR)/$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION); }

# Documents and tables that the flake itself writes.
STANDINS = $(foreach dir,$(wildcard flake-src/tests/stand-in/*),--override-input $(notdir $(dir)) path:$(CURDIR)/$(dir))

define flake-document
	@nix=$$(tools/nix/prepare $(STATE)/nix) && \
	PATH="$$nix:$$PATH" HOME=$(CURDIR)/$(STATE)/home NIX_CONFIG='experimental-features = nix-command flakes' \
	nix --store $(CURDIR)/$(STATE)/store eval --raw --no-write-lock-file path:$(CURDIR)/flake-src#legacyPackages.x86_64-linux.$(1) $(STANDINS) >docs/$(1).md.new 2>$(STATE)/$(1).log \
	|| { cat $(STATE)/$(1).log >&2; rm -f docs/$(1).md.new; exit 1; }; \
	mv docs/$(1).md.new docs/$(1).md
endef

.PHONY: cis
cis: ## write docs/cis.md from what the flake says of each item
	$(call flake-document,cis)

.PHONY: brief-doc
brief-doc: ## write docs/brief.md from flake-src/tests/promises
	$(call flake-document,brief)

.PHONY: hosts-doc
hosts-doc: ## write docs/hosts.md from flake-src/tests/priorities.nix
	$(call flake-document,hosts)

.PHONY: vendor-hash
vendor-hash: ## write the hash of the Go modules for the flake's package pcache
	@nix=$$(tools/nix/prepare $(STATE)/nix) && tools/nix/vendor-hash "$$nix"

.PHONY: test-real
test-real: ## all hosts on real inputs: evaluated by two versions of Nix, their files checked (docs/flake-tests.md)
	@old=$$(tools/nix/prepare --private $(STATE)/nix) && new=$$(tools/nix/prepare --private --suite sid $(STATE)/nix) && \
	checkers=$$(tools/checkers/prepare $(STATE)/checkers) && \
	PANTHEROS_NIX_BIN=$$old PANTHEROS_NIX_BINS=$$old:$$new PANTHEROS_CHECKERS=$$checkers go test -tags real -count=1 -timeout 2h -run TestReal $$TESTFLAGS ./pipeline/flake

.PHONY: options
options: ## write the tables of real options of the stand-ins from real inputs
	@nix=$$(tools/nix/prepare --private $(STATE)/nix) && \
	PANTHEROS_NIX_BIN=$$nix go test -tags real -count=1 -timeout 1h -run TestRealOptions ./pipeline/flake -update

.PHONY: clean
clean: ## remove what was built and the private Nix store, keep the tools and the cache's key
	@if [ -d $(STATE)/store ]; then chmod -R u+w $(STATE)/store; fi
	rm -rf $(STATE)/store $(STATE)/home $(BIN)/panther $(BIN)/pcache out

.PHONY: distclean
distclean: clean ## remove everything that is not in the repository, the cache's key as well
	rm -rf $(STATE)
