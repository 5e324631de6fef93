"""What the driver of a local sweep costs, 200 tiny cells over 4 workers, and what operations of the store do."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from collapse_lab.engine.executor import Alone
from collapse_lab.storage.store import Payload, Store
from tests.e2e.command import environment

CELLS, WORKERS = 200, 4
STAGES = 300  # of the store, for the median of an operation
# The driver prints its own CPU time, without that of its workers, and its wall time
DRIVER = """
import sys, time
begun = time.perf_counter()
from collapse_lab.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(f"DRIVER {time.process_time():.2f} {time.perf_counter() - begun:.2f}")
"""


def swept(cells: int, runs: Path) -> tuple[float, float]:
    """Return the driver's CPU seconds and wall seconds of a sweep of tiny cells."""
    line = [
        "-m",
        "+experiment=recursive_gaussian",
        "hydra/launcher=local",
        "sinks=[]",
        "generations=2",
        "model.replicas=10",
        "device=cpu",
        f"seed=range(0,{cells})",
        f"paths.runs={runs}",
    ]
    env = environment(COLLAPSE_LAB_JOBS=str(WORKERS))
    done = subprocess.run([sys.executable, "-c", DRIVER, *line], check=True, capture_output=True, text=True, env=env)
    found = re.search(r"DRIVER ([\d.]+) ([\d.]+)", done.stdout)
    assert found is not None, done.stderr[-2000:]
    return float(found[1]), float(found[2])


def operations(root: Path) -> tuple[float, float]:
    """Return the median seconds to commit a small stage, and to read it again in a new process's place."""
    rows = {"rows": torch.zeros(100, 10)}
    times: tuple[list[float], list[float]] = [], []
    for part, measured in enumerate(times):
        store = Store(root, Alone())
        store.open()
        for number in range(STAGES):
            begun = time.perf_counter()
            store.obtain("fit", f"{number:032x}", lambda: Payload(rows), {})
            measured.append(time.perf_counter() - begun)
        assert part or len(list(root.glob("fit/*/*/manifest.json"))) == STAGES
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        few, _ = swept(2, Path(name) / "few")
        many, wall = swept(CELLS, Path(name) / "many")
        each = 1000 * (many - few) / (CELLS - 2)
        runs = len(list((Path(name) / "many").glob("recursive_gaussian/*/ledger.jsonl")))
        commit, read = operations(Path(name) / "store")
        begun = time.perf_counter()
        for number in range(STAGES):
            torch.save(torch.zeros(100, 10), Path(name) / f"{number}.pt")
        bare = (time.perf_counter() - begun) / STAGES
    print(f"{runs} cells over {WORKERS} workers {wall:.0f} s; the driver's own CPU time {each:.0f} ms a cell")
    print(f"store: commit {1000 * commit:.1f} ms, read {1000 * read:.1f} ms; torch.save alone {1000 * bare:.1f} ms")


if __name__ == "__main__":
    main()
