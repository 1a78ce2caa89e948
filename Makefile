# Every target sets up .venv from requirements.lock first where it needs it. `make help` lists them.

PYTHON ?= python3
BENCHMARK ?= benchmark.yaml
CLUSTER ?= local
WATCH ?=
RESULTS ?= results
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HARNESS = $(BIN)/harness --results $(RESULTS)

# A SLURM of our own, where `make slurm-up` has started one.
ifneq ($(wildcard .slurm/slurm.conf),)
export SLURM_CONF ?= $(abspath .slurm/slurm.conf)
endif

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv and install everything from requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "make: $(PYTHON) cannot make a virtual environment (Debian: apt-get install python3-venv)"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

benchmark: $(READY) ## run BENCHMARK=benchmark.yaml on CLUSTER=local|slurm|inline and print its tables; WATCH=1 waits on slurm
	@$(BIN)/harness -b $(BENCHMARK) run --cluster $(CLUSTER) --report $(if $(WATCH),--watch)

test: $(READY) ## every test that fits ten minutes on two cores, in two processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

test-all: $(READY) ## every method on every encoder in 2-D and 3-D (up to an hour); writes docs/results/contract.md
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/methods -m full --write-contract docs/results/contract.md

check: $(READY) ## lint, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## time this project against its peers; ratios within one run
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

test-slurm: $(READY) ## every fault five times on private SLURMs (an hour, as root); writes docs/results/faults.md
	$(BIN)/python -m pytest tests/slurm -m slurm
	$(BIN)/python tests/faults --times 5 --write docs/results/faults.md

rehearse: $(READY) ## every part of the four published benchmarks on made-up data; writes docs/results/rehearsals.md
	$(BIN)/python scripts/rehearse.py --write docs/results/rehearsals.md

test-page: $(READY) ## the report's page in headless Chromium and its tables in TeX, where both are installed
	$(BIN)/python -m pytest tests/report -m "browser or tex"

test-nnunet: $(READY) ## nnU-Net itself on a few cases: plans, training, resuming, scores (a few minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/methods/test_nnunet.py -m nnunet

mutants: $(READY) ## inject every bug that the methods' description warns of (ten minutes); writes docs/results/mutants.md
	$(BIN)/python tests/mutants --write docs/results/mutants.md

learn: $(READY) ## every method pretrained for four minutes, then probed (six core hours; resumable); writes docs/results/learning.md
	@for seed in 0 1; do \
	  $(HARNESS) -b examples/learn.yaml run --filter seed=$$seed || exit $$?; done
	@if [ -d "$(MEDSSL_DATA)/Task04_Hippocampus" ]; then for seed in 0 1 2; do \
	  $(HARNESS) -b examples/learn_hippocampus.yaml run --filter seed=$$seed || exit $$?; done; \
	else echo "learn: no hippocampi: set MEDSSL_DATA to the folder that holds Task04_Hippocampus"; fi
	@$(HARNESS) -b examples/learn_finetune.yaml run
	@$(BIN)/python scripts/learning.py --results $(RESULTS) --write

protocols: $(READY) ## uses of small encoders on public data below MEDSSL_DATA (hours; resumable); writes docs/results/protocols.md
	@test -d "$(MEDSSL_DATA)" || { echo "protocols: set MEDSSL_DATA to the folder that holds the data"; exit 2; }
	@for seed in 0 1 2; do for name in pneumonia retina hippocampus lung_tumour glioma; do \
	  $(HARNESS) -b examples/protocols_$$name.yaml run --filter seed=$$seed || exit $$?; done; done
	@$(BIN)/python scripts/protocols.py --results $(RESULTS) --write

represent: $(READY) ## what encoders learnt: heads, reuse, maps (hours; resumable); writes docs/results/representations.md
	@test -d "$(MEDSSL_DATA)" || { echo "represent: set MEDSSL_DATA to the folder that holds the data"; exit 2; }
	@for seed in 0 1 2; do \
	  $(HARNESS) -b examples/represent.yaml run --filter seed=$$seed || exit $$?; done
	@$(HARNESS) -b examples/represent.yaml run
	@$(BIN)/python scripts/representations.py --results $(RESULTS) --write

statistics: $(READY) ## simulate coverage and false findings (half an hour); writes docs/results/statistics.md
	OMP_NUM_THREADS=1 $(BIN)/python scripts/validate_statistics.py --write

slurm-up: ## start a private one-machine SLURM (Debian, as root)
	@$(PYTHON) scripts/slurm.py up --install

slurm-down: ## stop the SLURM that slurm-up started
	@$(PYTHON) scripts/slurm.py down

lock: ## write requirements.lock anew from pyproject.toml
	$(PYTHON) scripts/lock.py

clean: ## remove .venv and tool caches; results and reports stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

.PHONY: help setup benchmark test test-all mutants check bench learn protocols represent rehearse statistics test-slurm test-page test-nnunet slurm-up slurm-down lock clean
