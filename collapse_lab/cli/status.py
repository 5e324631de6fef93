"""`collapse-lab status PATH...`: list runs and the cells of sweeps, how far each is, and what failed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from collapse_lab.cli.sweep import CELLS, difference
from collapse_lab.engine.outcome import GOOD, Outcome
from collapse_lab.errors import UserError
from collapse_lab.results.run import Run, read_run
from collapse_lab.storage.formats import FORMAT, STATUS
from collapse_lab.storage.ledger import LEDGER, runs_below


@dataclass(frozen=True)
class Line:
    """Hold one line of the table.

    Attributes:
        name: the run's name and signature, or the overrides that tell a cell from the others of its sweep.
        state: `complete`, `diverged`, `unfinished (3 of 5)`, or how a run or a cell failed.
        remark: why it failed, or that its format is older.
        good: whether nothing has to be done about it.
    """

    name: str
    state: str
    remark: str
    good: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each run and for each cell that failed.

    Args:
        arguments: the command line without the program's name; None takes that of this process.

    Returns:
        Exit code 0 when every run is complete or diverged, 1 when a run or a cell is not, 2 for bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab status",
        description="List the runs at or below each PATH and the cells of sweeps that failed. Nothing is changed.",
        epilog="Exit code: 0 every run is at its end; 1 a run or a cell is not; 2 bad input.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="run folders, or folders of runs")
    options = parser.parse_args(arguments)
    try:
        lines = [line for path in options.paths for line in lines_below(path)]
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    width = max((len(line.name) for line in lines), default=0)
    for line in lines:
        print(f"{line.name:<{width}}  {line.state}" + (f": {line.remark}" if line.remark else ""))
    unfinished = sum(not line.good for line in lines)
    print(f"{len(lines)} runs and failed cells, {unfinished} of them not at their end")
    return 1 if unfinished else 0


def lines_below(path: Path) -> list[Line]:
    """Return a line for each run at or below a path, then one for each failed cell of its sweeps.

    Raises:
        UserError: the path is missing.
    """
    return [*map(_line_of_run, runs_below(path)), *_failed_cells(path)]


def _line_of_run(folder: Path) -> Line:
    name = f"{folder.parent.name}/{folder.name}"
    try:
        run = read_run(folder)
    except UserError as error:
        return Line(name, "unreadable", str(error), good=False)
    remark = f"format {run.format} of an earlier version, read as it is" if run.format < FORMAT else ""
    if run.status in ("complete", "diverged"):
        return Line(name, run.status, remark, good=True)
    return Line(name, run.status, "; ".join(filter(None, [_end(run), remark])), good=False)


def _end(run: Run) -> str:
    """Return how the process of an unfinished run ended, where it left word."""
    file = run.folder / STATUS
    if not file.exists():
        return "it is running, or it was killed"
    outcome = Outcome.read(file)
    return f"{outcome.status} {outcome.reason}".strip()


def _failed_cells(path: Path) -> Iterator[Line]:
    for folder in _sweeps_below(path):
        lines = {file: file.read_text().split("\n") for file in sorted(folder.glob("*.line"))}
        for file, overrides in lines.items():
            outcome = Outcome.read(file.with_suffix(".json"))
            if outcome.status not in GOOD and not _is_listed(outcome):
                name = f"cell {file.stem} of {folder.parent.name}: {difference(overrides, lines)}"
                yield Line(name, outcome.status, outcome.reason, good=False)


def _is_listed(outcome: Outcome) -> bool:
    """Return whether a cell's run has a ledger, and so a line of its own."""
    return bool(outcome.run) and (Path(outcome.run) / LEDGER).exists()


def _sweeps_below(path: Path) -> list[Path]:
    folders = []
    for folder, below, _ in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if Path(folder).name == CELLS:
            folders.append(Path(folder))
            below.clear()
    return folders
