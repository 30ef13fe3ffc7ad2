# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run test check lint types layers coverage docs site links bench bench-cold bench-memory bench-policy fuzz soak dist clean

# The interpreter that .venv is made with. sys.executable, so that a shim (pyenv's) is looked through.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
	"$$python" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys.executable)' 2>/dev/null && break; done)

# Where `make run` listens, on the loopback interface: make run PORT=8081
PORT = 8080
# How the tests are run: make test PYTEST='-k policy'
PYTEST = -n auto --dist worksteal
# What is fuzzed: make fuzz TARGETS='proxy wire'
TARGETS =

FIRST = :

# Where `make site` puts its pages.
SITE = build/site
# All warnings, each an error; nothing is kept from one time to the next.
SPHINX = --fail-on-warning --keep-going --nitpicky --quiet --fresh-env --doctree-dir $(SITE).doctrees

# Tests that are hardly any of whole servers, so that they may go beside what FIRST waits for.
CALM = $(addprefix tests/,app commands control docs importing net pool process proxy readiness sites utils)

# How long `make soak` and `make fuzz` last: make soak SECONDS=300
SECONDS = 3600

BIN := .venv/bin

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: .venv/.has-examples ## start Luisito on 127.0.0.1:8080 in front of the examples
	@examples/addresses $(PORT)
	@exec env "PATH=$(CURDIR)/$(BIN):$$PATH" luisito run --max-servers 3 \
		--listen tcp:$(PORT):interface=127.0.0.1 -- examples/%HOST/run %PORT

test: .venv/.has-test .venv/.tried-fuzz ## run the tests
	$(BIN)/python -m pytest $(PYTEST)

# FIRST: what is to be over before the tests of whole servers begin.
check: lint types layers coverage .venv/.tried-fuzz ## all that a change must pass
	$(BIN)/python -m pytest $(PYTEST) -q $(CALM)
	@$(FIRST)
	$(BIN)/python -m pytest $(PYTEST) $(CALM:%=--ignore=%) --ignore=tests/core

lint: .venv/.has-test ## style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.has-test ## mypy --strict
	$(BIN)/python -m mypy

layers: .venv/.has-test ## imports go downwards only
	$(BIN)/lint-imports

coverage: .venv/.has-test ## the core, covered wholly by tests of its own
	$(BIN)/python -m pytest $(PYTEST) -q tests/core --cov --cov-report=term-missing:skip-covered

docs: .venv/.has-test ## write what is generated of docs: faults.md, site.schema.json and the tables of sites.md
	$(BIN)/python -m tests.faults.catalogue
	$(BIN)/python -m tests.sites.documents

site: .venv/.has-docs ## make pages of docs/, in build/site; a warning or a dead link is an error
	$(BIN)/python -m sphinx -b html $(SPHINX) docs $(SITE)

links: .venv/.has-docs ## ask whether what docs/ links to elsewhere is there; takes a network
	$(BIN)/python -m sphinx -b linkcheck $(SPHINX) docs build/links

bench: .venv/.has-examples ## measure beside nginx, haproxy, caddy, Apache, Passenger and ReverseProxyResource
	$(BIN)/python -m bench

bench-cold: .venv/.tried-uwsgi ## measure how fast sleeping Django and Flask sites wake, beside uWSGI and Passenger
	$(BIN)/python -m bench.sleepers cold --svg docs/cold.svg

bench-memory: .venv/.tried-uwsgi ## weigh idle Django and Flask sites, beside uWSGI and Passenger
	$(BIN)/python -m bench.sleepers memory --svg docs/memory.svg

bench-policy: .venv/.has-test ## simulate which servers are kept, and how long clients wait for starts
	$(BIN)/python -m bench.keep

fuzz: .venv/.has-test .venv/.has-fuzz ## look for inputs that go wrong, guided by what they reach
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

soak: .venv/.has-test ## an hour of mixed traffic over 500 sites, with kills, reloads and restarts
	$(BIN)/python -m tests.soak --seconds $(SECONDS) --svg soak.svg

dist: .venv/.has-dist ## build the source distribution, and a wheel from it, in dist/
	rm -rf dist build
	$(BIN)/python -m build --no-isolation
	rm -rf build

clean: ## remove .venv and all that was built, cached or recorded
	rm -rf .venv .venv.partial build dist *.egg-info .coverage* .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis .fuzz _trial_temp* soak.svg soak.log twisted/plugins/dropin.cache examples/*.localhost/var \
		luisito/spawner/starter
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# .venv/.has-EXTRA: .venv is there, with what setup.cfg lists under EXTRA. It is made in .venv.partial and
# renamed when whole, so that an interrupted run leaves nothing that looks finished.
INSTALL := -m pip install --quiet --disable-pip-version-check --editable

.venv/.has-%: setup.cfg setup.py luisito/spawner/starter.c
	@set -eu; \
	if [ -x $(BIN)/python ]; then \
		echo 'Bringing .venv up to date ...'; \
		$(BIN)/python $(INSTALL) '.[$*]'; \
	else \
		python='$(PYTHON)'; \
		if [ -z "$$python" ]; then \
			echo 'No Python 3.11 or later was found. Debian 12, Ubuntu 24.04: apt install -y python3-venv' >&2; exit 1; \
		fi; \
		if ! "$$python" -c 'import ensurepip' 2>/dev/null; then \
			echo "$$python cannot make a virtual environment (no ensurepip). Install it: apt install -y python3-venv" >&2; exit 1; \
		fi; \
		echo "Making .venv with $$python (about a minute) ..."; \
		rm -rf .venv .venv.partial; \
		trap 'rm -rf .venv.partial' EXIT; trap 'exit 130' INT; trap 'exit 143' HUP TERM; \
		"$$python" -m venv .venv.partial; \
		.venv.partial/bin/python $(INSTALL) '.[$*]'; \
		grep -lIF .venv.partial .venv.partial/pyvenv.cfg .venv.partial/bin/* | xargs sed -i 's|\.venv\.partial|.venv|g'; \
		mv .venv.partial .venv; \
	fi; \
	touch $@

# atheris only where there is a wheel: to build it takes clang.
.venv/.has-fuzz: setup.cfg | .venv/.has-test
	@PIP_ONLY_BINARY=atheris $(BIN)/python $(INSTALL) '.[fuzz]' || { \
		echo "There is no wheel of atheris for $$($(BIN)/python -V) on $$(uname -m): fuzz with Python 3.11 to 3.14" \
			"on x86_64 (make clean, then make fuzz PYTHON=python3.11)." >&2; exit 1; }
	@touch $@

# It has to be built for the Python of .venv; where that does not go, it is left out of what is measured.
.venv/.tried-uwsgi: setup.cfg | .venv/.has-bench
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-cache-dir uwsgi || \
		echo 'uWSGI cannot be built. Debian, Ubuntu: apt install -y gcc python3-dev' >&2
	@touch $@

# The tests that need it are skipped where it cannot be had.
.venv/.tried-fuzz: setup.cfg | .venv/.has-test
	@$(MAKE) --no-print-directory .venv/.has-fuzz || true
	@touch $@
