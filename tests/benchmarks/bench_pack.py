"""Chains per hour of `trainer.pack=K` against K processes at once, and against the same cells one after another.

`python -m tests.benchmarks.bench_pack`: K seeds of the feedback loop on 8x8 digits, from the command line to the
report, on the device at hand. 2.00 is twice the time that the pack takes, so that the pack has twice the chains an
hour. K is 8 on a GPU and 4 without one; the K processes are those of hydra/launcher=local, which share one GPU.

Run on two shared CPU cores alone. Nothing here has been run on a GPU: neither the ratio there, nor whether CUDA graphs
on parallel streams would beat it, is known.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

LINE = ["-m", "+experiment=feedback", "+scale=tiny", "features=[pixels]", "metrics=[fid]", "sinks=[]"]


def seconds(command: Sequence[str], jobs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "collapse_lab", *command, f"paths.runs={Path(folder)}"]
        begun = time.perf_counter()
        subprocess.run(line, check=True, capture_output=True, env=os.environ | {"COLLAPSE_LAB_JOBS": str(jobs)})
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=8 if torch.cuda.is_available() else 4)
    parser.add_argument("--generations", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    cells = ",".join(map(str, range(args.cells)))
    line = [*LINE, f"seed={cells}", f"generations={args.generations}", f"trainer.steps={args.steps}"]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    print(f"{args.cells} chains of {args.generations + 1} generations, {args.steps} steps a fit, {device}")
    packed = None
    for name, more, jobs in (
        (f"pack={args.cells}", f"trainer.pack={args.cells}", 1),
        ("processes at once", "hydra/launcher=local", args.cells),
        ("one after another", "hydra/launcher=basic", 1),
    ):
        took = seconds([*line, more], jobs)
        packed = packed or took
        chains = 3600 * args.cells / took
        print(f"{name:20}{took:8.1f} s{chains:10.0f} chains/h{took / packed:8.2f} times pack's time", flush=True)


if __name__ == "__main__":
    main()
