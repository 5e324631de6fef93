.PHONY: venv demo test tests orders lint types bench docs claims report sync lock clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
RUNS ?= runs

# The test processes share the cores of the machine, and threads that wait for each other in a busy loop cost far more
# time than they save, so give each process one thread. Tests start many processes, so let them keep what they compile
TEST_ENV := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

# Without --no-compile pip compiles 350 MB of Python on one core for over a minute, and a run imports less than a third
# of it. Python compiles that by itself where it is imported first
$(READY): pyproject.toml .ci/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --constraint .ci/constraints.txt --editable ".[dashboard,dev,docs,hub,lm,sd,slurm,tensorboard]"
	touch $(READY)

venv: $(READY)  ## create the environment

demo: $(READY)  ## create the environment and run the main experiment
	$(BIN)/python -m collapse_lab +experiment=nepotistic ratio=0.005

test: lint  ## create the environment, then run lint, types and tests
	$(MAKE) --no-print-directory --jobs 2 types tests  # side by side, because types take one core for a minute

tests: $(READY)  ## run the tests alone
	$(TEST_ENV) $(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(PYTEST)

# A release has to pass on any processor, in any order, and where a shell ignores Ctrl-C for what it starts
orders: $(READY)  ## run the tests three times, in random orders: as an old processor, with AVX2, and as nohup does
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 $(MAKE) tests PYTEST="--random-order --random-order-seed=1"
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(MAKE) tests PYTEST="--random-order --random-order-seed=2"
	trap '' INT HUP; $(MAKE) tests PYTEST="--random-order --random-order-seed=3"

lint: $(READY)  ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

types: $(READY)  ## check types
	$(BIN)/mypy

bench: $(READY)  ## run the benchmarks, each as a ratio to the alternative that a user would pick
	$(BIN)/python -m tests.benchmarks

docs: $(READY)  ## build the documentation into build/site; a warning, such as of a dead link, is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --config-file .mkdocs.yml

# Judge first, because the page is written from the judgements; a claim that is not reproduced is no error here
claims: $(READY)  ## judge the claims from docs/ledgers, and write docs/claims.json and docs/claims.md
	rm -rf build/ledgers
	$(BIN)/python -m docs.ledgers unpack build/ledgers
	$(BIN)/python -m collapse_lab verify build/ledgers --earlier docs/claims.json --json docs/claims.json || test $$? = 1
	$(BIN)/python -m collapse_lab verify --earlier docs/claims.json --markdown docs/claims.md || test $$? = 1

report: $(READY)  ## write one page about all runs in RUNS
	$(BIN)/python -m collapse_lab report $(RUNS) --out $(RUNS)/report.html

sync: $(READY)  ## upload the offline mirrors of RUNS to Weights & Biases
	$(BIN)/python -m collapse_lab sync $(RUNS)

lock: $(READY)  ## write the installed versions to .ci/constraints.txt
	$(BIN)/pip freeze --exclude-editable --exclude collapse-lab > .ci/constraints.txt

clean:  ## delete the environment, the caches and the build outputs, but no runs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
