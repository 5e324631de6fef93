"""Values of a metric over the generations: the lines of a figure, and the values of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.intervals import of_mean
from collapse_lab.results.names import member_of
from collapse_lab.results.run import Run
from collapse_lab.types import Record

MOST_LINES = 12
MOST_POINTS = 500  # of a line; a figure of the page is about 300 points wide


@dataclass(frozen=True)
class Series:
    """Hold one line of a figure.

    Attributes:
        label: The label of the line.
        rank: The place of the line among all lines of the collection, which chooses its colour and marker.
        x: (m,), the generations.
        mean: (m,).
        lo: (m,), the lower ends of the intervals; NaN where no interval is known.
        hi: (m,), the upper ends; NaN where no interval is known.
        diverged: Whether a run behind the line ended early because its loss diverged.
        seeds: The seeds of the runs behind each of the m points.
    """

    label: str
    rank: int
    x: np.ndarray
    mean: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    diverged: bool = False
    seeds: tuple[tuple[Any, ...], ...] = ()


def lines(collection: Collection) -> list[tuple[str, SeedGroup, str | None]]:
    """Return what gets a line of its own in a figure: each seed group, or each model of a single seed group.

    Of more than 12 seed groups, 12 at even distances are taken; the first and the last are among them.

    Args:
        collection: The runs of the figure.

    Returns:
        (label, seed group, model) of each line; the model is None where the line is a mean over all models.
    """
    if len(collection.seed_groups) == 1:
        group = collection.seed_groups[0]
        models = sorted({record.model for run in group.runs for record in run.records})
        return [(model, group, model) for model in models]
    chosen = [collection.seed_groups[i] for i in evenly(len(collection.seed_groups), MOST_LINES)]
    return [(group.label, group, None) for group in chosen]


def over_generations(collection: Collection, metric: str) -> list[Series]:
    """Return the mean of a metric at each generation with its 95 % interval, one series for each line.

    The interval is Student's t over the runs where a seed group has several, and otherwise the interval of the ledger
    itself (`_lo` and `_hi`). Of more than 500 generations, 500 at even distances are taken; the first and the last are
    among them.

    Args:
        collection: The runs of the figure.
        metric: The metric's name in the ledger.

    Returns:
        The series, without the lines that never have the metric.
    """
    all_series: list[Series] = []
    for rank, (label, group, model) in enumerate(lines(collection)):
        generations = sorted(
            {record.generation for run in group.runs for record in run.records if metric in record.metrics}
        )
        generations = thinned(generations)
        points = [point(group.runs, metric, generation, model) for generation in generations]
        if points:
            mean, lo, hi = np.asarray(points).T
            diverged = any(run.status == "diverged" for run in group.runs)
            seeds = tuple(_seeds(group.runs, metric, generation) for generation in generations)
            all_series.append(Series(label, rank, np.asarray(generations), mean, lo, hi, diverged, seeds))
    return all_series


def ranks(collection: Collection) -> list[int | None]:
    """Return the rank of the line of each seed group; None where it has no line, or one for each of its models."""
    if len(collection.seed_groups) == 1:
        return [None]
    drawn = {id(group): rank for rank, (_, group, _) in enumerate(lines(collection))}
    return [drawn.get(id(group)) for group in collection.seed_groups]


def point(
    runs: Sequence[Run], metric: str, generation: int | None, model: str | None = None
) -> tuple[float, float, float]:
    """Return (mean, lo, hi) of a metric over runs at one generation.

    A run of several models counts as the mean of its models unless `model` is named.

    Args:
        runs: The runs of one seed group.
        metric: The metric's name in the ledger.
        generation: The generation; None takes the last one of each run that has the metric.
        model: The model; None takes all models of a run.

    Returns:
        The mean and its 95 % interval; NaN where a number is not known.
    """
    values, intervals = [], []
    for run in runs:
        wanted = final(run, metric) if generation is None else generation
        records = [record for record in run.by_generation.get(wanted, ()) if model in (None, record.model)]
        rows, key = _rows(records, metric)
        if rows:
            values.append(float(np.mean([row[key] for row in rows])))
            intervals += [(row.get(f"{key}_lo", np.nan), row.get(f"{key}_hi", np.nan)) for row in rows]
    if not values:
        return (np.nan, np.nan, np.nan)
    mean = of_mean(values)
    if mean.lo is not None and mean.hi is not None:
        return (mean.value, mean.lo, mean.hi)
    return (mean.value, *intervals[0]) if len(intervals) == 1 else (mean.value, np.nan, np.nan)


def value(run: Run, metric: str, generation: int) -> float | None:
    """Return a metric of a run at one generation, the mean over its models; None where it was not measured."""
    rows, key = _rows(run.by_generation.get(generation, ()), metric)
    return float(np.mean([row[key] for row in rows])) if rows else None


def along(run: Run, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (generations, values), each (m,), of a metric along one chain, the mean over its models."""
    by_generation: dict[int, list[float]] = {}
    member, key = member_of(metric)
    for record in run.records:
        if key in record.metrics and member in ("", record.model):
            by_generation.setdefault(record.generation, []).append(record.metrics[key])
    generations = sorted(by_generation)
    means = (by_generation[g] for g in generations)
    # Because a call of np.mean takes longer than all else of a long chain, leave it out where there is one value
    return np.asarray(generations, float), np.asarray([v[0] if len(v) == 1 else np.mean(v) for v in means], float)


def final(run: Run, metric: str) -> int:
    """Return the last generation of a run that has the metric; -1 where none has it."""
    member, key = member_of(metric)
    found = (r.generation for r in run.records if key in r.metrics and member in ("", r.model))
    return max(found, default=-1)


def floor_of(run: Run, metric: str) -> float | None:
    """Return the mean value of a metric for real against real in one run; None where it is not known."""
    rows, key = _rows(run.records, f"{metric}_floor")
    return float(np.mean([row[key] for row in rows])) if rows else None


def _rows(records: Sequence[Record], metric: str) -> tuple[list[Mapping[str, float]], str]:
    """Return the numbers of the records that have a metric, of its member where it names one, and its ledger name."""
    member, key = member_of(metric)
    return [r.metrics for r in records if key in r.metrics and member in ("", r.model)], key


def _seeds(runs: Sequence[Run], metric: str, generation: int) -> tuple[Any, ...]:
    return tuple(run.seed for run in runs if any(metric in r.metrics for r in run.by_generation.get(generation, ())))


def floor(collection: Collection, metric: str) -> tuple[float, float] | None:
    """Return the (smallest, largest) value of a metric for real against real; None where it is not known."""
    return collection.floors.get(metric)


def thinned(generations: Sequence[int]) -> list[int]:
    """Return at most 500 of some generations at even distances, the first and the last among them."""
    return [generations[i] for i in evenly(len(generations), MOST_POINTS)]


def is_thinned(collection: Collection) -> bool:
    """Return whether a line of a figure may leave generations out, because a run has more of them than a line shows."""
    return any(len(run.by_generation) > MOST_POINTS for run in collection.runs)


def evenly(n: int, most: int) -> list[int]:
    """Return at most `most` of the indices 0 to n - 1 at even distances, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, most))})
