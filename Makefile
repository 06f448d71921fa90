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
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
CPU_TORCH = $(if $(filter cpu-Linux,$(TORCH)-$(shell uname)),$(if $(UV_FIND_LINKS),,--find-links $(CPU_WHEELS)))
TOOLS := $(VENV)/tools
RENTS := $(VENV)/rents

RUN ?= $(shell ls -td runs/*/ 2>/dev/null | head -n 1)
BUNDLE ?= $(shell ls -td bundles/*/ 2>/dev/null | head -n 1)
ARGS ?=
# A workflow's input: it reaches the shell as one word, whatever is in it.
export PHOTOS ?=
# Who is not root already mounts images with sudo.
ROOT_BY ?= $(if $(filter 0,$(shell id -u)),,$(shell command -v sudo) $(if $(shell command -v sudo),--preserve-env))

.DEFAULT_GOAL := help
.PHONY: help setup demo repro train eval report inference serve ui test test-fast check tune evaluate promote champion pull figures dist dist-check sbom pack runner-start runner-stop runner-sweep comment badge release workflows-check hparams tensorboard mlflow images images-check lock clean

help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

setup: $(VENV)/ready ## the environment in .venv, from requirements.lock: every file by its hash

$(VENV)/ready: pyproject.toml requirements.lock $(TORCH_LOCK) locks/build.lock
	$(if $(filter cpu cuda,$(TORCH)),,$(error TORCH=$(TORCH) is locked by nobody; say TORCH=cpu or TORCH=cuda))
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || uv venv --seed $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install -q --require-hashes -r locks/build.lock
	$(UV) pip install -q --python $(BIN)/python --require-hashes --build-constraint locks/build.lock $(CPU_TORCH) \
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

report: setup ## the newest bundle's page again, or the text for a pull request: make report ARGS=--markdown
	@$(KENNEL) report $(BUNDLE) $(ARGS)

inference: setup ## answers of the newest bundle: make inference ARGS=photo.jpg, or PHOTOS=folder
	$(KENNEL) predict $(BUNDLE) $(ARGS) $(if $(PHOTOS),-- "$$PHOTOS")

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

# The time that is written into them is the commit's.
sbom: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
sbom: setup $(TOOLS)/ready ## what is in the wheel, and in images, as CycloneDX in sbom/: make sbom IMAGES="kennel-serve kennel-train"
	@ls dist/*.whl >/dev/null 2>&1 || $(MAKE) dist
	$(TOOLS)/bin/python tools/sbom.py --environment $(VENV) --wheel dist/*.whl --to sbom
	$(if $(IMAGES),$(TOOLS)/bin/python tools/sbom.py --to sbom $(addprefix --image ,$(IMAGES)))

pack: setup ## a bundle as one file in dist/, the same bytes each time: make pack BUNDLE=bundles/champion
	$(BIN)/python tools/pack.py $(BUNDLE) dist

# What may rent machines has few libraries: an environment of its own, made in seconds by pip alone.
$(RENTS)/ready: locks/aws.lock
	$(PYTHON) -m venv --clear $(RENTS)
	$(RENTS)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/aws.lock
	@touch $@

runner-start: $(RENTS)/ready ## a machine with a GPU for one job of GitHub's, and its limit; docs/guide/actions.md
	PYTHONPATH=src $(RENTS)/bin/python -m kennel cloud runner start $(ARGS)

runner-stop: $(RENTS)/ready ## ends it, and its limit; told twice, it does nothing
	PYTHONPATH=src $(RENTS)/bin/python -m kennel cloud runner stop $(ARGS)

runner-sweep: $(RENTS)/ready ## ends every runner that is past its time
	PYTHONPATH=src $(RENTS)/bin/python -m kennel cloud runner sweep $(ARGS)

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

images: ## kennel-serve, -train and -ui, by Docker or buildah: make images ARGS=serve BUNDLE=bundles/<id>
	@tools/images $(ARGS)

images-check: setup ## the serve image, built and tried without an engine: ARGS="serve ui train" for all
	PYTHONDONTWRITEBYTECODE=1 $(ROOT_BY) $(BIN)/python tools/images_check $(if $(BUNDLE),--bundle $(BUNDLE)) $(ARGS)

lock: setup ## requirements.lock and locks/ from pyproject.toml: make lock ARGS="--upgrade-package NAME"
	UV="$(UV)" $(BIN)/python tools/lock.py $(ARGS)

clean: ## kennel clean, then what is left of caches, and the environment; never photos or bundles
	@test ! -x $(KENNEL) || $(KENNEL) clean
	rm -rf $(VENV) .kennel .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage* coverage.xml dist sbom
