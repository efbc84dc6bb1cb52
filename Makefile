# Every target sets up what it needs: on a new machine run `make demo` or `make test`. Choose another
# interpreter or directory with PYTHON=python3.12 or VENV=/some/where.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test check docs parity bench

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */\1\t/' | expand -t 10

venv: $(INSTALLED)  ## make the virtual environment

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED)  ## run all tasks on the bundled image
	$(BIN)/florence2 demo

test: $(INSTALLED)  ## run the tests that are neither slow nor need a GPU
	$(BIN)/python -m pytest

check: $(INSTALLED)  ## lint, format, types, layers, names and lengths, and the links of the site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_house.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --site-dir build/site

docs: $(INSTALLED)  ## build the site of these pages in build/site, check the links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --site-dir build/site

parity: $(INSTALLED)  ## compare with recorded outputs of the released model and reference code
	$(BIN)/python -m pytest tests/parity -m 'not gpu'

bench: $(INSTALLED)  ## measure images per second of the bundled model
	$(BIN)/python benchmarks/bench_answers.py
