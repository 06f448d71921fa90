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

.DEFAULT_GOAL := help
# <kennel>
.PHONY: help setup demo repro train eval inference serve ui test test-fast check hparams tensorboard mlflow lock clean
# </kennel>
# <project>
#| .PHONY: help setup demo index repro train eval inference serve ui test check hparams tensorboard mlflow clean
# </project>

help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

# <kennel>
setup: $(VENV)/ready ## the environment in .venv, from requirements.lock

$(VENV)/ready: pyproject.toml requirements.lock
# </kennel>
# <project>
#| setup: $(VENV)/ready ## the environment in .venv, from requirements.lock and kennel.txt
#|
#| $(VENV)/ready: kennel.txt requirements.lock
# </project>
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || uv venv --seed $(VENV)
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install -q uv
	$(UV) pip install -q --python $(BIN)/python $(if $(TORCH),--torch-backend $(TORCH)) -r requirements.lock
# <kennel>
	$(UV) pip install -q --python $(BIN)/python --no-deps -e .
# </kennel>
# <project>
#| # Which bytes a version has is asked once, and stands in kennel.txt from then on.
#| 	@grep -q -e '--hash' kennel.txt || ! grep -q '^kennel-ml==' kennel.txt || \
#| 	  { $(UV) pip compile -q --python $(BIN)/python --no-deps --generate-hashes --no-header --no-annotate \
#| 	    kennel.txt -o kennel.txt.part && mv kennel.txt.part kennel.txt; }
#| 	$(UV) pip install -q --python $(BIN)/python --no-deps -r kennel.txt
# </project>
	@touch $@

# <kennel>
demo: setup ## the main job on drawn pictures: draw, index, train, export, evaluate, predict
	@PATH="$$PWD/$(BIN):$$PATH" sh tools/demo

# </kennel>
# <project>
#| demo: index ## the main job on your photos, verb by verb: index, audit, train, export, evaluate, predict
#| 	@PATH="$$PWD/$(BIN):$$PATH" EXPERIMENT=$(EXPERIMENT) PHOTOS="$$($(BIN)/python -c 'import yaml; print(yaml.safe_load(open("params.yaml"))["photos"])')" \
#| 	  sh tools/demo
#|
#| index: setup ## which photos there are, and their split: data/dataset.csv
#| 	PATH="$$PWD/$(BIN):$$PATH" dvc repro index
#|
# </project>
repro: setup ## the pipeline of dvc.yaml, what of it is out of date: make repro ARGS=index
	PATH="$$PWD/$(BIN):$$PATH" dvc repro $(ARGS)

# <kennel>
train: setup ## one run: make train ARGS="experiment=quick data.photos=photos"
	$(KENNEL) train $(ARGS)

# </kennel>
# <project>
#| EXPERIMENT ?= mine
#| train: index ## one run of conf/experiment/mine.yaml: make train EXPERIMENT=quick ARGS="seed=1"
#| 	$(KENNEL) train experiment=$(EXPERIMENT) data.csv=data/dataset.csv $(ARGS)
#|
# </project>
eval: setup ## a bundle of the newest run, measured
	$(KENNEL) export $(RUN) --to bundles/$(notdir $(RUN:/=))
	$(KENNEL) evaluate bundles/$(notdir $(RUN:/=)) $(ARGS)

inference: setup ## answers of the newest bundle: make inference ARGS=photo.jpg
	$(KENNEL) predict $(BUNDLE) $(ARGS)

serve: setup ## the newest bundle over HTTP, with its page: make serve ARGS="--port 8080"
	$(KENNEL) serve $(BUNDLE) $(ARGS)

ui: setup ## the newest bundle in the browser, with Gradio: make ui ARGS="--examples photos"
	$(KENNEL) ui $(BUNDLE) $(ARGS)

# <kennel>
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

# </kennel>
# <project>
#| test: check index ## the checks, then one batch of your photos through conf/experiment/mine.yaml
#| 	rm -rf .kennel/test
#| 	$(KENNEL) train experiment=$(EXPERIMENT) data.csv=data/dataset.csv debug=fdr logger=none paths.output_dir=.kennel/test
#|
#| check: setup ## what can be checked without photos: experiments and the pipeline
#| 	for each in conf/experiment/*.yaml; do $(KENNEL) train "experiment=$$(basename "$$each" .yaml)" --cfg job > /dev/null || exit; done
#| 	PATH="$$PWD/$(BIN):$$PATH" dvc dag > /dev/null
#|
# </project>
hparams: setup ## trials of all studies at http://localhost:6006, HPARAMS, PARALLEL COORDINATES VIEW
	$(BIN)/tensorboard --logdir studies $(ARGS)

tensorboard: setup ## curves and pictures of all runs at http://localhost:6006
	$(BIN)/tensorboard --logdir runs $(ARGS)

mlflow: setup ## what logger=mlflow kept, at http://localhost:5000
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db $(ARGS)

# <kennel>
lock: setup ## requirements.lock from pyproject.toml
	UV="$(UV)" tools/lock

# </kennel>
clean: ## kennel clean, then what is left of caches, and the environment; never photos or bundles
	@test ! -x $(KENNEL) || $(KENNEL) clean
	rm -rf $(VENV) .kennel .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage* coverage.xml dist
