"""`collapse-lab status PATH...`: list runs and the cells of sweeps, how far each is, and what failed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from collapse_lab.cli.durations import duration
from collapse_lab.cli.leftovers import said_of_leftovers
from collapse_lab.cli.standings import Fate, Line, standings_below
from collapse_lab.cli.sweep import COMMAND
from collapse_lab.errors import UserError

# What is said of the cells of a sweep that are not at their end
WORDS: dict[Fate, str] = {
    "failed": "failed",
    "stopped": "killed or stopped",
    "runs": "running",
    "begun": "begun, of which it is not known whether they run",
    "queued": "not started",
}
HEAD = ("run or cell", "generation", "phase", "last metric", "left")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each run and for each cell of a sweep, and the commands that finish the sweeps.

    Args:
        arguments: the command line without the program's name; None takes that of this process.

    Returns:
        Exit code 0 when every run is complete or diverged, 1 when a run or a cell is not, 2 for bad input.
    """
    parser = argparse.ArgumentParser(
        prog="collapse-lab status",
        description="List the runs at or below each PATH and the cells of sweeps: generation, phase, last metric, time "
        "left, and why what failed has failed. The last lines are the commands that finish sweeps, and those that "
        "remove what stopped runs have left in the store. Nothing is changed.",
        epilog="Exit code: 0 every run is at its end; 1 a run or a cell is not; 2 bad input.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="run folders, or folders of runs")
    options = parser.parse_args(arguments)
    try:
        standings = [standings_below(path) for path in options.paths]
        left = list(said_of_leftovers(options.paths))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    lines = [line for standing in standings for line in standing.lines]
    for text in table(lines):
        print(text)
    unfinished = sum(not line.good for line in lines)
    failed = sum(not line.good and not line.waits for line in lines)
    print(f"{len(lines)} runs and cells, {unfinished} of them not at their end, {failed} of them failed or stopped")
    for standing in standings:
        for text in remedies(standing.fates):
            print(text)
    for text in left:
        print(text)
    return 1 if unfinished else 0


def table(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of a table, the head first; columns in which no line has anything are left out."""
    rows = [(line.name, line.generation, line.phase, line.metric, duration(line.seconds)) for line in lines]
    kept = [column for column in range(len(HEAD)) if column == 0 or any(row[column] for row in rows)]
    widths = [max(len(row[column]) for row in [HEAD, *rows]) for column in kept]
    ends = ["state", *(line.state + (f": {line.remark}" if line.remark else "") for line in lines)]
    for row, end in zip([HEAD, *rows], ends, strict=True):
        cells = [f"{row[column]:<{width}}" for column, width in zip(kept, widths, strict=True)]
        yield "  ".join([*cells, end])


def remedies(sweeps: Mapping[Path, Sequence[Fate]]) -> Iterator[str]:
    """Yield for each sweep that is not at its end the command line that finishes it.

    Args:
        sweeps: the fates of the cells of each sweep, by its folder.
    """
    for sweep, fates in sweeps.items():
        if all(fate == "good" for fate in fates):
            continue
        counts = [
            f"{fates.count(fate)} of {len(fates)} cells {words}" for fate, words in WORDS.items() if fate in fates
        ]
        head = f"sweep {sweep.name}: {', '.join(counts)}"
        file = sweep / COMMAND
        command = file.read_text() if file.exists() else ""
        if not command:
            yield head
            continue
        again = f"COLLAPSE_LAB_ONLY=failed {command}" if "failed" in fates else command
        when = "this finishes it"
        if "runs" in fates:
            when = "when its process has ended, this computes what is missing then"
        elif (sweep / "slurm").is_dir():
            when = "unless its jobs wait in the queue (squeue), this finishes it"
        yield f"{head}; {when}: {again}"
