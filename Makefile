# What people type: set-up from nothing, running, and every check. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
STAMPS := $(VENV)/.stamps
DATA ?= data
HTTP ?= 127.0.0.1:8080
RTMP ?= 0.0.0.0:1935
# Words for pytest, e.g. make test T="tests/unit -k rtmp"
T ?=
FIRST := tests/unit tests/integration
SECOND := tests/browser tests/system tests/faults

LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header

.PHONY: help setup run demo test lint types format bench lock frontend test-tools bench-tools clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

setup: $(STAMPS)/python frontend ## everything `run` and `demo` need

run: setup ## start Xitai on the kept folder DATA (default: data)
	exec $(VENV)/bin/xitai up --data $(DATA) --http $(HTTP) --rtmp $(RTMP)

demo: setup ## one broadcast from encoder to replay, on real footage, measured
	exec $(PY) -m bench.demo

# Two halves side by side: much of the second waits for real time to pass.
test: setup test-tools ## the whole suite
ifneq ($(strip $(T)),)
	exec $(PY) -m pytest $(T)
else
	@log=$$(mktemp); failed=0; \
	$(PY) -m pytest $(FIRST) >"$$log" 2>&1 & first=$$!; \
	$(PY) -m pytest $(SECOND) || failed=1; \
	wait $$first || failed=1; \
	cat "$$log"; rm -f "$$log"; exit $$failed
endif

lint: setup ## style, formatting, directions of imports, what must not be committed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(PY) -m tests.support.committed

types: setup ## mypy --strict
	$(VENV)/bin/mypy

format: setup ## put the files into form
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: setup bench-tools ## the measurements
	exec $(PY) -m bench

lock: $(STAMPS)/tools ## renew the locked Python requirements
	$(LOCK) --upgrade --extra dev pyproject.toml -o requirements-dev.lock
	$(LOCK) --upgrade pyproject.toml -o requirements.lock
	echo uv | $(LOCK) --upgrade - -o requirements-tools.lock

frontend: $(STAMPS)/python
	@$(PY) -m api.pages.frontend.build

test-tools: $(STAMPS)/python
	@infra/deploy/test-tools.sh $(PY)

bench-tools:
	@infra/deploy/bench-tools.sh

clean: ## remove what set-up made (not the data folder)
	rm -rf $(VENV) api/pages/frontend/node_modules api/pages/frontend/dist

# --- set-up, each step once ---------------------------------------------------------------------

$(STAMPS)/venv:
	@PYTHON="$(PYTHON)" infra/deploy/make-venv.sh $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/tools: requirements-tools.lock $(STAMPS)/venv
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(STAMPS)/python: requirements-dev.lock pyproject.toml $(STAMPS)/tools
	@echo "installing Python packages…"
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync --compile-bytecode --quiet --require-hashes requirements-dev.lock
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
