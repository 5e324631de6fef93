"""What closes a sweep: one report over all of its cells, and a word on each that failed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

_folder: Path | None = None


class SweepStart(Callback):
    """Hydra calls it once, in the process that launches a sweep. (Its end is not told when a cell fails, so `close`
    is called from the command line instead.)"""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forgets the outcomes of an earlier launch of the same sweep."""
        global _folder  # noqa: PLW0603
        _folder = Path(config.hydra.sweep.dir)
        shutil.rmtree(_folder / "cells", ignore_errors=True)


def close() -> None:
    """Writes the report of the sweep that this process launched, if it launched one."""
    if _folder is None:
        return
    cells = [json.loads(path.read_text()) for path in sorted(_folder.glob("cells/*.json"))]
    for cell in cells:
        if cell["status"] not in ("ok", "diverged"):
            print(f"{cell['status']}: {cell['run']} {cell['reason']}", file=sys.stderr)
    runs = sorted({Path(cell["run"]) for cell in cells if (Path(cell["run"]) / "ledger.jsonl").exists()})
    if runs:
        from collapse_lab.report import write_report

        print(f"report of {len(runs)} cells: {write_report(runs, _folder / 'report.html')}")
