# kinfolk's commands. `make` alone lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SETTINGS ?= conf/demo.yaml
# More arguments for the command behind a target: make test ARGS="tests/tables -x"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo test check bench docs doctor lock horovod clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: ## set everything up; skipped when nothing changed
	@$(PYTHON) deploy/bootstrap.py

setup-tests:
	@$(PYTHON) deploy/bootstrap.py --tests

demo: setup ## run the whole road on real data (SETTINGS=conf/demo.yaml, ARGS=--force)
	@$(BIN)/kinfolk samples fetch
	@$(BIN)/kinfolk run --settings $(SETTINGS) $(ARGS)

test: setup-tests ## run the tests (ARGS="tests/tables -x")
	@$(BIN)/python -m pytest $(ARGS)

check: setup ## lint, types, layers, doctests, generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --doctest-modules --quiet lib/kinfolk
	$(BIN)/python -m kinfolk.document --check

bench: setup ## run one benchmark (NAME=feed, ONLY=pattern for a part, ARGS=--list)
	@$(BIN)/python -m tests.benchmarks $(NAME) $(if $(ONLY),--only '$(ONLY)') $(ARGS)

docs: setup ## write docs/tables.md, docs/settings.md and docs/measures.md anew
	$(BIN)/python -m kinfolk.document

doctor: setup ## check this machine and the set-up; says how to mend what is wrong
	@$(BIN)/kinfolk doctor $(ARGS)

lock: ## write deploy/locks anew (ARGS=--upgrade for the newest versions allowed)
	@$(PYTHON) deploy/lock.py $(ARGS)

horovod: setup ## build Horovod's wheel and install it (ARGS=--nccl for NVIDIA GPUs)
	@$(PYTHON) deploy/horovod/build $(ARGS)

clean: ## remove build folders and tool caches of this checkout
	@rm -rf build spark-warehouse metastore_db derby.log .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@find . -name '*.egg-info' -not -path './.venv/*' -prune -exec rm -rf {} +
	@echo "Kept: .venv (remove it with: rm -rf .venv), the lake (rm -rf lake), and the cache folder"
	@echo "(rm -rf $${KINFOLK_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/kinfolk}). docs/setup.md says what each holds."
