"""Run whole chains of a preset in this process, composed as the command line composes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from collapse_lab import compose, prepare
from collapse_lab.engine.loop import Loop
from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import Record


def chain(folder: Path, *overrides: str, status: str = "ok") -> list[Record]:
    """Return the ledger of one run, which is written to `folder` itself."""
    layout = prepare(compose(*overrides, f"paths.runs={folder}", "device=cpu")).layout
    layout.lab.store.open()
    ledger = Ledger(folder / "ledger.jsonl")
    assert Loop(layout.lab, layout.work, layout.ruler, ledger, [], folder).run(layout.plan) == status
    return ledger.records()


def series(records: list[Record], name: str) -> np.ndarray:
    """Return one metric of every generation."""
    return np.array([record.metrics[f"all/{name}"] for record in records])


def errors(records: list[Record], name: str) -> np.ndarray:
    """Return the standard errors of a mean over replicas, from its interval."""
    half_widths = series(records, f"{name}_hi") - series(records, name)
    standard_errors: np.ndarray = half_widths / 1.959963984540054
    return standard_errors
