"""Where runs and the cells of sweeps stand, read from their folders; nothing is changed, and no lock is held."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from collapse_lab.cli.sweep import differences
from collapse_lab.engine.outcome import GOOD, Outcome
from collapse_lab.errors import UserError
from collapse_lab.results.run import Run, read_run
from collapse_lab.results.sweeps import SweepCell, cells_of, sweeps_below
from collapse_lab.sinks.console import key_metrics
from collapse_lab.sinks.noting import FILE, Standing
from collapse_lab.storage.files import is_held
from collapse_lab.storage.formats import CONFIG, FORMAT, LOCK, MARK, STATUS
from collapse_lab.storage.ledger import LEDGER, read, runs_below

SILENT = 120.0  # seconds after the last note from which on a run is said to be silent
STOPPED = "killed or stopped: no process works on it, and the same command goes on"
# `stopped`: its process has ended before its end; `begun`: it runs, or its process was killed
Fate = Literal["good", "failed", "stopped", "runs", "begun", "queued"]


@dataclass(frozen=True)
class Line:
    """Hold one line of the table.

    Attributes:
        name: the run's name and signature, or the overrides that tell a cell from the others of its sweep.
        state: `complete`, `diverged`, `unfinished (3 of 5)`, `not started`, or how a run or a cell failed.
        fate: the same in one word.
        remark: why it failed, or that its format is older.
        generation: how far it is, such as `3 of 5`.
        phase: what it is doing, such as `fit 40 %`.
        metric: the most important metric of the last generation.
        seconds: an estimate of the seconds left; None where there is none.
    """

    name: str
    state: str
    fate: Fate
    remark: str = ""
    generation: str = ""
    phase: str = ""
    metric: str = ""
    seconds: float | None = None

    @property
    def good(self) -> bool:
        """Return whether nothing has to be done about it."""
        return self.fate == "good"

    @property
    def waits(self) -> bool:
        """Return whether it is on its way, or may be."""
        return self.fate in ("runs", "begun", "queued")


@dataclass(frozen=True)
class Standings:
    """Hold how far everything at or below a path is.

    Attributes:
        lines: one for each run that is no cell of a sweep, then one for each cell; sweeps that share a run share one.
        fates: those of all cells of each sweep, by the folder of the sweep.
    """

    lines: tuple[Line, ...]
    fates: Mapping[Path, Sequence[Fate]]


def standings_below(path: Path) -> Standings:
    """Return how far the runs and the sweeps at or below a path are.

    Raises:
        UserError: the path is missing.
    """
    runs = {os.path.realpath(folder): folder for folder in runs_below(path)}
    lines: list[Line] = []
    listed: set[str] = set()
    fates: dict[Path, list[Fate]] = {}
    for sweep in sweeps_below(path):
        cells = cells_of(sweep)
        overrides = [cell.overrides for cell in cells]
        for cell, name in zip(cells, differences(overrides, overrides), strict=True):
            line = _line_of_cell(cell, f"cell {cell.number:04d} of {sweep.name}: {name}")
            fates.setdefault(sweep, []).append(line.fate)
            place = os.path.realpath(cell.run) if cell.run is not None else ""
            if not place or place not in listed:  # because sweeps may share a run
                lines.append(line)
            listed.add(place)
    others = [line_of_run(folder) for place, folder in runs.items() if place not in listed]
    return Standings((*others, *lines), fates)


def _line_of_cell(cell: SweepCell, name: str) -> Line:
    if cell.run is not None and (cell.run / LEDGER).exists():
        line = replace(line_of_run(cell.run), name=f"{cell.run.parent.name}/{cell.run.name}  {name}")
        if line.good or not cell.failed:
            return line
        assert cell.outcome is not None
        return replace(line, state=cell.outcome.status, fate=_fate(cell.outcome), remark=cell.outcome.reason)
    if cell.outcome is not None:
        return Line(name, cell.outcome.status, _fate(cell.outcome), cell.outcome.reason or "its run is not there")
    if not cell.begun:
        return Line(name, "not started", "queued")
    held = is_held(cell.run / LOCK) if cell.run is not None else None
    if held is None:
        return Line(name, "begun", "begun", "it runs, or its process was killed")
    return Line(name, "begun", "runs", "it is running") if held else Line(name, "begun", "stopped", STOPPED)


def _fate(outcome: Outcome) -> Fate:
    if outcome.status in GOOD:
        return "good"
    return "stopped" if outcome.status == "interrupted" else "failed"


def line_of_run(folder: Path) -> Line:
    """Return the line of a run."""
    name = f"{folder.parent.name}/{folder.name}"
    try:
        run = _read(folder)
    except UserError as error:
        return Line(name, "unreadable", "failed", str(error))
    planned = run.config.get("generations")
    line = Line(
        name,
        run.status,
        "good" if run.status in ("complete", "diverged") else "stopped",
        f"format {run.format} of an earlier version, read as it is" if run.format < FORMAT else "",
        generation=f"{run.last} of {planned}" if isinstance(planned, int) and run.last >= 0 else "",
        metric=_metric(run),
    )
    if line.good:
        return line
    end, fate = _end(folder)
    line = replace(line, remark="; ".join(filter(None, [end, line.remark])), fate=fate)
    standing = Standing.read(folder)
    if not line.waits or standing is None:
        return replace(line, seconds=_seconds_left(run, None) if line.waits else None)
    share = f" {100 * standing.done // standing.total} %" if standing.total else ""
    phase = f"g{standing.generation} {standing.phase}{share}"
    return replace(line, phase=phase, seconds=_seconds_left(run, standing))


def _read(folder: Path) -> Run:
    """Return a run, with those entries of its configuration alone that the table needs.

    Because a sweep may have 1,000 cells, and YAML takes nine tenths of the time, read the entries by their lines.

    Raises:
        UserError: the configuration or the ledger cannot be read.
    """
    try:
        text = (folder / CONFIG).read_text()
    except (OSError, UnicodeDecodeError):
        return read_run(folder)  # which says why
    numbers = {name: re.findall(rf"(?m)^{re.escape(name)}: (\d+)$", text) for name in (MARK, "generations")}
    if any(len(found) != 1 for found in numbers.values()):
        return read_run(folder)  # because it is of an earlier format, or damaged
    config = {"generations": int(numbers["generations"][0])}
    return Run(folder, config, tuple(read(folder / LEDGER)), int(numbers[MARK][0]))


def _metric(run: Run) -> str:
    last = [record for record in run.records if record.generation == run.last and record.metrics]
    if not last:
        return ""
    name = next(iter(key_metrics(last[:1])), "")
    return f"{name} {last[0].metrics[name]:.4g}" if name else ""


def _end(folder: Path) -> tuple[str, Fate]:
    """Return how the process of an unfinished run ended, or that it runs.

    A run removes its note when it ends, however it ends but by a kill.
    """
    status, note = folder / STATUS, folder / FILE
    held = is_held(folder / LOCK)
    if held is False and (note.exists() or not status.exists()):
        return STOPPED, "stopped"
    if note.exists():
        age = max(0.0, time.time() - note.stat().st_mtime)
        if age <= SILENT:
            return "it is running", "runs"
        long = "it computes one long step" if held else "it computes one long step, or it was killed"
        return f"silent for {age / 60:.0f} min: {long}", "runs" if held else "begun"
    if held:
        return "it is running", "runs"
    if not status.exists():
        return "it is running, or it was killed", "begun"
    outcome = Outcome.read(status)
    return f"{outcome.status} {outcome.reason}".strip(), _fate(outcome)


def _seconds_left(run: Run, standing: Standing | None) -> float | None:
    """Return an estimate of the seconds until the end of a run: its last generation's time for each one left.

    Generation 0 has a training budget of its own, so its time is no estimate for the others. Of the phase that is going
    on, what is left is counted at its own speed.
    """
    planned = run.config.get("generations")
    if not isinstance(planned, int) or run.last < 1:
        return None
    each = sum(sum(record.seconds.values()) for record in run.records if record.generation == run.last)
    spent = standing.seconds if standing is not None and standing.generation == run.last + 1 else 0.0
    return max(0.0, each * (planned - run.last) - min(spent, each))
