# Each target is one line over the command; .venv is made on first use and remade when pyproject.toml changes.
SHELL   := /bin/bash
PYTHON  ?= python3
PY      := .venv/bin/python
BREAK   := .venv/bin/groundbreak
FAST    := not (slow or integration or peer or faults or qgis or browser)
CHECKS  := 'mypy pipeline groundbreak' 'ruff check .' 'ruff format --check .' lint-imports codespell 'deptry pipeline groundbreak'
COLLECT := 'python -m pytest --collect-only -qq -p no:zarr -p no:anyio -o addopts=--import-mode=importlib'
IN_PAIRS = PATH="$$PWD/.venv/bin:$$PATH" xargs -P 2 -I{} bash -c 'out=$$({} 2>&1) || { echo "$$out"; exit 1; }'

# the bytecode of the tests is kept: each process would rewrite their assertions, which takes it seven seconds
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help detect nightly test test-fast lint coverage docs bench peers faults fuzz qgis browser archive clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 12

.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'error: Python 3.11 or newer is needed (PYTHON=$(PYTHON)): call make with PYTHON=python3.12, say'; exit 2; }
	@test ! -L .venv || { echo 'error: .venv is a link to another environment, which make would empty: remove the link, or update that environment there'; exit 2; }
	@echo 'setting up .venv (once; a few minutes on a slow line)'
	@$(PYTHON) -m venv --clear .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

detect: .venv/.ready  ## the demonstration sites, or SITE=id [SCENE=item or .SAFE] [ARGS='...']
	@$(BREAK) $(if $(SITE),detect $(SITE) $(if $(SCENE),--scene "$(SCENE)"),demo) $(ARGS)

nightly: .venv/.ready  ## new scenes of every site, notifications [ARGS='...']
	@$(BREAK) nightly $(ARGS)

test: .venv/.ready  ## unit, property, golden, structure and whole-command tests; the slow ones: ARGS='-m slow'
	@$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

test-fast: .venv/.ready  ## the checks of lint, and the tests of functions and single files [ARGS='...']
	@printf '%s\n' $(CHECKS) | $(IN_PAIRS)
	@$(PY) -m pytest -n 2 --dist worksteal -m '$(FAST)' $(ARGS)

lint: .venv/.ready  ## ruff, mypy, layers, spelling, dependencies, and that every test can be imported
	@printf '%s\n' $(COLLECT) $(CHECKS) | $(IN_PAIRS)

coverage: .venv/.ready  ## what the tests of `make test` execute, as a table and in htmlcov/ [ARGS='...']
	@$(PY) -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=html $(ARGS)

docs: .venv/.ready  ## the documentation site, in site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

bench: .venv/.ready  ## every benchmark, into benchmarks/RESULTS.md
	@$(PY) -m benchmarks.run $(ARGS)

peers:  ## environments for the programs that benchmarks compare with (gcc, libgdal-dev)
	@benchmarks/peers/setup.sh

faults: .venv/.ready  ## real faults against real servers
	@$(PY) -m pytest -m 'peer or faults' tests $(ARGS)

fuzz: .venv/.ready  ## a minute of coverage-guided fuzzing of the readers [ARGS=-max_total_time=3600]
	@$(PY) -c 'import atheris' 2>/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@$(PY) -m tests.faults.fuzz $(or $(ARGS),-max_total_time=60)

qgis: .venv/.ready  ## the review files in a real QGIS [QGIS='/usr/sbin/chroot DIR']
	@GROUNDBREAK_QGIS='$(QGIS)' $(PY) -m pytest -m qgis tests $(ARGS)

browser: .venv/.ready  ## the report in a real browser
	@$(PY) -m pytest -m browser tests $(ARGS)

archive: .venv/.ready  ## the embedded archive again, from its package, and the simulated sites on it
	@$(PY) aois/demo/make_archive.py && $(PY) aois/demo/make_simulated.py && $(PY) aois/demo/make_plant.py

clean:  ## everything that can be made again, results excepted
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage* htmlcov site
