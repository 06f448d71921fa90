# The verbs of people and of continuous integration. `make demo` and `make test` are all a fresh machine needs.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV = $(if $(shell command -v uv),uv,$(BIN)/uv)
KENNEL := $(BIN)/kennel
# make setup TORCH=cpu (or cu130, ...) takes torch from PyTorch's own index instead of the usual one.
TORCH ?=
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

RUN ?= $(shell ls -td runs/*/ 2>/dev/null | head -n 1)
BUNDLE ?= $(shell ls -td bundles/*/ 2>/dev/null | head -n 1)
ARGS ?=
# A workflow's input: it reaches the shell as one word, whatever is in it.
export PHOTOS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo repro train eval inference serve ui test test-fast check tune evaluate promote champion pull figures dist dist-check pack runner-start runner-stop runner-sweep comment badge release workflows-check hparams tensorboard mlflow lock clean

help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

setup: $(VENV)/ready ## the environment in .venv, from requirements.lock

$(VENV)/ready: pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || uv venv --seed $(VENV)
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install -q uv
	$(UV) pip install -q --python $(BIN)/python $(if $(TORCH),--torch-backend $(TORCH)) -r requirements.lock
	$(UV) pip install -q --python $(BIN)/python --no-deps -e .
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

inference: setup ## answers of the newest bundle: make inference ARGS=photo.jpg, or PHOTOS=folder
	$(KENNEL) predict $(BUNDLE) $(ARGS) $(if $(PHOTOS),-- "$$PHOTOS")

serve: setup ## the newest bundle over HTTP, with its page: make serve ARGS="--port 8080"
	$(KENNEL) serve $(BUNDLE) $(ARGS)

ui: setup ## the newest bundle in the browser, with Gradio: make ui ARGS="--examples photos"
	$(KENNEL) ui $(BUNDLE) $(ARGS)

test: setup ## all tests, with coverage
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=xml $(ARGS)

test-fast: setup ## the tests that neither train nor build
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

check: setup ## style, types and import contracts
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

tune: setup ## a study: make tune ARGS="space=head data.csv=data/dataset.csv"
	$(KENNEL) tune $(ARGS)

evaluate: setup ## a bundle measured again: make evaluate BUNDLE=bundles/first ARGS="--data data/dataset.csv"
	$(KENNEL) evaluate $(BUNDLE) $(ARGS)

promote: setup ## the newest bundle becomes champion of KENNEL_REGISTRY, when it is not worse
	$(KENNEL) promote $(BUNDLE) $(ARGS)

champion: setup ## the champion of KENNEL_REGISTRY, in bundles/champion
	$(KENNEL) promote --champion --to bundles/champion

pull: setup ## photos and bundles that .dvc files name, from DVC's remote
	@files="$$(git ls-files '*.dvc')"; if [ -n "$$files" ]; then PATH="$(CURDIR)/$(BIN):$$PATH" dvc pull $(ARGS) $$files; \
	  else echo "no .dvc file names anything; there is nothing to bring"; fi

figures: setup ## this tree's figures beside another commit's, for a pull request: make figures BASE=origin/main
	PATH="$(CURDIR)/$(BIN):$$PATH" BASE="$(BASE)" sh tools/figures

dist: setup ## wheel and sdist in dist/, of the version that TAG names where it names one
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/dist

dist-check: setup ## the wheel of dist/ in a bare environment: what pip install brings works, and without torch
	PATH="$(CURDIR)/$(BIN):$$PATH" sh tools/dist-check

pack: setup ## a bundle as one file in dist/, the same bytes each time: make pack BUNDLE=bundles/champion
	$(BIN)/python tools/pack.py $(BUNDLE) dist

runner-start: setup ## a machine with a GPU for one job of GitHub's, and its limit; docs/guide/actions.md
	$(KENNEL) cloud runner start $(ARGS)

runner-stop: setup ## ends it, and its limit; told twice, it does nothing
	$(KENNEL) cloud runner stop $(ARGS)

runner-sweep: setup ## ends every runner that is past its time
	$(KENNEL) cloud runner sweep $(ARGS)

# These three hold a token that may write: they run on the standard library, and install nothing.
comment: ## the text of FILE as the one comment under a pull request: make comment FILE=figures.md
	PYTHONPATH=src $(PYTHON) -m kennel github comment $(FILE) $(ARGS)

badge: ## coverage.xml as a picture on the branch badges; make badge ARGS="--to coverage.svg" asks nobody
	PYTHONPATH=src $(PYTHON) -m kennel github badge coverage.xml $(ARGS)

release: ## the files of dist/ as a release of the tag that was pushed
	PYTHONPATH=src $(PYTHON) -m kennel github release dist/* $(ARGS)

workflows-check: setup ## every `run:` line of the workflows, here: make workflows-check ARGS="train release"
	$(BIN)/python tools/run_workflows.py $(ARGS)

hparams: setup ## trials of all studies at http://localhost:6006, HPARAMS, PARALLEL COORDINATES VIEW
	$(BIN)/tensorboard --logdir studies $(ARGS)

tensorboard: setup ## curves and pictures of all runs at http://localhost:6006
	$(BIN)/tensorboard --logdir runs $(ARGS)

mlflow: setup ## what logger=mlflow kept, at http://localhost:5000
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db $(ARGS)

lock: setup ## requirements.lock from pyproject.toml
	UV="$(UV)" tools/lock

clean: ## kennel clean, then what is left of caches, and the environment; never photos or bundles
	@test ! -x $(KENNEL) || $(KENNEL) clean
	rm -rf $(VENV) .kennel .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage* coverage.xml dist
