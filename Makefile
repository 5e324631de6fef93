.PHONY: venv demo test lint types bench report sync lock clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
RUNS ?= runs

# CPU tests and sweeps share two cores between processes; threads that spin for each other cost far more than they give
TEST_ENV := OMP_NUM_THREADS=1

$(READY): pyproject.toml .ci/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable ".[dev,hub,lm,slurm]"
	touch $(READY)

venv: $(READY)  ## set up only

demo: $(READY)  ## set up and run the main job
	$(BIN)/python -m collapse_lab +experiment=nepotistic ratio=0.005

test: lint types  ## set up, lint, types and tests
	$(TEST_ENV) $(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(PYTEST)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)  ## each as a ratio against the alternative that a user would pick
	$(BIN)/python -m tests.benchmarks

report: $(READY)  ## one page over everything in RUNS
	$(BIN)/python -m collapse_lab.report $(RUNS) --out $(RUNS)/report.html

sync: $(READY)  ## upload what ran offline to Weights & Biases
	$(BIN)/python -m collapse_lab.sync $(RUNS)

lock: $(READY)  ## write down the versions installed here
	$(BIN)/pip freeze --exclude-editable --exclude collapse-lab > .ci/constraints.txt

clean:  ## everything but runs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
