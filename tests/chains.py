"""Whole runs of a preset in this process, as the command line composes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir

from collapse_lab.cli import app
from collapse_lab.config import schema
from collapse_lab.engine import run
from collapse_lab.engine.loop import Loop
from collapse_lab.sinks.silent import Silent
from collapse_lab.storage.ledger import Ledger
from collapse_lab.types import Record


def chain(folder: Path, *overrides: str, status: str = "ok") -> list[Record]:
    """The ledger of one run."""
    with initialize_config_dir(str(app.CONF), version_base="1.3"):
        cfg = compose("config", [*overrides, f"paths.runs={folder}", "device=cpu"])
    lab, work, ruler, plan = run._laid_out(cfg, schema.read_root(cfg), Silent())
    lab.store.open()
    ledger = Ledger(folder / "ledger.jsonl")
    assert Loop(lab, work, ruler, ledger, [], folder).run(plan) == status
    return ledger.records()


def series(records: list[Record], name: str) -> np.ndarray:
    """One metric of every generation."""
    return np.array([record.metrics[f"all/{name}"] for record in records])


def errors(records: list[Record], name: str) -> np.ndarray:
    """Standard errors of a mean over replicas, from its interval."""
    found: np.ndarray = (series(records, f"{name}_hi") - series(records, name)) / 1.959963984540054
    return found
