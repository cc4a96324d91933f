# make demo    install, and watch a reward rise while actors come and go; replaces runs/demo
# make test    install, and run every test
# make check   format, lint, types, import rules
# make bench   measure; prints a table and writes benchmarks/results.json
# make soak    the acceptance test over and over with new seeds, for an hour
# make clean   remove the environment; runs/ holds the keys of runs and is left alone

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
SOAK_S ?= 3600

.PHONY: demo test check bench soak clean

demo: .venv/.installed
	$(BIN)/learner demo @ examples/demo.toml

test: .venv/.installed-dev
	$(BIN)/pytest -n 2 -m "not alone and not acceptance"
	$(BIN)/pytest -m "alone or acceptance"

check: .venv/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: .venv/.installed
	$(BIN)/python -m benchmarks

soak: .venv/.installed-dev
	SOAK_S=$(SOAK_S) $(BIN)/pytest tests/acceptance -m acceptance -k soak

clean:
	rm -rf .venv

.venv/.installed: pyproject.toml | .venv
	@echo "Installing into .venv: PyTorch among it, so this takes a minute or more, and 1.4 GB or more."
	$(BIN)/pip install --quiet --editable '.[learner,embedded,screen]'
	touch $@

.venv/.installed-dev: pyproject.toml | .venv
	@echo "Installing into .venv: PyTorch among it, so this takes a minute or more, and 1.4 GB or more."
	$(BIN)/pip install --quiet --editable '.[learner,embedded,dev]'
	touch $@ .venv/.installed

.venv:
	@test -n "$(PYTHON)" || { echo "Tributary needs Python 3.11 or newer; set PYTHON=/path/to/it" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
