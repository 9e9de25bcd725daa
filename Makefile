# Everything happens in .venv; nothing is installed outside this folder except Jittor's compiled
# kernels (see `unidet doctor` for the place). `make` alone explains the targets.

EXPERIMENT ?= toy
DATA_ROOT ?=
DETECTOR ?= nanodet_plus
# CUDA=1 adds a CUDA 13 toolkit from wheels (2.1 GB); one of the system needs nothing
CUDA ?=
VENV ?= .venv
# what speeds are compared with, in an environment of its own
PEERS := .venv-peers
QUICK ?=
ROWS ?=
BIN := $(VENV)/bin
# Python compiles a module when it is first imported, which most of those installed never are.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --quiet install --no-compile
# The first of these that runs and can make virtual environments; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.10 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
	2>/dev/null && echo "$$p" && break; done)

.PHONY: help setup setup-dev setup-bench setup-peers full-experiment overfit test bench format check \
	wheel clean

help:  ## this list
	@echo "unidet: open-world detection studies in pure Jittor"
	@sed -n 's/^\([a-z-]*\):.*##/\1 ##/p' $(MAKEFILE_LIST) | \
	awk -F ' ## *' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(VENV)/.ready $(if $(CUDA),$(VENV)/.ready-cuda)  ## the command in .venv/bin/unidet; CUDA=1: with a CUDA toolkit
setup-dev: $(VENV)/.ready-dev
setup-bench: $(VENV)/.ready-bench
setup-peers: $(PEERS)/.ready

full-experiment: setup $(if $(filter bench%,$(EXPERIMENT)),setup-bench)  ## the whole study: EXPERIMENT=toy|bench|bench_nanodet|…, DATA_ROOT=folder
	$(BIN)/unidet stage=report experiment=$(EXPERIMENT) $(if $(DATA_ROOT),data.root='$(DATA_ROOT)')

overfit: setup  ## a detector learns 20 images: DETECTOR=nanodet_plus|rtdetr|detr DATA_ROOT=folder
	$(BIN)/unidet stage=coco_eval experiment=overfit rpn=overfit_$(DETECTOR) data.root='$(DATA_ROOT)'

# Hundreds of tests start a process of their own, which would compile every module again; and two
# files at a time, each with all cores, would wait for one another.
test: export PYTHONDONTWRITEBYTECODE :=
test: export OMP_NUM_THREADS := 1
test: setup-dev  ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

bench: setup-dev setup-peers  ## speeds and memory beside other programs': QUICK=1, ROWS="loader coco"
	$(BIN)/python benchmarks/bench.py $(if $(QUICK),--quick) $(ROWS)

format: setup-dev  ## rewrite the sources in the common format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup-dev  ## formatter, linter and type checker, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@# mypy finds a package only where its folders lie inside each other, as in the wheel
	@rm -rf $(VENV)/typed && mkdir -p $(VENV)/typed/unidet
	@ln -s '$(CURDIR)'/unidet/* '$(CURDIR)/pipelines' $(VENV)/typed/unidet/
	MYPYPATH=$(VENV)/typed $(BIN)/mypy

wheel: setup-dev  ## build dist/*.whl
	$(BIN)/python -m build --wheel --outdir dist .

clean:  ## remove .venv and everything built; outputs/ stays
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find unidet conf pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.venv:
	@test -n "$(PYTHON)" || { echo "make setup: needs Python 3.10, 3.11 or 3.12 with its venv \
	module (Debian, Ubuntu: apt install python3-venv), or PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "make setup: $(PYTHON) cannot \
	make virtual environments (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.ready: pyproject.toml | $(VENV)/.venv
	$(INSTALL) --editable .
	@touch $@
	@echo "ready: $(BIN)/unidet"

$(VENV)/.ready-dev: pyproject.toml | $(VENV)/.venv
	$(INSTALL) --editable '.[dev,sweep,cluster]'
	@touch $@ $(VENV)/.ready

$(PEERS)/.ready: benchmarks/peers.txt | $(VENV)/.venv
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install -r benchmarks/peers.txt
	@touch $@

$(VENV)/.ready-cuda: pyproject.toml | $(VENV)/.venv
	$(INSTALL) --editable '.[cuda]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-bench: pyproject.toml | $(VENV)/.venv
	$(INSTALL) --editable '.[bench]'
	@touch $@ $(VENV)/.ready
