"""Quantities of collapse, computed from the values of one chain or of one sweep.

The quantities are the rate, the time to collapse, the generation in which a group vanishes, the half-life and the
threshold dose. Schaeffer et al. (arXiv:2503.03150) count eight definitions of model collapse in the literature, and no
single number fits all of them. In their words, each quantity measures these definitions:

- `rate`: any increase of population risk; where the rate does not fall off with more generations, a diverging risk.
- `time_to_collapse`: a catastrophic increase of population risk.
- `vanishing`: of the recall of a group, the disappearance of modes.
- `half_life`: of recall, the disappearance of modes and tails; of a variance, collapsing variance.
- `threshold`: the dose at which any increase becomes an increase of a stated size.

FID stands for the risk. Two definitions need other measurements: a change in scaling laws needs a sweep over n_train,
and hallucinated data needs precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.results.intervals import LEVEL, half_width
from collapse_lab.types import Estimate

MULTIPLE = 3.0  # times the floor; a fresh model of the smallest experiment of this project has twice its floor
LEAST_POINTS = 5  # with fewer points, no pair of slopes encloses the true slope with 95 % confidence
STEPS = 200  # number of doses that are tested within each segment of a sweep


@dataclass(frozen=True)
class Threshold:
    """Hold the dose at which an effect is reached.

    Attributes:
        dose: The dose; None where no dose of the sweep has the effect with an interval above 0.
        lo: The lower end of the 95 % interval of the dose.
        hi: The upper end; infinite where the effect may lie beyond the largest dose.
    """

    dose: float | None
    lo: float | None = None
    hi: float | None = None


def rate(x: np.ndarray, y: np.ndarray) -> Estimate | None:
    """Return the median of (y_j - y_i) / (x_j - x_i) over all pairs i < j: the change per generation.

    One outlying generation moves the median little, unlike a least-squares slope. The interval assumes independent
    residuals along the chain. A chain that drifts has correlated residuals, so with several seeds prefer the interval
    of the mean of their rates.

    Args:
        x: The generations (m,), rising.
        y: The values (m,).

    Returns:
        The rate, any number, in units of y per generation. It has a 95 % interval from 5 generations on, because
        fewer cannot give 95 %. None for fewer than 2 generations.

    Source: H. Theil (1950); P. K. Sen, Journal of the American Statistical Association 63 (1968).
    """
    if len(x) < 2:
        return None
    from scipy.stats import theilslopes  # here because it takes 0.4 s to import

    slope, _, lo, hi = theilslopes(y, x, LEVEL)
    return Estimate(float(slope), float(lo), float(hi)) if len(x) >= LEAST_POINTS else Estimate(float(slope))


def time_to_collapse(
    x: np.ndarray, y: np.ndarray, floor: float, better: str, multiple: float = MULTIPLE
) -> float | None:
    """Return the first generation from which y > multiple · floor holds until the end of the chain.

    For a metric of which more is better, the condition is y < floor / multiple. A chain that comes back has not
    collapsed. A chain that crosses the limit only in its last generation has collapsed: no earlier generation could
    have shown it.

    Args:
        x: The generations (m,), rising.
        y: The values (m,).
        floor: The value for real against real, above 0.
        better: "lower" or "higher".
        multiple: The multiple of the floor beyond which a value counts as collapsed, above 1. The literature has no
            agreed multiple.

    Returns:
        The generation; None where the chain has not collapsed.

    Raises:
        UserError: `multiple` is not above 1, or the floor is not above 0, so that a multiple of it has no meaning.
    """
    if multiple <= 1:
        raise UserError(f"a time to collapse needs a multiple of the floor above 1; got {multiple:g}")
    if floor <= 0:
        raise UserError(
            f"a multiple of the floor {floor:g} means nothing, because the floor is not above 0: "
            "take a metric whose floor is above 0, such as fid"
        )
    return _for_good(x, y < floor / multiple if better == "higher" else y > multiple * floor)


def vanishing(x: np.ndarray, y: np.ndarray, least: float) -> float | None:
    """Return the first generation from which y < least holds until the end of the chain.

    A group that comes back has not vanished. A group that falls below `least` only in the last generation has: no
    earlier generation could have shown it.

    Args:
        x: The generations (m,), rising.
        y: The recall of a group (m,), in [0, 1].
        least: The recall from which on a group counts as surviving, in [0, 1].

    Returns:
        The generation; None where the group has not vanished.
    """
    return _for_good(x, y < least)


def _for_good(x: np.ndarray, holds: np.ndarray) -> float | None:
    """Return the first x from which a condition holds until the end; None where it does not hold at the end."""
    broken = np.flatnonzero(~holds)
    first = int(broken[-1]) + 1 if len(broken) else 0
    return float(x[first]) if first < len(x) else None


def half_life(x: np.ndarray, y: np.ndarray) -> float | None:
    """Return the number of generations until y is first at or below half of y_0.

    It equals -log 2 / log-slope where the decay is exponential. Between the two generations around the passage, y is
    taken to fall exponentially; where it ends at 0 or below, in a straight line. This is a first passage and not a
    fitted exponential: it assumes no shape of the curve, zeros of recall do no harm, and a chain that heals later
    keeps its half-life.

    Args:
        x: The generations (m,), rising.
        y: The values (m,).

    Returns:
        The half-life, above 0, in generations. None where y never falls so far, so that the half-life is longer than
        the chain, and where y_0 is not above 0.
    """
    if not len(y) or y[0] <= 0:
        return None
    half = y[0] / 2
    below = np.flatnonzero(y <= half)
    if not len(below):
        return None
    i = int(below[0])
    before, after = float(y[i - 1]), float(y[i])
    share = math.log(before / half) / math.log(before / after) if after > 0 else (before - half) / (before - after)
    return float(x[i - 1] + share * (x[i] - x[i - 1]) - x[0])


def threshold(doses: np.ndarray, differences: np.ndarray, effect: float) -> Threshold:
    """Return the dose at which the mean difference from the control reaches `effect`.

    The search takes the smallest dose whose mean difference is `effect` or more with an interval above 0. The
    threshold lies on the straight line between that dose and the one before.

    The interval holds every dose at which the t-interval of the differences contains `effect`; between two doses, the
    differences of each seed are interpolated on a straight line too. The interval is exact for normal differences that
    are straight between the doses, also with 3 seeds. Resampling 3 seeds has only 10 distinct samples, and its interval
    is far too narrow.

    Args:
        doses: (d,), rising; the control, whose difference is 0, comes first.
        differences: (d, n), value minus control of n seeds; positive means harm.
        effect: The smallest difference that counts, above 0, in units of the metric.

    Returns:
        The threshold with its 95 % interval; its dose is None for a single seed, and where no dose reaches the effect.

    Raises:
        UserError: The effect is not above 0, so that the control itself would reach it.
    """
    if effect <= 0:
        raise UserError(f"a threshold needs an effect above 0; got {effect:g}")
    means = differences.mean(axis=1)
    reached = np.flatnonzero((means >= effect) & (means > half_width(differences.T)))
    if differences.shape[1] < 2 or not len(reached):
        return Threshold(None)
    k = int(reached[0])
    share = (effect - means[k - 1]) / (means[k] - means[k - 1]) if means[k - 1] < effect else 1.0
    dose = float(doses[k - 1] + share * (doses[k] - doses[k - 1]))
    grid = np.unique(np.concatenate([np.linspace(a, b, STEPS) for a, b in pairwise(doses)]))
    at_grid = np.stack([np.interp(grid, doses, of_seed) for of_seed in differences.T])
    possible = grid[np.abs(at_grid.mean(axis=0) - effect) <= half_width(at_grid)]
    lo, hi = float(min([*possible[:1], dose])), float(max([*possible[-1:], dose]))
    return Threshold(dose, lo, math.inf if hi == doses[-1] else hi)
