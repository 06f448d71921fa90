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
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(if $(filter cpu-Linux,$(TORCH)-$(shell uname)),https://download.pytorch.org/whl/cpu/torch/))
TOOLS := $(VENV)/tools

# A folder of runs or of bundles means the last one in it.
RUN ?= runs
BUNDLE ?= bundles
ARGS ?=
# Who is not root already mounts images with sudo.
ROOT_BY ?= $(if $(filter 0,$(shell id -u)),,$(shell command -v sudo) $(if $(shell command -v sudo),--preserve-env))

.DEFAULT_GOAL := help
.PHONY: help setup demo repro train eval inference serve ui test test-fast check hparams tensorboard mlflow compose images images-check lock clean

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

eval: setup ## a bundle of the last run that is done, measured
	PATH="$(CURDIR)/$(BIN):$$PATH" RUN="$(RUN)" sh tools/eval $(ARGS)

inference: setup ## answers of the newest bundle: make inference ARGS=photo.jpg
	$(KENNEL) predict $(BUNDLE) $(ARGS)

serve: setup ## the newest bundle over HTTP, with its page: make serve ARGS="--port 8080"
	$(KENNEL) serve $(BUNDLE) $(ARGS)

ui: setup ## the newest bundle in the browser, with Gradio: make ui ARGS="--examples photos"
	$(KENNEL) ui $(BUNDLE) $(ARGS)

test: setup ## all tests, with coverage
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=xml $(ARGS)

test-fast: setup ## the tests that neither train nor build
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

check: setup $(TOOLS)/ready ## style, types, import contracts; workflows, images, Compose, shell, templates; known holes
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/lint.py --tools $(TOOLS)/bin

hparams: setup ## trials of all studies at http://localhost:6006, HPARAMS, PARALLEL COORDINATES VIEW
	@$(BIN)/python tools/port.py hparams 6006 $(ARGS)
	$(BIN)/tensorboard --logdir studies $(ARGS)

tensorboard: setup ## curves and pictures of all runs at http://localhost:6006
	@$(BIN)/python tools/port.py tensorboard 6006 $(ARGS)
	$(BIN)/tensorboard --logdir runs $(ARGS)

mlflow: setup ## what logger=mlflow kept, at http://localhost:5000
	@$(BIN)/python tools/port.py mlflow 5000 $(ARGS)
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db $(ARGS)

compose: ## docker compose, with engine, folders and user seen to: make compose ARGS="up train"
	@sh tools/compose $(ARGS)

images: ## kennel-serve, -train and -ui, by Docker or buildah: make images ARGS=serve BUNDLE=bundles/<id>
	@tools/images $(ARGS)

images-check: setup ## the serve image, built and tried without an engine: ARGS="serve ui train" for all
	PYTHONDONTWRITEBYTECODE=1 $(ROOT_BY) $(BIN)/python tools/images_check $(if $(filter-out bundles,$(BUNDLE)),--bundle $(BUNDLE)) $(ARGS)

lock: setup ## requirements.lock and locks/ from pyproject.toml: make lock ARGS="--upgrade-package NAME"
	UV="$(UV)" $(BIN)/python tools/lock.py $(ARGS)

clean: ## kennel clean, then what is left of caches, and the environment; never photos or bundles
	@test ! -x $(KENNEL) || $(KENNEL) clean
	rm -rf $(VENV) .kennel .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage* coverage.xml dist
