"""A sweep over the ratio with a shared store against the same cells, each with a store of its own.

`python -m tests.benchmarks.bench_sharing`: five ratios, two seeds, at tiny scale, one cell after another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINE = ["-m", "+experiment=nepotistic", "+scale=tiny", "sinks=[]", "trainer.steps=400", "seed=0,1"]


def sweep(*overrides: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "collapse_lab", *LINE, *overrides], check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        apart = [f"paths.runs={Path(folder) / 'apart'}", "paths.store=${paths.runs}/.store/${seed}-${ratio}"]
        together = [f"paths.runs={Path(folder) / 'together'}"]
        ratios = "ratio=0,0.05,0.1,0.5,1"
        alone, shared = sweep(*apart, ratios), sweep(*together, ratios)
        again = sweep(*together, ratios)
    print(f"10 cells: each on its own {alone:.1f} s, sharing {shared:.1f} s ({alone / shared:.2f} times as fast)")
    print(f"the same sweep again: {again:.1f} s")


if __name__ == "__main__":
    main()
