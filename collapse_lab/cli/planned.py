"""What is counted of the cells of a sweep before anything is computed, read in several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

from collapse_lab.cli.overrides import told

if TYPE_CHECKING:
    from collapse_lab.engine.stages import Stage
    from collapse_lab.experiment import Experiment
    from collapse_lab.storage.store import Size

# A process takes as long to begin as a dozen cells take to read, so it has to have more of them to do
LEAST_CELLS = 16

# What the table calls kinds of stages whose own names say little
NAMES = {
    "floor": "floor (real against real)",
    "known": "reference rows, known to metrics",
    "features_part": "features of a part of the real rows",
}


@dataclass(frozen=True)
class PlannedStage:
    """Hold what is counted of a stage.

    Attributes:
        label: what the table calls its kind; fits of unlike numbers of steps are unlike kinds.
        size: its seconds and bytes; None where the store does not hold it.
    """

    label: str
    size: Size | None


@dataclass(frozen=True)
class PlannedCell:
    """Hold what is counted of a cell, which is far less than the cell, because a sweep may have 1,000 of them.

    Attributes:
        complete: whether its run is at its end. What it no longer keeps is then not to be computed.
        stages: its stages by kind and key.
    """

    complete: bool
    stages: Mapping[tuple[str, str], PlannedStage]


def planned(experiment: Experiment) -> PlannedCell:
    """Return what is counted of a cell."""
    from collapse_lab.engine.run import records_of  # because the import of torch takes longer than --help may take

    complete = experiment.layout.is_finished(records_of(experiment.info.folder))
    stages = {(stage.kind, stage.key): PlannedStage(label_of(stage), stage.size) for stage in experiment.layout.stages}
    return PlannedCell(complete, stages)


def planned_cells(lines: Sequence[Sequence[str]], config_dir: str | None) -> list[PlannedCell]:
    """Return what is counted of the cells of a sweep, in their order; it is told on stderr how many of them are read.

    Args:
        lines: the command line of each cell.
        config_dir: a folder of further yaml files.

    Raises:
        UserError: a cell is refused.
    """
    read = partial(_read, config_dir=config_dir)
    with _processes(len(lines)) as pool:
        cells = map(read, lines) if pool is None else pool.map(read, lines, chunksize=4)
        return [cell for _, cell in zip(told(lines), cells, strict=True)]


@contextmanager
def _processes(cells: int) -> Iterator[ProcessPoolExecutor | None]:
    """Yield processes that read cells side by side, or None where there are too few cells for a second process."""
    count = min(os.cpu_count() or 1, cells // LEAST_CELLS)
    if count < 2:
        yield None
        return
    # New processes, because a fork of one that has computed with threads may wait for them for ever
    pool = ProcessPoolExecutor(count, get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _read(line: Sequence[str], config_dir: str | None) -> PlannedCell:
    from collapse_lab.config.composing import compose
    from collapse_lab.experiment import prepare

    return planned(prepare(compose(*line, config_dir=config_dir)))


def label_of(stage: Stage) -> str:
    """Return what the table calls the kind of a stage."""
    from collapse_lab.engine.drift import REFERENCE

    if stage.kind == "floor" and REFERENCE in stage.facts["rows"]:
        return f"floor ({REFERENCE}, drawn twice)"
    steps, name = stage.facts.get("steps"), NAMES.get(stage.kind, stage.kind)
    return f"{name} of {steps:,} steps" if isinstance(steps, int) else name
