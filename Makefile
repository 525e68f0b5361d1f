# make demo and make test do all of their own set-up; nothing but Python 3.11 or newer (and this make) is needed.
#
#   make demo    train, prune, finetune, export, measure, report, gate; results in demo-output/
#   make test    the quick tests           make test-slow   the slow ones
#   make lint    ruff and mypy             make clean       remove what the above made
#
# WORKERS=N runs the quick tests in N processes (0: in one, in order).
# VENV=DIR uses another virtual environment, PYTHON=/path/to/python another interpreter to create it with.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
OUTPUT ?= demo-output
PYTEST_ARGS ?=
WORKERS ?= 2
STATUS_FILE ?=

# The environment is reused until the content of pyproject.toml changes.
KEY := $(firstword $(shell cksum pyproject.toml))
BASE := $(VENV)/.ready-$(KEY)
DEV := $(VENV)/.ready-dev-$(KEY)
TENSORRT := $(VENV)/.ready-tensorrt-$(KEY)

.PHONY: help demo test test-slow lint lint-ruff lint-format lint-types format clean setup setup-dev

help:
	@sed -n 's/^#   //p' Makefile

setup: $(BASE) $(TENSORRT)
setup-dev: $(DEV) $(TENSORRT)

demo: $(BASE) $(TENSORRT)
	@$(PY) -m compress.pipeline.demo $(OUTPUT)

# With STATUS_FILE the exit code goes there, so that the last line printed stays pytest's own.
test: $(DEV) $(TENSORRT)
	@echo "make test: running the quick tests with $(PY)"
	@$(PY) -m pytest -n $(WORKERS) $(PYTEST_ARGS)$(if $(STATUS_FILE),; echo $$? > $(STATUS_FILE))

test-slow: $(DEV) $(TENSORRT)
	@$(PY) -m pytest -m slow $(PYTEST_ARGS)

lint: lint-ruff lint-format lint-types
lint-ruff: $(DEV)
	$(PY) -m ruff check .
lint-format: $(DEV)
	$(PY) -m ruff format --check .
lint-types: $(DEV)
	$(PY) -m mypy

format: $(DEV)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) .venv-ci $(OUTPUT) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(PY):
	@python="$(PYTHON)"; \
	for candidate in python3.11 python3 python3.12 python3.13 python; do \
	  [ -n "$$python" ] && break; \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python="$$candidate"; \
	done; \
	if [ -z "$$python" ]; then echo "error: no Python 3.11 or newer found; install one, or give PYTHON=/path/to/python" >&2; exit 2; fi; \
	echo "set-up: creating $(VENV) with $$python ($$($$python --version 2>&1))"; \
	"$$python" -m venv "$(VENV)" || { rm -rf "$(VENV)"; \
	  echo "error: $$python cannot create a virtual environment (see above); on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

$(BASE): | $(PY)
	@echo "set-up: installing the project and what it needs into $(VENV) (the first time takes some minutes; reused afterwards)"
	@$(PIP) install -qq --editable .
	@touch $@

$(DEV): $(BASE)
	@echo "set-up: installing the test and lint tools into $(VENV)"
	@$(PIP) install -qq --editable '.[dev]'
	@touch $@

# Optional on purpose: where no ready-made package exists for this machine, everything else still runs and says so.
$(TENSORRT): $(BASE)
	@echo "set-up: installing TensorRT for RTX into $(VENV) (optional, large)"
	@$(PIP) install -qq --only-binary=:all: --editable '.[tensorrt]' || { \
	  echo "NOTE: TensorRT for RTX could not be installed (see above). Everything else works; engines will be reported as"; \
	  echo "NOTE: missing. To try again: $(PIP) install --only-binary=:all: --editable '.[tensorrt]'"; }
	@touch $@
