"""The command line as a user meets it: a process of its own, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import collapse_lab

ROOT = Path(collapse_lab.__file__).resolve().parents[1]
EXPERIMENT = ["+experiment=nepotistic", "+scale=tiny"]
# Smaller still: what is tested is the engine, and it does not care whether a model has learnt anything
SMALL = [
    "n_train=32",
    "n_samples=16",
    "trainer.steps=8",
    "trainer.finetune_steps=4",
    "model.sampler.steps=2",
    "model.channels=[8,16]",
    "model.norm_groups=4",
    "features.classifier.steps=5",
    "device=cpu",
]
CHAIN = [*EXPERIMENT, *SMALL, "sinks=console"]
# For tests that look at no number: one metric, and no classifier that is trained first
PIXELS = [*(word for word in CHAIN if "classifier" not in word), "features=[pixels]", "metrics=[fid]"]


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, with one thread, no GPU, and nothing that would sign in to W&B."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "COLLAPSE_LAB_"))}
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    return {**kept, **quiet, **changes}


def run(args: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m collapse_lab ARGS` to its end; stdin is closed, so whatever asks a question fails."""
    command = [sys.executable, "-m", "collapse_lab", *args]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(**env), stdin=subprocess.DEVNULL, timeout=300
    )


def ledger(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's ledger."""
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


def timeless(folder: Path) -> list[dict[str, Any]]:
    """The ledger without what the clock alone decides."""
    return [{key: value for key, value in line.items() if key not in ("seconds", "sum")} for line in ledger(folder)]


def only_run(runs: Path, name: str = "nepotistic") -> Path:
    """The one run folder of an experiment."""
    (folder,) = (runs / name).iterdir()
    return folder


def entries(store: Path, kind: str = "*") -> dict[str, Path]:
    """Committed stages: `kind/key` to folder."""
    found = sorted(store.glob(f"{kind}/*/*/manifest.json"))
    return {f"{path.parents[2].name}/{path.parent.name}": path.parent for path in found}


def tensors(store: Path) -> dict[str, bytes]:
    """Every stored tensor file, by `kind/key`."""
    files = {name: folder / "tensors.safetensors" for name, folder in entries(store).items()}
    return {name: path.read_bytes() for name, path in files.items() if path.exists()}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder: its bytes and when it was written."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
