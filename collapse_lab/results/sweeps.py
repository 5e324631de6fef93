"""The folder of a sweep, `runs/sweeps/<id>`: which cells it has, where their runs are, and how they ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from collapse_lab.engine.outcome import GOOD, Outcome
from collapse_lab.storage.formats import BEGUN, CELLS, ENDED, QUEUED, RUN
from collapse_lab.storage.ledger import LEDGER


@dataclass(frozen=True)
class SweepCell:
    """Hold a cell of a sweep as its files describe it.

    Attributes:
        number: its number in the sweep.
        overrides: its part of the command line.
        run: the folder of its run, None where it is not known.
        outcome: how it ended; None where it has not ended.
        begun: whether it has begun.
    """

    number: int
    overrides: tuple[str, ...]
    run: Path | None
    outcome: Outcome | None
    begun: bool

    @property
    def failed(self) -> bool:
        """Return whether it has ended, and not well."""
        return self.outcome is not None and self.outcome.status not in GOOD


def is_sweep(path: Path) -> bool:
    """Return whether a path is the folder of a sweep."""
    return (path / CELLS).is_dir()


def sweeps_below(path: Path) -> list[Path]:
    """Return the folders of the sweeps at or below a path; folders of runs and hidden ones are not entered."""
    if is_sweep(path):
        return [path]
    found = []
    for folder, below, files in os.walk(path):
        if CELLS in below:
            found.append(Path(folder))
        below[:] = [] if LEDGER in files or CELLS in below else sorted(n for n in below if not n.startswith("."))
    return found


def cells_of(sweep: Path) -> list[SweepCell]:
    """Return the cells of a sweep, by their numbers."""
    by_number: dict[str, set[str]] = {}
    for entry in os.scandir(sweep / CELLS):
        stem, dot, kind = entry.name.rpartition(".")
        if stem.isdigit():
            by_number.setdefault(stem, set()).add(dot + kind)
    return [_cell(sweep, stem, kinds) for stem, kinds in sorted(by_number.items())]


def runs_of(sweep: Path) -> list[Path]:
    """Return the folders of the cells of a sweep that have recorded something, each once."""
    runs = dict.fromkeys(cell.run for cell in cells_of(sweep))
    return [run for run in runs if run is not None and (run / LEDGER).exists()]


def _cell(sweep: Path, number: str, kinds: set[str]) -> SweepCell:
    path, begun = sweep / CELLS / number, BEGUN in kinds
    line = path.with_suffix(BEGUN if begun else QUEUED)
    overrides = tuple(line.read_text().split("\n")) if line.suffix in kinds else ()
    outcome = Outcome.read(path.with_suffix(ENDED)) if ENDED in kinds else None
    run = outcome.run if outcome is not None else ""
    if not run and RUN in kinds:
        run = path.with_suffix(RUN).read_text()
    return SweepCell(int(number), overrides, _found(sweep, Path(run)) if run else None, outcome, begun)


def _found(sweep: Path, run: Path) -> Path:
    """Return where a run is now: its path may be relative to the folder of the launch, or the runs may have moved."""
    beside = sweep.absolute().parents[1] / run.parent.name / run.name
    return run if run.exists() or not beside.exists() else beside
