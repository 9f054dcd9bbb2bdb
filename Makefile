# Needs Python 3.11 to 3.13, and nothing else.
PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
# Most of the tests' time is waiting for real processes: two sessions, each with servers of its own, halve it.
SESSIONS ?= 2

.PHONY: help up test chaos bench bench-quick lint install

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: install ## Start everything: PostgreSQL, Valkey, web, workers, content; Ctrl-C stops it
	@$(VENV_PYTHON) -m project.development.up

test: install ## Run all tests on servers of their own; make test ARGS="-k search" runs some
	@$(VENV_PYTHON) -m pytest -n $(SESSIONS) --dist loadfile $(ARGS)

chaos: install ## Kill 200 workers during a backfill, and much else; a quarter of an hour; make chaos ARGS="--seed 1"
	@$(VENV_PYTHON) -m tests.chaos $(ARGS)

bench: install ## Measure all that docs/performance.md says, beside simpler ways; a quarter of an hour
	@$(VENV_PYTHON) -m benchmarks $(ARGS)

bench-quick: install ## The same with less of everything, in three minutes
	@$(VENV_PYTHON) -m benchmarks --scale quick $(ARGS)

lint: install ## Check style, types, settings, and that no migration is missing
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	@# The Django plugin misreads what an earlier run has cached.
	$(VENV_PYTHON) -m mypy --no-incremental
	$(VENV_PYTHON) manage.py check
	@# No server is needed: Django only warns that it could not compare with a database.
	$(VENV_PYTHON) -W "ignore:Got an error checking" manage.py makemigrations --check --dry-run

install: ## Make .venv with the packages of requirements.txt, if it is missing, broken or old
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.11, 3.12 or 3.13."; exit 1; }
	@$(PYTHON) project/development/install.py
