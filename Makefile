# Everything happens in .venv; PYTHON is the interpreter that makes it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# workers start twice as fast from compiled bytecode, so it must be written
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-all coverage lint format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/installed ## score and evaluate a few built-in photographs
	@$(BIN)/vggbatch demo -o demo-output

test: $(VENV)/installed-dev ## run the tests that take minutes, not hours
	@$(BIN)/python -m pytest -m "not slow"

test-all: $(VENV)/installed-dev ## run every test: multi-node, long kill storms, full-size networks
	@$(BIN)/python -m pytest

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

bench: $(VENV)/installed ## measure vggbatch beside its peers, on the built-in photographs
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@$(BIN)/vggbatch bench -o bench-output

format: $(VENV)/installed-dev ## let ruff format and mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) .coverage* demo-output bench-output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		$(PYTHON) -m pip install --quiet --user virtualenv && $(PYTHON) -m virtualenv --quiet $(VENV); }

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing vggbatch into $(VENV)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[report]'
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib vggbatch || true
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing vggbatch and what its tests need into $(VENV)"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib vggbatch tests || true
	@touch $(VENV)/installed $@
