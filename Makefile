# Two commands do everything, their own set-up included: `make demo` and `make test`.
# The rest: test-portable, test-slow, test-faults, test-pyqt6, coverage, conformance, lint, screenshots, film, benchmark, format, clean.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# A virtual screen for the tests on Linux; macOS has its own.
SCREEN := $(if $(filter Linux,$(shell uname -s)),xvfb-run -a -s "-screen 0 1920x1080x24",)
PYTEST := $(SCREEN) $(BIN)/python -m pytest
WORKERS ?= 2
IN_PARALLEL := -m "not slow" -n $(WORKERS) --dist worksteal
# More threads than cores make all of them slower.
PARALLEL_PYTEST := OMP_NUM_THREADS=1 $(PYTEST) $(IN_PARALLEL)

.PHONY: demo test test-portable test-slow test-faults test-pyqt6 coverage conformance lint screenshots film benchmark format clean

demo: $(READY)
	@$(BIN)/napari-breastseg demo

# dicom3tools validates the DICOM SEG files that a test writes; without it that check skips.
test: lint
	@sh .ci/system-packages dicom3tools || echo "Going on without dicom3tools."
	$(PARALLEL_PYTEST)

# The same tests with the arithmetic of an older processor: no test may hang on one's rounding.
test-portable: $(READY)
	OMP_NUM_THREADS=1 $(SCREEN) .ci/older-processor $(BIN)/python -m pytest $(IN_PARALLEL)

# Measuring it makes the tests a quarter slower.
coverage: $(READY)
	$(PARALLEL_PYTEST) --cov --cov-report=term

# 2,000 whole synthetic studies: read rightly or asked about; writes docs/conformance.md.
# FILES: folders of more odd files to list, such as a copy of github.com/robyoung/dicom-test-files.
conformance: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_conformance.py --studies 2000 --workers $(WORKERS) \
		$(addprefix --files ,$(FILES))

test-slow: $(READY)
	$(PYTEST) -m slow

# Hostile input at length, what is spoiled on disk and several programs at once; writes the table of
# docs/reliability.md. FAULTS: how many damaged files of each format.
# Then known vulnerabilities of the libraries.
FAULTS ?= 10000
test-faults: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults -n $(WORKERS) --dist worksteal
	$(BIN)/python benchmarks/damaged_files.py --count $(FAULTS) --workers $(WORKERS)
	$(BIN)/python benchmarks/file_faults.py --workers $(WORKERS)
	$(BIN)/python benchmarks/crowd_at_work.py
	@$(BIN)/python .ci/audit.py

test-pyqt6: $(READY)
	@echo "Installing PyQt6 (80 MB) ..."
	@$(BIN)/pip install -q -c constraints.txt PyQt6
	QT_API=pyqt6 PYTEST_QT_API=pyqt6 $(PARALLEL_PYTEST) tests/gui

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

screenshots: $(READY)
	$(SCREEN) $(BIN)/python docs/make_screenshots.py

# The README's film of an exam that learns.
film: $(READY)
	$(SCREEN) $(BIN)/python docs/make_film.py

benchmark: $(READY)
	$(BIN)/python benchmarks/starter.py
	$(BIN)/python benchmarks/whole_exams.py
	$(BIN)/python benchmarks/learning.py
	$(BIN)/python benchmarks/breast_region.py
	$(BIN)/python benchmarks/clinic_leave_patients_out.py
	$(BIN)/python benchmarks/uncertainty.py
	$(BIN)/python benchmarks/gate.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv dist build demo-output

$(READY): pyproject.toml constraints.txt .ci/system-packages .ci/set-up
	@sh .ci/system-packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Expected Python 3.11 or newer; $(PYTHON) is older. Run: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(BIN)/python -c 'import pip, sys; assert sys.version_info >= (3, 11)' 2>/dev/null \
		|| $(PYTHON) -m venv --clear .venv
	@sh .ci/set-up
	@touch $@
