# Everything that a fresh machine with Python needs, in .venv; each target sets up what it uses, once.
#
#   make demo     the main job on installed photographs; look at demo-output/contact-sheet.png
#   make paper    the paper's tables and figures; PAPER takes its options: PAPER="--data DIR"
#   make test     all tests, TEST_JOBS=2 processes at a time; make lint, make types: the linter and the type checker
#   make test-pyside   the plugin's tests with PySide6; make coverage: all tests, with what they cover
#   make docs     the documentation site, in site/; make examples: every script of examples/, gallery: their pictures too
#   make results  docs/results.md from the figures in docs/results
#   make dist     wheel and source distribution, checked; make changelog VERSION=...: the next release's notes
#
# PYTHON chooses the interpreter; PIP_INSTALL_ARGS is passed to every pip install.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_INSTALL_ARGS)
# Tests of the plugin open a real viewer, which needs a display. They have a process of their own: thread pools, a
# cluster and the like, which the library's tests leave to the end of theirs, are no part of a napari session.
DISPLAY_RUN := $(shell command -v xvfb-run >/dev/null 2>&1 && echo xvfb-run -a)
WITH_PYQT6 := QT_API=pyqt6 PYTEST_QT_API=pyqt6 $(DISPLAY_RUN)
WITH_PYSIDE6 := QT_API=pyside6 PYTEST_QT_API=pyside6 $(DISPLAY_RUN)

# A process for each core, and one thread in each: the tests' images are too small for more.
TEST_JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(TEST_JOBS)
test test-pyside coverage: export OMP_NUM_THREADS = 1

.PHONY: demo paper fuzz test test-pyside coverage lint types docs examples gallery results dist changelog screenshots clean

demo: $(VENV)/.ready-run
	$(BIN)/defocus demo --out demo-output

paper: $(VENV)/.ready-run
	$(BIN)/python -m paper $(PAPER)

test: $(VENV)/.ready-test
	$(PYTEST) --ignore tests/napari
	$(WITH_PYQT6) $(PYTEST) tests/napari

test-pyside: $(VENV)/.ready-pyside
	$(WITH_PYSIDE6) $(PYTEST) tests/napari

coverage: $(VENV)/.ready-test
	$(PYTEST) --cov --cov-report= --ignore tests/napari
	$(WITH_PYQT6) $(PYTEST) --cov --cov-append --cov-report= tests/napari
	$(BIN)/python -m coverage report

# Damaged files through the command line, wrong arguments through the library, files by generators through the readers;
# FUZZ_COUNT and FUZZ_SEED choose how many and which.
fuzz: $(VENV)/.ready-test
	FUZZ_COUNT=$${FUZZ_COUNT:-20000} $(BIN)/python -m pytest tests/backend/cli/test_mutations.py tests/backend/test_wrong_arguments.py \
		tests/backend/io/test_generated_files.py

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

types: $(VENV)/.ready-dev
	$(BIN)/mypy

docs: $(VENV)/.ready-docs
	$(BIN)/python docs/make_results.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

examples: $(VENV)/.ready-examples
	MPLBACKEND=agg $(BIN)/python docs/make_gallery.py --out examples/output

gallery: $(VENV)/.ready-examples
	MPLBACKEND=agg $(BIN)/python docs/make_gallery.py --out docs/images/examples

results:
	$(PYTHON) docs/make_results.py

dist: $(VENV)/.ready-dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

changelog: $(VENV)/.ready-dev
	$(BIN)/towncrier build --yes --version $(VERSION)

screenshots: $(VENV)/.ready-test
	QT_API=pyqt6 xvfb-run -a -s "-screen 0 1600x1000x24" $(BIN)/python docs/make_screenshots.py

clean:
	rm -rf $(VENV) demo-output build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	touch $@

$(VENV)/.ready-examples: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[onnx]'
	touch $@

$(VENV)/.ready-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[all,test]'
	touch $@ $(VENV)/.ready-run

$(VENV)/.ready-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[docs]'
	touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.ready-test $(VENV)/.ready-run

# Qt's essentials alone: the web engine that comes with all of PySide6 is larger than everything else here. Beside
# PyQt6 in one environment, which QT_API tells apart: an environment of its own would hold torch and napari twice.
$(VENV)/.ready-pyside: $(VENV)/.ready-test
	$(PIP) PySide6-Essentials
	touch $@
