# demo: transferkit on real text.  test: lint, import contract, types, tests.
# Both set themselves up in .venv; they need Python >= 3.11 and a package registry.
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c "$(IS_NEW_ENOUGH)" 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# Modules are compiled when they are imported; compiling all of torch, SciPy and the others takes a minute.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

.PHONY: demo test quick-kernels test-kernels mutants lint format docs docs-widths docs-test bench tables test-serving test-lowest dist clean

demo: .venv/demo-ready
	$(BIN)/transferkit demo

# One test process per core, each with one thread, since threads of several processes block each other. The tests start
# many more processes, each of which would compile the package again if writing bytecode were disabled. What needs one
# core comes first, side by side.
test: .venv/test-ready
	$(MAKE) -j 2 lint quick-kernels
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --dist worksteal

quick-kernels: .venv/test-ready
	PYTHONDONTWRITEBYTECODE= $(BIN)/python tests/kernels.py --quick

# The numerical tests under the kernels that other processors would choose, with one and two threads: many minutes.
test-kernels: .venv/test-ready
	PYTHONDONTWRITEBYTECODE= $(BIN)/python tests/kernels.py

# Changes one line at a time, each a rule that decides something, and checks that a test fails: a few minutes.
mutants: .venv/test-ready
	PYTHONDONTWRITEBYTECODE= $(BIN)/python tests/mutants.py

lint: .venv/test-ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

format: .venv/test-ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The site, in docs/_build: runs the examples; every warning, such as a broken link, is an error.
docs: .venv/docs-ready
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

docs-widths: docs
	$(BIN)/python docs/check_widths.py docs/_build

docs-test: .venv/test-ready
	$(BIN)/python -m pytest tests/test_guide.py tests/test_examples.py

# Loading, prediction and HTTP without torch, installed by the steps of serving/Dockerfile and then tested.
SERVING := .venv-serving/bin
test-serving:
	$(PYTHON) -m venv --clear .venv-serving
	$(PYTHON) tests/serving_image.py .venv-serving
	! $(SERVING)/python -c "import torch" 2>/dev/null
	$(SERVING)/pip install --quiet --disable-pip-version-check --constraint serving/constraints.txt httpx pytest
	$(SERVING)/pytest --override-ini "addopts=--import-mode=importlib" tests/test_serving.py tests/persistence/test_saved_files.py

# The wheel with the lowest supported versions of its dependencies, and current test tools, which warn about old versions.
LOWEST := .venv-lowest/bin
test-lowest: dist
	$(PYTHON) -m venv --clear .venv-lowest
	$(BIN)/python tests/lowest.py > .venv-lowest/lowest.txt
	$(LOWEST)/pip install --quiet --disable-pip-version-check --no-compile --constraint .venv-lowest/lowest.txt \
		"$$(echo dist/*.whl)[text,plot]" codespell httpx hypothesis numpydoc pandas polars pytest pytest-xdist
	PYTHONPATH= $(BIN)/python tests/check_wheel.py dist/*.whl $(LOWEST)
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(LOWEST)/pytest --numprocesses auto --dist worksteal \
		-o filterwarnings=default tests

dist: .venv/bin/python
	$(PIP) build
	rm -rf dist
	$(BIN)/python -m build --outdir dist

# All benchmarks take hours: make bench DATA=folder-of-data-sets; minutes, on data that every machine has: make bench QUICK=1.
bench: .venv/bench-ready
	$(BIN)/python benchmarks/run_all.py $(DATA) $(if $(QUICK),--quick)

# Tables and plots of the figures, from the results that the benchmarks have written.
tables: .venv/test-ready
	$(BIN)/python benchmarks/make_tables.py

clean:
	rm -rf .venv .venv-serving .venv-lowest demo-output dist docs/_build docs/_pictures docs/gallery docs/reference
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "transferkit needs Python 3.11 or newer, and none was found: install one or say make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/demo-ready: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable ".[plot]"
	touch $@

.venv/test-ready: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable ".[dev]"
	touch $@

.venv/docs-ready: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable ".[docs]"
	touch $@

.venv/bench-ready: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable ".[bench,dask,plot,serve]"
	touch $@
