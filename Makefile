# Everything a user or CI calls. What is installed already is not installed again: the files below .venv say what is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Commands that the tests call, each with the Debian package that holds it.
TEST_TOOLS := sipp:sip-tester tshark:tshark

.PHONY: help install run test test-tools check bench-capacity bench-finish bench-sustained bench-tools clean

help:
	@echo "make run                record calls (the first time, this installs Earshot into $(VENV))"
	@echo "make install            install only"
	@echo "make check test         what CI does"
	@echo "make bench-capacity     how many calls one engine carries; also bench-finish, bench-sustained"
	@echo "make clean              remove $(VENV) and what tools left; recordings stay"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer (Debian: apt install python3-venv), or name it: make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Earshot needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another one: make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) lacks its venv module. Debian and Ubuntu keep it in a package of its own: apt install python3-venv" >&2; exit 1; }
	@echo "Installing Earshot into $(VENV); this takes half a minute or so."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-input --editable .
	@touch $@

$(VENV)/.installed-for-development: $(VENV)/.installed
	@echo "Installing what tests and checks need."
	$(BIN)/pip install --quiet --disable-pip-version-check --no-input --editable '.[dev]'
	@touch $@

run: install
	@exec $(BIN)/earshot run

test: $(VENV)/.installed-for-development test-tools
	$(BIN)/pytest

test-tools:
	@missing=; for tool in $(TEST_TOOLS); do command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "The tests need what these Debian packages hold:$$missing. Install them (as root: apt-get install$$missing) and start again." >&2; \
		exit 1; \
	fi; \
	apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $$missing

check: $(VENV)/.installed-for-development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench-capacity bench-finish bench-sustained: bench-%: install bench-tools
	$(BIN)/python -m bench.$*

bench-tools:
	@command -v cc >/dev/null || { echo "The benches compile a sender and a yardstick in C, and there is no cc here. Debian: apt install gcc libc6-dev" >&2; exit 1; }

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/build
