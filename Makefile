# The verbs of people and of continuous integration. `make demo` and `make test` are all a fresh machine needs.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV = $(if $(shell command -v uv),uv,$(BIN)/uv)
KENNEL := $(BIN)/kennel
# Which torch: cuda where there is NVIDIA's driver, else cpu, from PyTorch's own index or from a folder that is named.
TORCH ?= $(if $(or $(wildcard /proc/driver/nvidia/version),$(shell command -v nvidia-smi)),cuda,cpu)
TORCH_LOCK := locks/torch$(if $(filter cpu,$(TORCH)),-cpu).lock
export CPU_WHEELS ?= https://download.pytorch.org/whl/cpu/torch/
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(if $(filter cpu-Linux,$(TORCH)-$(shell uname)),$(CPU_WHEELS)))
TOOLS := $(VENV)/tools

# The time that a build writes into what it makes: that of the commit.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
RUN ?= $(shell ls -td runs/*/ 2>/dev/null | head -n 1)
BUNDLE ?= $(shell ls -td bundles/*/ 2>/dev/null | head -n 1)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo repro train eval inference serve ui test test-fast check dist sbom hparams tensorboard mlflow lock clean

help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

setup: $(VENV)/ready ## the environment in .venv, from requirements.lock: every file by its hash

$(VENV)/ready: pyproject.toml requirements.lock $(TORCH_LOCK) locks/build.lock
	$(if $(filter cpu cuda,$(TORCH)),,$(error TORCH=$(TORCH) is locked by nobody; say TORCH=cpu or TORCH=cuda))
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || uv venv --seed $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install -q --require-hashes -r locks/build.lock
	$(UV) pip install -q --python $(BIN)/python --require-hashes --build-constraint locks/build.lock \
	  -r locks/build.lock -r requirements.lock -r $(TORCH_LOCK)
	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# What lints and lists holds other libraries back than Kennel does: an environment of its own.
$(TOOLS)/ready: locks/tools.lock locks/compose.lock | $(VENV)/ready
	$(UV) venv -q --clear --python $(BIN)/python $(TOOLS)
	$(UV) pip install -q --python $(TOOLS)/bin/python --require-hashes -r locks/tools.lock
	@# The program in it is the same for every Python and libc; its wheel says otherwise.
	@test "$$(uname -sm)" != "Linux x86_64" || $(UV) pip install -q --python $(TOOLS)/bin/python --require-hashes \
	  --python-version 3.13 --python-platform x86_64-manylinux_2_35 --target $(TOOLS)/compose -r locks/compose.lock
	@touch $@

demo: setup ## the main job on drawn pictures: draw, index, train, export, evaluate, predict
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/demo

repro: setup ## the pipeline of dvc.yaml, what of it is out of date: make repro ARGS=index
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro $(ARGS)

train: setup ## one run: make train ARGS="experiment=quick data.photos=photos"
	$(KENNEL) train $(ARGS)

eval: setup ## a bundle of the newest run, measured
	$(KENNEL) export $(RUN) --to bundles/$(notdir $(RUN:/=))
	$(KENNEL) evaluate bundles/$(notdir $(RUN:/=)) $(ARGS)

inference: setup ## answers of the newest bundle: make inference ARGS=photo.jpg
	$(KENNEL) predict $(BUNDLE) $(ARGS)

serve: setup ## the newest bundle over HTTP, with its page: make serve ARGS="--port 8080"
	$(KENNEL) serve $(BUNDLE) $(ARGS)

ui: setup ## the newest bundle in the browser, with Gradio: make ui ARGS="--examples photos"
	$(KENNEL) ui $(BUNDLE) $(ARGS)

test: setup $(TOOLS)/ready ## all tests, with coverage
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=xml $(ARGS)

test-fast: setup $(TOOLS)/ready ## the tests that neither train nor build
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

check: setup $(TOOLS)/ready ## style, types, import contracts; workflows, images, Compose, shell, templates; known holes
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/lint.py --tools $(TOOLS)/bin

dist: setup ## wheel and sdist in dist/: of one commit the same bytes wherever they are built
	$(UV) build -q --python $(BIN)/python --require-hashes --build-constraint locks/build.lock --out-dir dist

sbom: dist $(TOOLS)/ready ## what is in the wheel, and in images, as CycloneDX: make sbom IMAGES="kennel-serve kennel-train"
	$(TOOLS)/bin/python tools/sbom.py --environment $(VENV) --wheel "$$(ls -t dist/*.whl | head -n 1)" --to dist/sbom
	$(if $(IMAGES),$(TOOLS)/bin/python tools/sbom.py --to dist/sbom $(addprefix --image ,$(IMAGES)))

hparams: setup ## trials of all studies at http://localhost:6006, HPARAMS, PARALLEL COORDINATES VIEW
	$(BIN)/tensorboard --logdir studies $(ARGS)

tensorboard: setup ## curves and pictures of all runs at http://localhost:6006
	$(BIN)/tensorboard --logdir runs $(ARGS)

mlflow: setup ## what logger=mlflow kept, at http://localhost:5000
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db $(ARGS)

lock: setup ## requirements.lock and locks/ from pyproject.toml: make lock ARGS="--upgrade-package NAME"
	UV="$(UV)" $(BIN)/python tools/lock.py $(ARGS)

clean: ## kennel clean, then what is left of caches, and the environment; never photos or bundles
	@test ! -x $(KENNEL) || $(KENNEL) clean
	rm -rf $(VENV) .kennel .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage* coverage.xml dist
