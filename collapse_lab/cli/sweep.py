"""What holds the cells of a sweep together: those that run as one, a word on each that failed, one report over all."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

# Of a cell that left no word: killed, or with its node
LOST = {"run": "", "status": "lost", "reason": "it ended without a word"}

_folder: Path | None = None


@dataclass(frozen=True)
class Cell:
    """A cell that has been checked, and waits for others to be packed with.

    file: where it leaves word of its outcome.  pack: how many go together.
    """

    file: Path
    overridden: Sequence[str]
    pack: int
    run: Callable[[], None]


_queue: list[Cell] = []


class SweepStart(Callback):
    """Hydra calls it once, in the process that launches a sweep. (Its end is not told when a cell fails, so `close`
    is called from the command line instead.)
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forgets the outcomes of an earlier launch of the same sweep."""
        global _folder
        _folder = Path(config.hydra.sweep.dir)
        shutil.rmtree(_folder / "cells", ignore_errors=True)


@contextmanager
def outcome(cell: Path | None, overridden: Sequence[str]) -> Iterator[None]:
    """Leaves word of a cell where `close` looks for it, however early or hard the cell ends.

    cell: the file that the run writes its own outcome to; None outside a sweep.
    """
    if cell is None:
        yield
        return
    cell.parent.mkdir(parents=True, exist_ok=True)
    cell.with_suffix(".line").write_text("\n".join(overridden))
    try:
        yield
    except BaseException as error:
        if not cell.exists():
            cell.write_text(json.dumps({"run": "", "status": "failed", "reason": str(error), "seconds": 0.0}))
        raise


def enqueue(cell: Cell) -> None:
    """Leaves a cell for `run_queued`."""
    cell.file.with_suffix(".line").unlink()  # it has not begun, and is not lost if it never does
    _queue.append(cell)


def run_queued() -> None:
    """Runs the cells that were queued, as many together as `trainer.pack` says; one that fails stops no other.

    Raises:
        BaseException: the first failure, after all have ended.
    """
    cells, _queue[:] = list(_queue), []
    if not cells:
        return
    from collapse_lab.packing.groups import Bench
    from collapse_lab.packing.turns import together

    bodies = [partial(_run, cell) for cell in cells]
    for error in together(bodies, max(cell.pack for cell in cells), Bench().serve):
        if error is not None:
            raise error


def _run(cell: Cell) -> None:
    with outcome(cell.file, cell.overridden):
        cell.run()


def close() -> None:
    """Writes the report of the sweep that this process launched, if it launched one."""
    if _folder is None:
        return
    runs: set[Path] = set()
    lines = {path: path.read_text().split("\n") for path in sorted(_folder.glob("cells/*.line"))}
    for line, overridden in lines.items():
        cell = line.with_suffix(".json")
        told = json.loads(cell.read_text()) if cell.exists() else LOST
        if told["status"] not in ("ok", "diverged"):
            own = [each for each in overridden if any(each not in other for other in lines.values())]
            print(f"{told['status']}: {' '.join(own or overridden)}: {told['reason']}", file=sys.stderr)
        ledger = Path(told["run"]) / "ledger.jsonl"
        if told["run"] and ledger.exists() and ledger.stat().st_size:  # empty until a generation is done
            runs.add(Path(told["run"]))
    if runs:
        from collapse_lab.report import write_report

        print(f"report of {len(runs)} cells: {write_report(sorted(runs), _folder / 'report.html')}")
