"""The generation in which each group of prompts vanishes, over the seeds of a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.metrics.catalogue import LEAST_RECALL
from collapse_lab.results.collapse_quantities import vanishing
from collapse_lab.results.intervals import LEVEL, of_median
from collapse_lab.results.names import Name
from collapse_lab.results.run import Run
from collapse_lab.results.series import along


@dataclass(frozen=True)
class Vanishing:
    """Hold when one group vanishes.

    Attributes:
        name: The name of the group's recall.
        times: For each run that has this recall, the first generation from which it stays below `least_of`; None where
            it does not vanish up to the last generation.
    """

    name: Name
    times: tuple[float | None, ...]

    @property
    def median(self) -> float:
        """Return the median generation over the runs; infinity where half of them or more keep the group."""
        return of_median(self.times).value if self.times else math.inf

    @property
    def interval(self) -> tuple[float, float, float] | None:
        """Return (lo, hi, confidence) of the median over runs; None for fewer than 2 runs.

        From 6 runs on it is the interval of order statistics of 95 %. Fewer runs have none of 95 %: theirs reaches from
        the smallest to the largest time, and holds the median with probability 1 - 2^(1 - n).
        """
        n = len(self.times)
        if n < 2:
            return None
        median = of_median(self.times)
        if median.lo is not None and median.hi is not None:
            return median.lo, median.hi, LEVEL
        times = [math.inf if time is None else time for time in self.times]
        return min(times), max(times), 1 - 2.0 ** (1 - n)


def least_of(run: Run) -> float:
    """Return the recall from which on a group counted as surviving in a run: `least` of its metric `by_group`."""
    metrics = run.config.get("metrics")
    for node in metrics.values() if isinstance(metrics, Mapping) else ():
        if isinstance(node, Mapping) and str(node.get("_target_")).endswith(".ByGroup"):
            return float(node.get("least", LEAST_RECALL))
    return LEAST_RECALL


def vanished(runs: Sequence[Run], names: Sequence[Name]) -> list[Vanishing]:
    """Return when each group vanishes, in the order in which they do.

    A group with a smaller median comes first, and of equal ones the one that more runs have lost. Other ties keep the
    order of `names`, as groups that never vanish do.

    Args:
        runs: The runs of one configuration, which differ in their seed.
        names: The names of the recalls of the groups.
    """
    found = [Vanishing(name, tuple(_times(runs, name))) for name in names]
    return sorted(found, key=lambda group: (group.median, -sum(time is not None for time in group.times)))


def _times(runs: Sequence[Run], name: Name) -> list[float | None]:
    chains: list[tuple[Run, tuple[np.ndarray, np.ndarray]]] = [(run, along(run, name.key)) for run in runs]
    return [vanishing(*chain, least_of(run)) for run, chain in chains if len(chain[0])]
