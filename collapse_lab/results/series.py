"""A metric of a collection as lines to draw: a mean and an interval per generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.results.collect import Cell, Collection, Run
from collapse_lab.results.intervals import of_mean

MOST_LINES = 12


@dataclass(frozen=True)
class Series:
    """One line: x (m,), mean (m,), lo and hi (m,), NaN where no interval is known.

    rank: its place among all lines of the collection, which chooses its colour and marker.
    diverged: whether a run behind it ended early because its loss did.
    """

    label: str
    rank: int
    x: np.ndarray
    mean: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    diverged: bool = False


def lines(collection: Collection) -> list[tuple[str, Cell, str | None]]:
    """What has a line of its own: each cell; in a collection of one cell, each model of it.

    Beyond 12 cells, 12 of them at even distances, the first and the last among them.
    """
    if len(collection.cells) == 1:
        cell = collection.cells[0]
        models = sorted({r.model for run in cell.runs for r in run.records})
        return [(model, cell, model) for model in models]
    chosen = evenly(len(collection.cells), MOST_LINES)
    return [(collection.cells[i].label, collection.cells[i], None) for i in chosen]


def over_generations(collection: Collection, metric: str) -> list[Series]:
    """Mean of `metric` at each generation, and its 95 % interval.

    The interval is Student's t over runs where a cell has several, else the ledger's own `_lo` and `_hi`.
    """
    found: list[Series] = []
    for rank, (label, cell, model) in enumerate(lines(collection)):
        at = sorted({r.generation for run in cell.runs for r in run.records if metric in r.metrics})
        points = [point(cell.runs, metric, g, model) for g in at]
        if points:
            mean, lo, hi = np.asarray(points).T
            ended = any(run.status == "diverged" for run in cell.runs)
            found.append(Series(label, rank, np.asarray(at), mean, lo, hi, ended))
    return found


def point(
    runs: Sequence[Run], metric: str, generation: int | None, model: str | None = None
) -> tuple[float, float, float]:
    """(mean, lo, hi) over `runs` at a generation, None being each run's last; NaN where not known.

    A run of several models counts as their mean unless `model` is named.
    """
    values, intervals = [], []
    for run in runs:
        at = final(run, metric) if generation is None else generation
        rows = [r.metrics for r in run.records if r.generation == at and model in (None, r.model)]
        rows = [row for row in rows if metric in row]
        if rows:
            values.append(float(np.mean([row[metric] for row in rows])))
            intervals += [(row.get(f"{metric}_lo", np.nan), row.get(f"{metric}_hi", np.nan)) for row in rows]
    if not values:
        return (np.nan, np.nan, np.nan)
    mean = of_mean(values)
    if mean.lo is not None and mean.hi is not None:
        return (mean.value, mean.lo, mean.hi)
    return (mean.value, *intervals[0]) if len(intervals) == 1 else (mean.value, np.nan, np.nan)


def value(run: Run, metric: str, generation: int) -> float | None:
    """`metric` of a run at a generation, the mean over its models; None where it was not measured."""
    found = [r.metrics[metric] for r in run.records if r.generation == generation and metric in r.metrics]
    return float(np.mean(found)) if found else None


def along(run: Run, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """(generations, values) of `metric` along one chain, the mean over its models."""
    found: dict[int, list[float]] = {}
    for record in run.records:
        if metric in record.metrics:
            found.setdefault(record.generation, []).append(record.metrics[metric])
    at = sorted(found)
    return np.asarray(at, float), np.asarray([np.mean(found[g]) for g in at], float)


def final(run: Run, metric: str) -> int:
    """The last generation of `run` that has `metric`, -1 where none has."""
    return max((r.generation for r in run.records if metric in r.metrics), default=-1)


def floor_of(run: Run, metric: str) -> float | None:
    """`metric` of real against real beside a run, None where unknown."""
    found = [r.metrics[f"{metric}_floor"] for r in run.records if f"{metric}_floor" in r.metrics]
    return float(np.mean(found)) if found else None


def floor(collection: Collection, metric: str) -> tuple[float, float] | None:
    """(least, greatest) value of `metric` for real against real in the collection; None where unknown."""
    return collection.floors.get(metric)


def evenly(n: int, most: int) -> list[int]:
    """At most `most` of the indices below n at even distances, both ends among them."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, most))})
