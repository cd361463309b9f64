# `make` lists the targets. Everything happens in $(VENV); nothing outside the folder is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Workers of the test run; training tests start processes of their own.
WORKERS ?= 2
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup train test soak test-fast kind e2e check format bench manifests lock image clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make the virtual environment (train and test do it by themselves)

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "make: $(PYTHON) was $$($(PYTHON) --version), must be Python 3.11 to 3.13: call make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=24,<27'
	$(BIN)/python -m pip install --quiet --editable '.[test,check]'
	$(BIN)/python -m pip check
	@touch $@

train: $(VENV)/.ready ## train an agent on real prices, judge it, write the report
	$(BIN)/rsc train examples/01-first-run.yaml
	$(BIN)/rsc report last

test: $(VENV)/.ready ## run every test that needs no cluster (scripts/tools.sh .tools: none is skipped)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not cluster and not soak' $(PYTEST_ARGS)

soak: $(VENV)/.ready ## run the long repetitions: ten kills, more seeds, more shapes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'soak and not cluster' $(PYTEST_ARGS)

test-fast: $(VENV)/.ready ## run the tests that train nothing (a minute or two)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m 'not ray and not learning and not fault and not soak and not cluster' $(PYTEST_ARGS)

kind: ## make a cluster for the end-to-end tests: kind, KubeRay and the image (scripts/kind.sh)
	scripts/kind.sh

# Tests at a time, 0 for one after the other; each trains on five pods.
E2E_WORKERS ?= 0
e2e: $(VENV)/.ready ## run the end-to-end tests on the cluster of KUBECONFIG (docs/kubernetes.md)
	RSC_E2E=1 $(BIN)/python -m pytest tests/e2e tests/cluster -m 'e2e or cluster' -p no:randomly -n $(E2E_WORKERS) $(PYTEST_ARGS)

check: $(VENV)/.ready ## format, lint, types, layers, dead code, dependencies, workflows
	$(BIN)/ruff format --check rsc tests benchmarks docker scripts
	$(BIN)/ruff check rsc tests benchmarks docker scripts
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/house.py
	$(BIN)/vulture
# Tests are no users here: what only they call is dead.
	! $(BIN)/vulture --min-confidence 60 rsc benchmarks | grep -E 'unused (function|class|import)'
	$(BIN)/deptry rsc
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs rsc tests examples benchmarks docker
	$(BIN)/yamllint --strict examples docker .github helm/rsc-train/values.yaml helm/rsc-train/ci k8s/overlays
	$(BIN)/zizmor --offline --quiet .github

format: $(VENV)/.ready ## rewrite the code in the project's format
	$(BIN)/ruff format rsc tests benchmarks docker scripts
	$(BIN)/ruff check --fix rsc tests benchmarks docker scripts

bench: $(VENV)/.ready ## run the quick benchmarks that need no cluster; a missed bar is an error
	@missed=0; for name in simulator dqn recording reset; do \
	  echo "$(BIN)/python benchmarks/$$name.py --quick"; \
	  $(BIN)/python benchmarks/$$name.py --quick || missed=1; \
	done; exit $$missed

# Where `make manifests` writes; the tests compare another folder with this one.
OUT ?= .
RENDER = helm template rsc-train helm/rsc-train --values helm/rsc-train/ci/rayjob-values.yaml --skip-tests

manifests: ## render k8s/ and what `rsc submit` fills in from the chart (needs helm and helm-docs)
	mkdir -p $(OUT)/k8s/base $(OUT)/rsc/cluster/manifest $(OUT)/helm/rsc-train
	{ cat k8s/header.txt; $(RENDER); } > $(OUT)/k8s/rayjob.yaml
	$(RENDER) --set jobs.verify.enabled=true --show-only templates/job-verify.yaml > $(OUT)/k8s/verify.yaml
	cp $(OUT)/k8s/rayjob.yaml $(OUT)/k8s/base/rayjob.yaml
	$(RENDER) --set jobs.hooks=true $(foreach name,hooks job-migrate job-preflight,--show-only templates/$(name).yaml) \
	  > $(OUT)/k8s/preflight.yaml
	$(RENDER) --set jobs.hooks=true > $(OUT)/rsc/cluster/manifest/manifest.yaml
	helm-docs --chart-search-root helm --sort-values-order file --log-level warning --dry-run \
	  > $(OUT)/helm/rsc-train/README.md

lock: $(VENV)/.ready ## pin the packages of the image to those of the virtual environment
	$(BIN)/python docker/lock.py

# podman build, or whatever builds and takes the same arguments.
BUILD ?= docker build
IMAGE ?= rsc:dev
TORCH ?= cpu

image: ## build the image of every pod (TORCH=cu130 for CUDA)
	$(BUILD) --file docker/Dockerfile --tag $(IMAGE) --build-arg TORCH=$(TORCH) \
	  --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	  --build-arg COMMIT=$$(git describe --always --dirty) \
	  --build-arg CREATED=$$(git log -1 --format=%cI) .

clean: ## remove the virtual environment and caches, never runs or databases
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
