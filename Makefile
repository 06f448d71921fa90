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
CDK := $(VENV)/cdk
# Where `make synth` writes, and of what.
OUT ?= deploy/aws/cdk.out
STACKS := $(wildcard deploy/aws/*.py deploy/aws/*.yaml deploy/aws/stacks/*.py deploy/aws/functions/*.py)

# A folder of runs or of bundles means the last one in it.
RUN ?= runs
BUNDLE ?= bundles
ARGS ?=
WHAT ?= train
# A workflow's input reaches the shell as one word, whatever is in it: $(PHOTOS) would run what $(shell ...) in it says.
export PHOTOS ?=
export SPACE ?=
# <kennel>
export IMAGE ?=
# </kennel>
# Who is not root already mounts images with sudo.
ROOT_BY ?= $(if $(filter 0,$(shell id -u)),,$(shell command -v sudo) $(if $(shell command -v sudo),--preserve-env))

.DEFAULT_GOAL := help
# <kennel>
.PHONY: help setup demo repro train eval report inference serve ui space tune gpu evaluate promote champion pull test test-fast check figures dist dist-check sbom pack runner-start runner-stop runner-status runner-sweep synth cloud-rehearse deploy comment badge release image-name workflows-check hparams tensorboard mlflow compose images images-check lock clean
# </kennel>
# <project>
#| .PHONY: help setup repro eval report inference serve ui space tune gpu evaluate promote champion pull pack runner-start runner-stop runner-status runner-sweep synth cloud-rehearse hparams tensorboard mlflow compose images pin index demo train check test clean
# </project>

help: ## what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 24

# <kennel>
setup: $(VENV)/ready ## the environment in .venv, from requirements.lock: every file by its hash

$(VENV)/ready: pyproject.toml requirements.lock $(TORCH_LOCK) locks/build.lock
# </kennel>
# <project>
#| setup: $(VENV)/ready ## the environment in .venv, of locks/ and kennel.txt: every file by its hash
#|
#| # What `make setup` brings of Kennel's extras: one more is a word more.
#| WITH ?= train data serve ui
#| $(VENV)/ready: kennel.txt $(WITH:%=locks/%.lock) $(TORCH_LOCK) locks/build.lock
# </project>
	$(if $(filter cpu cuda,$(TORCH)),,$(error TORCH=$(TORCH) is locked by nobody; say TORCH=cpu or TORCH=cuda))
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || uv venv --seed $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install -q --require-hashes -r locks/build.lock
# <kennel>
	$(UV) pip install -q --python $(BIN)/python --require-hashes --build-constraint locks/build.lock $(CPU_TORCH) \
	  -r locks/build.lock -r requirements.lock -r $(TORCH_LOCK)
# </kennel>
# <project>
#| 	$(UV) pip install -q --python $(BIN)/python --require-hashes --build-constraint locks/build.lock $(CPU_TORCH) \
#| 	  -r locks/build.lock $(WITH:%=-r locks/%.lock) -r $(TORCH_LOCK)
# </project>
# <kennel>
	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
# </kennel>
# <project>
#| 	@$(MAKE) --no-print-directory pin
#| 	$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -r kennel.txt
# </project>
	@touch $@

# What lints and lists holds other libraries back than Kennel does: an environment of its own.
$(TOOLS)/ready: locks/tools.lock locks/compose.lock | $(VENV)/ready
	$(UV) venv -q --clear --python $(BIN)/python $(TOOLS)
	$(UV) pip install -q --python $(TOOLS)/bin/python --require-hashes -r locks/tools.lock
	@# The program in it is the same for every Python and libc; its wheel says otherwise.
	@test "$$(uname -sm)" != "Linux x86_64" || $(UV) pip install -q --python $(TOOLS)/bin/python --require-hashes \
	  --python-version 3.13 --python-platform x86_64-manylinux_2_35 --target $(TOOLS)/compose -r locks/compose.lock
	@touch $@

# <kennel>
demo: setup ## the main job on drawn pictures: draw, index, train, export, evaluate, predict
	@PATH="$$PWD/$(BIN):$$PATH" sh tools/demo

# </kennel>
repro: setup ## the pipeline of dvc.yaml, what of it is out of date: make repro ARGS=index
	PATH="$$PWD/$(BIN):$$PATH" dvc repro $(ARGS)

# <kennel>
train: setup ## one run: make train ARGS="experiment=quick data.photos=photos"
	$(KENNEL) train $(ARGS)

# </kennel>
eval: setup ## a bundle of the last run that is done, measured
	PATH="$$PWD/$(BIN):$$PATH" RUN="$(RUN)" sh tools/eval $(ARGS)

report: setup ## the newest bundle's page again, or the text for a pull request: make report ARGS=--markdown
	@$(KENNEL) report $(BUNDLE) $(ARGS)

inference: setup ## answers of the newest bundle: make inference ARGS=photo.jpg, or PHOTOS=folder ARGS="--to answers"
	$(KENNEL) predict $(if $(value PHOTOS),$(ARGS) $(BUNDLE) -- "$$PHOTOS",$(BUNDLE) $(ARGS))

serve: setup ## the newest bundle over HTTP, with its page: make serve ARGS="--port 8080"
	$(KENNEL) serve $(BUNDLE) $(ARGS)

ui: setup ## the newest bundle in the browser, with Gradio: make ui ARGS="--examples photos"
	$(KENNEL) ui $(BUNDLE) $(ARGS)

space: setup ## the newest bundle as a Space of the Hub: make space SPACE=anna/dogs ARGS="--examples photos"
	$(KENNEL) space $(ARGS) $(BUNDLE) -- "$$SPACE"

tune: setup ## a study: make tune ARGS="space=head data.csv=data/dataset.csv"
	$(KENNEL) tune $(ARGS)

gpu: setup ## a run or study on a machine that may be taken away, begun or gone on with: make gpu WHAT=train ARGS=experiment=quick
	PATH="$$PWD/$(BIN):$$PATH" WHAT="$(WHAT)" sh tools/gpu $(ARGS)

evaluate: setup ## a bundle measured again: make evaluate BUNDLE=bundles/first ARGS="--data data/dataset.csv"
	$(KENNEL) evaluate $(BUNDLE) $(ARGS)

promote: setup ## the newest bundle becomes champion of KENNEL_REGISTRY, when it is not worse
	$(KENNEL) promote $(BUNDLE) $(ARGS)

champion: setup ## the champion of KENNEL_REGISTRY, in bundles/champion
	$(KENNEL) promote --champion --to bundles/champion

pull: setup ## photos and bundles that .dvc files name, from DVC's remote
	@command -v git >/dev/null || { printf '%s\n' "error: git is not installed, and it says which .dvc files are of this project." \
	    "fix: install git" >&2; exit 1; }; \
	  git rev-parse --git-dir >/dev/null 2>&1 || { printf '%s\n' "error: $$PWD is in no git repository, which says which .dvc files are of this project." \
	    "fix: git init && git add ., or go to the checkout" >&2; exit 1; }; \
	  PATH="$$PWD/$(BIN):$$PATH"; files="$$(git ls-files '*.dvc')"; \
	  if [ -z "$$files" ]; then echo "no .dvc file names anything; there is nothing to bring"; \
	  elif ! dvc pull $(ARGS) $$files; then [ -n "$$(dvc remote list)" ] || printf '%s\n' "error: DVC has no remote to bring it from." \
	    "fix: dvc remote add --default store s3://BUCKET/PREFIX, or a folder on another disk" >&2; exit 1; fi

# <kennel>
test: setup $(TOOLS)/ready $(CDK)/ready ## all tests, with coverage
	$(CDK)/bin/python -m pytest -q -c deploy/aws/pyproject.toml deploy/aws/tests
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=xml $(ARGS)

test-fast: setup $(TOOLS)/ready ## the tests that neither train nor build
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

check: setup $(TOOLS)/ready deploy/aws/cdk.out/deployment.json ## style, types, import contracts; workflows, images, Compose, shell, templates; known holes
	$(BIN)/ruff format --check src tests benchmarks tools deploy
	$(BIN)/ruff check src tests benchmarks tools deploy
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/lint.py --tools $(TOOLS)/bin

figures: setup ## this tree's figures beside another commit's, for a pull request: make figures BASE=origin/main
	PATH="$$PWD/$(BIN):$$PATH" BASE="$(BASE)" sh tools/figures

dist: setup ## wheel and sdist in dist/, of the version that TAG names where it names one
	PATH="$$PWD/$(BIN):$$PATH" sh tools/dist

dist-check: setup ## the wheel of dist/ in a bare environment: what pip install brings works, and without torch
	PATH="$$PWD/$(BIN):$$PATH" sh tools/dist-check

# The time that is written into them is the commit's.
sbom: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
sbom: setup $(TOOLS)/ready ## what is in the wheel, and in images, as CycloneDX in sbom/: make sbom IMAGES="kennel-serve kennel-train"
	@ls dist/*.whl >/dev/null 2>&1 || $(MAKE) dist
	$(TOOLS)/bin/python tools/sbom.py --environment $(VENV) --wheel dist/*.whl --to sbom
	$(if $(IMAGES),$(TOOLS)/bin/python tools/sbom.py --to sbom $(addprefix --image ,$(IMAGES)))

# </kennel>
pack: setup ## a bundle as one file in dist/, the same bytes each time: make pack BUNDLE=bundles/champion
	$(BIN)/python tools/pack.py $(BUNDLE) dist

# What may rent machines has few libraries: an environment of its own, made in seconds by pip alone.
# <kennel>
$(RENTS)/ready: locks/aws.lock
# </kennel>
# <project>
#| $(RENTS)/ready: locks/aws.lock kennel.txt
# </project>
	$(PYTHON) -m venv --clear $(RENTS)
	$(RENTS)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r locks/aws.lock
# <project>
#| 	$(RENTS)/bin/python -m pip install -q --disable-pip-version-check --no-deps -r kennel.txt
# </project>
	@touch $@

runner-start: $(RENTS)/ready ## a machine with a GPU for one job of GitHub's, and its limit; docs/guide/actions.md
	PYTHONPATH=src $(RENTS)/bin/python -m kennel cloud runner start $(ARGS)

runner-stop: $(RENTS)/ready ## ends it, and its limit; told twice, it does nothing
	PYTHONPATH=src $(RENTS)/bin/python -m kennel cloud runner stop $(ARGS)

runner-status: $(RENTS)/ready ## what runs: since when, until when, what it has cost, what GitHub knows of it
	PYTHONPATH=src $(RENTS)/bin/python -m kennel cloud runner status $(ARGS)

runner-sweep: $(RENTS)/ready ## ends every runner that is past its time
	PYTHONPATH=src $(RENTS)/bin/python -m kennel cloud runner sweep $(ARGS)

# The CDK app is a project of its own, of its own lock; Node comes with it.
$(CDK)/ready: deploy/aws/requirements.lock
	$(PYTHON) -m venv --clear $(CDK)
	$(if $(shell command -v $(UV)),$(UV) pip install -q --python $(CDK)/bin/python,$(CDK)/bin/python -m pip install -q \
	  --disable-pip-version-check) --require-hashes -r deploy/aws/requirements.lock
	@touch $@

synth: $(CDK)/ready ## the stacks of deploy/aws/settings.yaml as templates of CloudFormation: make synth OUT=DIR
	$(CDK)/bin/python deploy/aws/synth.py --to $(OUT)

deploy/aws/cdk.out/deployment.json: $(CDK)/ready $(STACKS)
	$(CDK)/bin/python deploy/aws/synth.py --to deploy/aws/cdk.out

cloud-rehearse: setup deploy/aws/cdk.out/deployment.json ## all of it on this machine, without an account: make cloud-rehearse BUNDLE=bundles/<id>
	$(KENNEL) cloud rehearse --bundle $(BUNDLE) --templates deploy/aws/cdk.out $(ARGS)

# <kennel>
deploy: $(RENTS)/ready deploy/aws/cdk.out/deployment.json ## the newest bundle's serve image as a function in AWS: make deploy ARGS=--yes
	@PYTHONPATH=src PYTHON=$(RENTS)/bin/python BUNDLE="$(BUNDLE)" sh tools/deploy $(ARGS)

# These hold a token that may write: they run on the standard library, and install nothing.
comment: ## the text of FILE as the one comment under a pull request: make comment FILE=figures.md
	PYTHONPATH=src $(PYTHON) -m kennel github comment $(FILE) $(ARGS)

badge: ## coverage.xml as a picture on the branch badges; make badge ARGS="--to coverage.svg" asks nobody
	PYTHONPATH=src $(PYTHON) -m kennel github badge coverage.xml $(ARGS)

release: ## the files of dist/ as a release of the tag that was pushed
	PYTHONPATH=src $(PYTHON) -m kennel github release dist/* $(ARGS)

image-name: ## what the image IMAGE of a pushed tag is called at GHCR, and its version, for GITHUB_OUTPUT
	@PYTHONPATH=src $(PYTHON) -m kennel github image "$$IMAGE" $(ARGS)

workflows-check: setup ## every `run:` line of the workflows, here: make workflows-check ARGS="train release"
	$(BIN)/python tools/run_workflows.py $(ARGS)

# </kennel>
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

# <kennel>
images-check: setup ## the serve image, built and tried without an engine: ARGS="serve ui train" for all
	PYTHONDONTWRITEBYTECODE=1 $(ROOT_BY) $(BIN)/python tools/images_check $(if $(filter-out bundles,$(BUNDLE)),--bundle $(BUNDLE)) $(ARGS)

lock: setup ## requirements.lock and locks/ from pyproject.toml: make lock ARGS="--upgrade-package NAME"
	UV="$(UV)" $(BIN)/python tools/lock.py $(ARGS)

# </kennel>
# <project>
#| pin: ## which bytes the version in kennel.txt has, asked of the package index once: make setup does it
#| 	@! grep -q '^kennel-ml==' kennel.txt || grep -q -e --hash kennel.txt || { $(UV) pip compile -q --python $(BIN)/python --no-deps \
#| 	  --generate-hashes --no-header --no-annotate kennel.txt -o kennel.txt.part && mv kennel.txt.part kennel.txt; }
#|
#| EXPERIMENT ?= mine
#| index: setup ## which photos there are, and their split: data/dataset.csv
#| 	PATH="$$PWD/$(BIN):$$PATH" dvc repro index
#|
#| demo: index ## the main job on your photos, verb by verb: index, audit, train, export, evaluate, predict
#| 	@PATH="$$PWD/$(BIN):$$PATH" EXPERIMENT=$(EXPERIMENT) PHOTOS="$$($(BIN)/python -c \
#| 	  'import yaml; print(yaml.safe_load(open("params.yaml", encoding="utf-8"))["photos"])')" sh tools/demo
#|
#| train: index ## one run of conf/experiment/mine.yaml: make train EXPERIMENT=quick ARGS="seed=1"
#| 	$(KENNEL) train experiment=$(EXPERIMENT) data.csv=data/dataset.csv $(ARGS)
#|
#| check: setup $(TOOLS)/ready ## what can be checked without photos: experiments, pipeline, workflows, images, Compose, known holes
#| 	for each in conf/experiment/*.yaml; do $(KENNEL) train "experiment=$$(basename "$$each" .yaml)" --cfg job > /dev/null || exit; done
#| 	PATH="$$PWD/$(BIN):$$PATH" dvc dag > /dev/null
#| 	$(BIN)/python tools/lint.py --tools $(TOOLS)/bin
#|
#| test: check index ## the checks, then one batch of your photos through conf/experiment/mine.yaml
#| 	rm -rf .kennel/test
#| 	$(KENNEL) train experiment=$(EXPERIMENT) data.csv=data/dataset.csv debug=fdr logger=none paths.output_dir=.kennel/test
#|
# </project>
clean: ## kennel clean, then what is left of caches, and the environment; never photos or bundles
	@test ! -x $(KENNEL) || $(KENNEL) clean
	rm -rf $(VENV) deploy/aws/cdk.out .kennel .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache htmlcov .coverage* coverage.xml dist sbom
