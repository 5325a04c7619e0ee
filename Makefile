# One word for each thing there is to do here; `make` alone lists them.

PYTHON ?= python3
export PYTHON

# Directories are among them, so that a removed file counts as a change, too.
SOURCES := setup.cfg pyproject.toml README.md $(shell find agent templates ! -name '*.pyc' ! -name __pycache__)
INSTALLED := .venv/.annex-agent-installed

.PHONY: help demo test lint region fuzz bench build rpm clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' Makefile

demo: $(INSTALLED) ## what a boot would do, on an emulated EC2 instance: no root, no EC2, nothing is changed
	.venv/bin/annex-agent --dry-run --simulate

test: ## linters, types and all tests; ARGS are pytest's, as in make test ARGS="tests/unit -k stop"
	tests/run $(ARGS)

lint: ## linters and types only
	tests/run --lint

region: ## a local EC2 region with real HTCondor to look around in (as root); ARGS=--boot boots its worker
	tests/run --venv
	.venv-test/bin/python -m tests.region $(ARGS)

fuzz: ## random and mutated user-data, 200,000 documents; ARGS="--count 1000 --seed 2"
	tests/run --venv
	.venv-test/bin/python -m tests.fuzz $(ARGS)

bench: ## the benchmarks (as root); ARGS="--watch 600" looks at the watch for ten minutes
	tests/run --venv
	.venv-test/bin/python -m tests.bench $(ARGS)

build: ## wheel and sdist, into dist/
	tests/run --venv
	rm -rf build dist *.egg-info
	.venv-test/bin/python -m build --no-isolation

rpm: ## RPM and source RPM, into dist/ (needs rpmbuild)
	packaging/rpm/build

clean: ## remove all that the other targets made
	rm -rf .venv .venv-test build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find agent templates tests -name __pycache__ -prune -exec rm -rf {} +

# build/ is removed first, because setuptools would install modules from it that no longer exist.
$(INSTALLED): $(SOURCES)
	@tests/python-check
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	rm -rf build
	.venv/bin/python -m pip install --quiet --disable-pip-version-check .
	@touch $@
