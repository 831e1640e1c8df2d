# Everything a user or CI calls. What is made already is not made again: the files that rules are named after say what is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

COMMA := ,
# Installs Earshot with the extras in $(1), and shows each package by name. pip itself says nothing for half a minute,
# or too much.
PIP = rm -f $@; { $(BIN)/pip install --disable-pip-version-check --no-input --editable '.$(1)' && touch $@; } \
	| sed -un 's/^Collecting \([A-Za-z0-9_.-]*\).*/  \1/p; s/^Installing collected.*/  ... all there, now unpacking/p'; test -e $@

# The front-end packages' files that the portal serves; the icons are the last of them to be written.
ASSETS := portal/static/vendor/icons.svg
# The first npm that reads our lock file.
OLDEST_NPM := 7

# Commands that the tests call, each with the Debian package that holds it. Debian keeps initdb out of PATH.
TEST_TOOLS := sipp:sip-tester tshark:tshark chromium:chromium initdb:postgresql
TOOL_PATH := $$PATH:$$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')

BENCHES := bench-capacity bench-finish bench-sustained bench-latency

.PHONY: help demo run install assets catalogues test test-tools check $(BENCHES) bench-tools clean

help:
	@echo "make demo               see Earshot at work: three calls, and a portal to sign in to (Ctrl-C ends it)"
	@echo "make run                record calls (the first time, this installs Earshot into $(VENV))"
	@echo "make install            install only; make assets: the portal's front-end packages only"
	@echo "make check test         what CI does"
	@echo "make catalogues         bring the translations' files up to date with the texts of the portal"
	@echo "make bench-capacity     how many calls one engine carries; also $(wordlist 2,99,$(BENCHES))"
	@echo "make clean              remove $(VENV) and what tools left; recordings stay"

demo: $(VENV)/.installed-for-demo $(ASSETS)
	@exec $(BIN)/python -m demo

run: install
	@exec $(BIN)/earshot run

install: $(VENV)/.installed $(ASSETS)

assets: $(ASSETS)

$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer (Debian: apt install python3-venv), or name it: make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Earshot needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another one: make install PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) lacks its venv module. Debian and Ubuntu keep it in a package of its own: apt install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV)."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	@echo "Installing Earshot into $(VENV); this takes half a minute or so."
	@$(call PIP)

$(VENV)/.installed-for-demo: pyproject.toml | $(BIN)/pip
	@echo "Installing Earshot, and voices for its demo, into $(VENV); this takes half a minute or so."
	@$(call PIP,[demo])
	@touch $(VENV)/.installed

# Tests run the demo, too.
$(VENV)/.installed-for-development: pyproject.toml | $(BIN)/pip
	@echo "Installing Earshot and what tests and checks need."
	@$(call PIP,[demo$(COMMA)dev])
	@touch $(VENV)/.installed $(VENV)/.installed-for-demo

# Any of the installs will do; whichever ran last is as new as pyproject.toml.
$(ASSETS): package.json package-lock.json .npmrc portal/assets.py | $(BIN)/pip
	@if ! { command -v node && [ "$$(npm --version | cut -d. -f1)" -ge $(OLDEST_NPM) ]; } >/dev/null 2>&1; then \
		echo "There is no npm here that will do: installing one into $(VENV)."; \
		$(BIN)/pip install --quiet --disable-pip-version-check --no-input --editable '.[node]' || exit 1; \
		PATH="$(CURDIR)/$(BIN):$$PATH"; \
	fi; \
	echo "Getting the portal's front-end packages."; \
	npm ci --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null
	@$(BIN)/python -m portal.assets

catalogues: $(VENV)/.installed
	$(BIN)/python -m portal.catalogues

test: $(VENV)/.installed-for-development $(ASSETS) test-tools
	$(BIN)/pytest --numprocesses auto --dist loadfile

test-tools:
	@missing=; PATH="$(TOOL_PATH)"; \
	for tool in $(TEST_TOOLS); do command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
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

$(BENCHES): bench-%: install bench-tools
	$(BIN)/python -m bench.$*

bench-tools:
	@command -v cc >/dev/null || { echo "The benches compile a sender and a yardstick in C, and there is no cc here. Debian: apt install gcc libc6-dev" >&2; exit 1; }

clean:
	rm -rf $(VENV) node_modules portal/static/vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/build
