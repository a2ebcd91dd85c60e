# make run     start the demo: two bars with simulated robots
# make test    install what the tests need, Debian packages included, and run all of them
# make check   what CI runs: ruff, mypy, pip-audit, a count of instructions, then all tests
# make torture kill, starve and damage it for about an hour: docs/durability.md
# make bench   measure it beside its floor, in about half an hour: docs/performance.md
# make clean   remove what make made

VENV := .venv
BIN := $(VENV)/bin
ARGS :=

# The suite in three processes, since most tests wait; all tests of a file in one of them, and files in
# the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# The first Python that is new enough.
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))))

# Debian's and Ubuntu's packages: installed by root, or by sudo where it asks for no password.
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo -n)
APT := env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0
TEST_PACKAGES := chromium chromium-headless-shell docker-compose fonts-liberation redis-server strace valgrind
# Services that would start on your machine, so only CI installs them: without, their tests are skipped.
TEST_PACKAGES += $(if $(CI),caddy nginx-light prometheus)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Without bytecode each of the hundreds of processes that the tests start would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: run test check torture bench clean

run: $(VENV)/run.stamp
	@$(BIN)/sanic-dispatch demo $(ARGS)

test: $(VENV)/test.stamp $(VENV)/debian.stamp
	@$(PYTEST) $(ARGS)

check: $(VENV)/test.stamp $(VENV)/debian.stamp
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy --strict
	@$(BIN)/python .ci/audit
	@$(BIN)/python -m benchmarks instructions
	@$(PYTEST) $(ARGS)

# Prints its seeds; HISTORY_SEED, CRASH_SEED, FAST_PATH_SEED and SCHEMATHESIS_SEED throw the same dice again.
torture: export TORTURE := 1
torture: $(VENV)/test.stamp $(VENV)/debian.stamp
	@$(BIN)/python -m pytest -s tests/histories tests/crash tests/cluster tests/live/test_rewinder.py tests/storage/test_cached_json_file.py tests/test_original_faults.py tests/test_soak.py tests/web/openapi/test_schemathesis.py tests/web/test_both_ways.py $(ARGS)

# BENCH="--original /path/to/the/executable" measures that one beside it; --write renews the page.
BENCH :=
bench: $(VENV)/bench.stamp
	@$(BIN)/python -m benchmarks run $(BENCH)
	@$(BIN)/python -m pytest -q benchmarks/test_core.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# ---- what they need, made once and again when pyproject.toml changes

$(VENV)/run.stamp: pyproject.toml | $(VENV)/bin/pip
	@echo "installing sanic-dispatch in $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(VENV)/bin/pip
	@echo "installing sanic-dispatch and what its tests need in $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[test,check]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/bench.stamp: pyproject.toml | $(VENV)/bin/pip
	@echo "installing sanic-dispatch in $(VENV), with what its benchmarks need ..."
	@$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@ $(VENV)/run.stamp

# Debian keeps a part of venv in a package of its own.
$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { $(SUDO) $(APT) update && $(SUDO) $(APT) install --no-install-recommends python3-venv; } >/dev/null \
		|| { echo "venv is missing: install the package python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Without them the tests that need them are skipped; in CI they must be there.
$(VENV)/debian.stamp: Makefile | $(VENV)/bin/pip
	@missing=; for package in $(TEST_PACKAGES); do \
		dpkg-query -Wf '$${Status}' $$package 2>/dev/null | grep -q '^install ok installed$$' \
			|| missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then touch $@; exit; fi; \
	echo "installing the Debian packages$$missing ..."; \
	if { $(SUDO) $(APT) update && $(SUDO) $(APT) install --no-install-recommends $$missing; } >/dev/null; \
	then touch $@; \
	elif [ -n "$$CI" ]; then exit 1; \
	else echo "not installed (no root, no sudo, or no apt): tests that need them are skipped" >&2; fi
