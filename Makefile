# Turnout's two commands are `make demo` and `make test`; `make help` lists the rest.
# Everything is installed into .venv from the hash locks in requirements/. Options go through ARGS:
#     make demo ARGS=--once        make test ARGS="-k architecture -x"
#     make test PYTHON=python3.13  (another interpreter: run `make clean` first)

PYTHON ?=
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/done
# Bytecode is kept whatever the caller's shell says: hundreds of processes of a test run start from it.
export PYTHONDONTWRITEBYTECODE :=
# A lock is complete and hashed, so nothing is resolved, nothing unlisted is fetched, nothing is compiled.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install -qq --require-hashes --no-deps --only-binary :all:

.DEFAULT_GOAL := help
.PHONY: help demo test proofs clients browser screenshots lint types bench docs lock clean install

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

demo: $(DONE)/demo ## run the gateway on a real small model and an emulator, and show what it decides
	@$(BIN)/turnout demo $(ARGS)

test: $(DONE)/dev lint types ## check style and types, run every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

proofs: $(DONE)/dev $(DONE)/deploy ## run what takes long: many processes, killed and frozen servers, millions of rows
	@$(BIN)/python -m pytest -rs --timeout 600 tests/proofs $(ARGS)

clients: $(DONE)/dev $(DONE)/lock ## run official clients and coding agents against the gateway (4 minutes, 1 GB of packages)
	@$(BIN)/python scripts/clients.py
	@$(BIN)/python -m pytest -rs tests/clients $(ARGS)

browser: $(DONE)/dev $(DONE)/browser ## drive the dashboard with a real browser (3 minutes; needs Chromium)
	@$(BIN)/python -m pytest -rs tests/browser $(ARGS)

screenshots: $(DONE)/dev $(DONE)/browser ## draw docs/images/dashboard again, from seeded traffic
	@$(BIN)/python -m scripts.screenshots $(ARGS)

lint: $(DONE)/dev ## check style and format
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Run .venv/bin/ruff format on the files above."; exit 1; }
	@echo "· style and format are clean"

types: $(DONE)/dev ## check types
	@$(BIN)/mypy --no-error-summary
	@echo "· types are clean"

bench: $(DONE)/dev $(DONE)/bench ## measure CPU, memory and latency against plain proxies
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(DONE)/dev ## write the generated reference pages
	@$(BIN)/python scripts/reference.py $(ARGS)
	@$(BIN)/python scripts/translation.py $(ARGS)

lock: $(DONE)/lock ## resolve the locks again (ARGS=--upgrade for newer versions)
	@echo "· resolving"
	@$(BIN)/python scripts/lock.py $(ARGS)

install: $(DONE)/core ## install the gateway alone: .venv/bin/turnout

clean: ## remove the environment and every cache
	rm -rf $(VENV) .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. Each step leaves a stamp, so that a second call does nothing and a changed lock installs again.

$(BIN)/python:
	@python=$$(sh scripts/python.sh "$(PYTHON)") || exit 1; \
	echo "· creating $(VENV) with $$("$$python" -V)"; \
	rm -rf $(VENV) && "$$python" -m venv $(VENV)

$(DONE)/build: requirements/build.txt $(BIN)/python
	@mkdir -p $(DONE)
	@$(INSTALL) -r $<
	@touch $@

$(DONE)/core $(DONE)/demo $(DONE)/dev $(DONE)/lock: $(DONE)/%: requirements/%.txt $(DONE)/build
	@echo "· installing $$(grep -c '==' $<) packages from $< (the first time takes a minute)"
	@$(INSTALL) -r $<
	@touch $@

# The proxy that the bench compares with. Where there is none for the platform, the bench runs without.
$(DONE)/bench: requirements/bench.txt $(DONE)/build
	@$(INSTALL) -r $< || echo "· no Envoy for this platform: there will be no ratios"
	@touch $@

# What drives a browser. Where there is none for the platform, the browser suite skips and says so.
$(DONE)/browser: requirements/browser.txt $(DONE)/build
	@$(INSTALL) -r $< || echo "· no Playwright for this platform: the browser suite will be skipped"
	@touch $@

# What reads deploy/ as its users do. Where there is none for the platform, those checks skip and say so.
$(DONE)/deploy: requirements/deploy.txt $(DONE)/build
	@$(INSTALL) -r $< || echo "· no Helm or PromQL for this platform: some checks of deploy/ will be skipped"
	@touch $@

# The package itself, from this checkout: edits in src/ need no new installation.
$(DONE)/package: pyproject.toml $(DONE)/build
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation --editable .
	@touch $@

$(DONE)/core $(DONE)/demo $(DONE)/dev: $(DONE)/package
