"""Differences from a control, paired by seed.

The runs of a sweep share everything that a seed decides, so a difference between two runs of one seed is free of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collapse_lab.results.collect import Collection, SeedGroup
from collapse_lab.results.comparable import require_comparable
from collapse_lab.results.intervals import of_effect, of_mean, p_of_mean
from collapse_lab.results.run import Run
from collapse_lab.results.series import final, value
from collapse_lab.types import Estimate


@dataclass(frozen=True)
class Pairs:
    """Hold the values of one metric at one generation, paired by seed.

    Attributes:
        metric: The metric's name in the ledger.
        generation: The generation of all values; -1 where no run has the metric.
        x: (n,), the values of a configuration.
        y: (n,), the values of its control, of the same seeds.
        left_out: The number of runs of either side that have no partner with the metric at that generation. Chains
            that diverged are among them, so where many are left out, the others are no fair sample.
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
    """Hold the difference of a configuration from its control over n pairs.

    Attributes:
        metric: The metric's name in the ledger.
        generation: The generation of all values.
        n: The number of pairs.
        left_out: The number of runs without a partner.
        mean: The mean difference with its 95 % t-interval; a single pair has no interval. None where there is no pair.
        effect: The mean in units of its spread between seeds, with interval; None for fewer than 3 pairs.
        control: The mean of the control over the same pairs; None where there is no pair.
        p: The probability of a mean at least as far from 0 by chance, of Student's t-test of the pairs; None for fewer
            than 2 pairs, and where all differences are equal.
    """

    metric: str
    generation: int
    n: int
    left_out: int
    mean: Estimate | None
    effect: Estimate | None
    control: float | None
    p: float | None = None

    @property
    def relative(self) -> float | None:
        """Return mean / control: 0.5 is half as much again; None where the control is not above 0."""
        if self.mean is None or self.control is None or self.control <= 0:
            return None
        return self.mean.value / self.control

    @property
    def note(self) -> str:
        """Return what a reader must know about the number of pairs; "" where there is nothing to say."""
        notes = [] if self.n > 1 else ["no pair" if self.n == 0 else "one pair, no interval"]
        notes += [f"{self.left_out} run{'s' if self.left_out > 1 else ''} left out"] if self.left_out else []
        return ", ".join(notes)


def pairs(runs: Sequence[Run], control: Sequence[Run], metric: str, generation: int | None = None) -> Pairs:
    """Pair the runs of a configuration with the runs of its control by seed.

    Args:
        runs: The runs of the configuration.
        control: The runs of its control.
        metric: The metric's name in the ledger.
        generation: The generation, the same for all pairs; None takes the last one that both runs of some pair have.

    Returns:
        The paired values.

    Raises:
        UserError: The features behind `metric` differ between the runs.
    """
    require_comparable([*runs, *control], metric)
    by_seed = {run.seed: run for run in control}
    partners = [(run, by_seed[run.seed]) for run in runs if run.seed in by_seed]
    if generation is None:
        generation = max((min(final(a, metric), final(b, metric)) for a, b in partners), default=-1)
    values = [(value(a, metric, generation), value(b, metric, generation)) for a, b in partners]
    known = [(x, y) for x, y in values if x is not None and y is not None]
    x, y = np.asarray(known, float).reshape(-1, 2).T
    return Pairs(metric, generation, x, y, len(runs) + len(control) - 2 * len(known))


def paired(runs: Sequence[Run], control: Sequence[Run], metric: str, generation: int | None = None) -> Difference:
    """Return mean(x_s - y_s) over the common seeds s, with its 95 % t-interval and its effect size.

    The interval is valid where the differences are about normal; the values themselves need not be normal.

    Args:
        runs: The runs of a configuration, with values x.
        control: The runs of its control, with values y.
        metric: The metric's name in the ledger.
        generation: The generation, the same for all pairs; None takes the last one that both runs of some pair have.

    Returns:
        The difference; its numbers are None where there is no pair.

    Raises:
        UserError: The features behind `metric` differ between the runs.
    """
    matched = pairs(runs, control, metric, generation)
    differences = matched.x - matched.y
    return Difference(
        metric,
        matched.generation,
        len(matched),
        matched.left_out,
        of_mean(differences) if len(matched) else None,
        of_effect(differences),
        float(matched.y.mean()) if len(matched) else None,
        p_of_mean(differences),
    )


def controls(collection: Collection) -> list[SeedGroup]:
    """Return the control of each seed group, in the order of the seed groups.

    The control is the seed group that differs in the dose alone, and whose dose is 0. Where there is none, the control
    is the first seed group of the collection.
    """
    dose = collection.dose
    groups = collection.seed_groups
    at_zero = {_other_values(group, dose): group for group in groups if dose is not None and group.knobs[dose] == 0}
    return [at_zero.get(_other_values(group, dose), groups[0]) for group in groups]


def _other_values(group: SeedGroup, dose: str | None) -> str:
    return repr([value for knob, value in group.knobs.items() if knob != dose])
