"""Differences between two cells, paired by seed: cells of a sweep share what a seed decides, and pairing removes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.results.collect import Cell, Collection, Run
from collapse_lab.results.comparable import require_alike
from collapse_lab.results.intervals import of_effect, of_mean
from collapse_lab.results.series import final, value
from collapse_lab.types import Estimate


@dataclass(frozen=True)
class Pairs:
    """Values of one metric at one generation: x (n,) of a cell and y (n,) of its baseline, of the same seeds.

    left_out: runs of either without a partner that has the metric at that generation. Chains that diverged are
        among them, so where they are many the rest is no fair sample.
    """

    metric: str
    generation: int
    x: np.ndarray
    y: np.ndarray
    left_out: int

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Difference:
    """Cell less baseline over n pairs.

    mean: with its 95 % t-interval; without one where there is a single pair. None where there is no pair.
    effect: the mean in units of its spread between seeds, with interval; None for fewer than 3 pairs.
    baseline: the mean of the baseline over the same pairs.
    """

    metric: str
    generation: int
    n: int
    left_out: int
    mean: Estimate | None
    effect: Estimate | None
    baseline: float | None

    @property
    def relative(self) -> float | None:
        """mean / baseline: 0.5 is half as much again; None where the baseline is not above 0."""
        if self.mean is None or self.baseline is None or self.baseline <= 0:
            return None
        return self.mean.value / self.baseline

    @property
    def note(self) -> str:
        """What the reader must know of the number of pairs; "" where there is nothing to say."""
        told = [] if self.n > 1 else ["no pair" if self.n == 0 else "one pair, no interval"]
        told += [f"{self.left_out} run{'s' if self.left_out > 1 else ''} left out"] if self.left_out else []
        return ", ".join(told)


def pairs(cell: Sequence[Run], baseline: Sequence[Run], metric: str, generation: int | None = None) -> Pairs:
    """The runs of two cells brought together by seed.

    generation: None is the last one that both runs of some pair have; the same for all pairs.

    Raises:
        UserError: the features behind `metric` are unlike in some of the runs.
    """
    require_alike([*cell, *baseline], metric)
    others = {run.seed: run for run in baseline}
    together = [(run, others[run.seed]) for run in cell if run.seed in others]
    if generation is None:
        generation = max((min(final(a, metric), final(b, metric)) for a, b in together), default=-1)
    values = [(value(a, metric, generation), value(b, metric, generation)) for a, b in together]
    known = [(x, y) for x, y in values if x is not None and y is not None]
    x, y = np.asarray(known, float).reshape(-1, 2).T
    return Pairs(metric, generation, x, y, len(cell) + len(baseline) - 2 * len(known))


def paired(cell: Sequence[Run], baseline: Sequence[Run], metric: str, generation: int | None = None) -> Difference:
    """mean(x_s - y_s) over the seeds s that both cells have, with its 95 % t-interval and its effect size.

    Valid where the differences are about normal; the values themselves need not be.

    Raises:
        UserError: the features behind `metric` are unlike in some of the runs.
    """
    found = pairs(cell, baseline, metric, generation)
    differences = found.x - found.y
    return Difference(
        metric,
        found.generation,
        len(found),
        found.left_out,
        of_mean(differences) if len(found) else None,
        of_effect(differences),
        float(found.y.mean()) if len(found) else None,
    )


def ratio(found: Pairs) -> Estimate | None:
    """exp(mean(log(x_s / y_s))): how many times the baseline, with the 95 % t-interval of the logarithms.

    None where there is no pair, or a value that is not above 0.
    """
    if not len(found) or min(found.x.min(), found.y.min()) <= 0:
        return None
    logs = of_mean(np.log(found.x / found.y))
    lo, hi = (None if end is None else math.exp(end) for end in (logs.lo, logs.hi))
    return Estimate(math.exp(logs.value), lo, hi)


def controls(collection: Collection) -> list[Cell]:
    """What each cell is compared with: the one that differs in the dose alone, which is 0, or else the first cell."""
    dose = collection.dose
    at_zero = {_rest(cell, dose): cell for cell in collection.cells if dose is not None and cell.knobs[dose] == 0}
    return [at_zero.get(_rest(cell, dose), collection.cells[0]) for cell in collection.cells]


def _rest(cell: Cell, dose: str | None) -> str:
    return repr([value for knob, value in cell.knobs.items() if knob != dose])
