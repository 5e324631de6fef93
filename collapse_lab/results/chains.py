"""Summary quantities of one chain, and of a sweep, from its values alone.

Schaeffer et al. (arXiv:2503.03150) count eight definitions of model collapse in the literature. No number serves them
all, so each quantity says which of them it measures, as they are named there: `rate` any increase of population risk,
and where it does not fall off with more generations a diverging one; `time_to_collapse` a catastrophic increase of
population risk; `half_life` of recall the disappearance of modes and tails, of a variance collapsing variance;
`threshold` the dose at which any increase becomes one of a stated size. FID stands in for the risk. Two definitions
need other measurements: a change in scaling laws a sweep over n_train, hallucinated data precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import theilslopes

from collapse_lab.errors import UserError
from collapse_lab.results.intervals import LEVEL, half_width
from collapse_lab.types import Estimate

MULTIPLE = 3.0  # of the floor: a fresh model of this laboratory's smallest experiment stands at twice its floor
LEAST_POINTS = 5  # below, no pair of slopes encloses the true one with 95 % confidence
STEPS = 200  # doses at which each segment of a sweep is tested


@dataclass(frozen=True)
class Threshold:
    """dose: where the effect is reached; None where no dose of the sweep reaches it beyond doubt.

    lo, hi: 95 % interval; hi is infinite where the effect may lie beyond the largest dose.
    """

    dose: float | None
    lo: float | None = None
    hi: float | None = None


def rate(x: np.ndarray, y: np.ndarray) -> Estimate | None:
    """The median of (y_j - y_i) / (x_j - x_i) over all pairs i < j: change per generation.

    One generation far off moves it little, unlike a least-squares slope. The interval takes the residuals along one
    chain as independent, and a chain that drifts has them correlated: over several seeds, prefer the interval of the
    mean of their rates. It starts at 5 generations, below which 95 % cannot be had. None for a single one.

    Range: any; per generation, in the units of y.
    Source: H. Theil (1950); P. K. Sen, Journal of the American Statistical Association 63 (1968).
    """
    if len(x) < 2:
        return None
    slope, _, lo, hi = theilslopes(y, x, LEVEL)
    return Estimate(float(slope), float(lo), float(hi)) if len(x) >= LEAST_POINTS else Estimate(float(slope))


def time_to_collapse(
    x: np.ndarray, y: np.ndarray, floor: float, better: str, multiple: float = MULTIPLE
) -> float | None:
    """The first generation from which on to the end of the chain y > multiple · floor; None where there is none.

    For a metric of which more is better, y < floor / multiple. A chain that comes back has not collapsed, and one that
    crosses in its last generation alone has: it is the earliest that it could be known.

    Args:
        x: generations (m,), rising.
        y: values (m,).
        floor: of real against real.
        better: "lower" or "higher".
        multiple: beyond which a value counts as collapsed, more than 1. The literature has no agreed one.

    Raises:
        UserError: multiple is not above 1, or the floor is not above 0, so that no multiple of it means anything.
    """
    if multiple <= 1:
        raise UserError(f"a time to collapse takes a multiple of the floor above 1; got {multiple:g}")
    if floor <= 0:
        raise UserError(
            f"a multiple of the floor {floor:g} means nothing: take a metric whose floor is above 0, such as fid"
        )
    beyond = y < floor / multiple if better == "higher" else y > multiple * floor
    inside = np.flatnonzero(~beyond)
    first = int(inside[-1]) + 1 if len(inside) else 0
    return float(x[first]) if first < len(x) else None


def half_life(x: np.ndarray, y: np.ndarray) -> float | None:
    """Generations until y is first at half of y_0 or below: -log 2 / log-slope where the decay is exponential.

    Between the two generations around the passage y is taken to fall exponentially, and in a straight line where it
    ends at 0 or below. A first passage rather than a fitted exponential: it needs no shape of the curve, zeros of
    recall do no harm, and a chain that heals later keeps its half-life. None where y never falls so far, which says
    "longer than the chain", or where y_0 is not above 0.

    Range: above 0, in generations.
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
    """The dose at which the mean difference from the control reaches `effect`.

    It is sought at the smallest dose whose mean difference is `effect` or more with an interval above 0, and lies on
    the straight line to the dose before. The interval holds every dose at which the t-interval of the differences,
    each seed's interpolated in the same way, holds `effect`: exact for normal differences that are straight between
    the doses, also with 3 seeds, where resampling 3 seeds knows only 10 samples and its interval is far too narrow.

    Args:
        doses: (d,), rising; the control, whose difference is 0, stands first.
        differences: (d, n) cell less control of n seeds, positive meaning harm.
        effect: the smallest difference that counts, above 0, in units of the metric.

    Raises:
        UserError: the effect is not above 0: the control itself would reach it.
    """
    if effect <= 0:
        raise UserError(f"a threshold takes an effect above 0; got {effect:g}")
    means = differences.mean(axis=1)
    reached = np.flatnonzero((means >= effect) & (means > half_width(differences.T)))
    if differences.shape[1] < 2 or not len(reached):
        return Threshold(None)
    k = int(reached[0])
    share = (effect - means[k - 1]) / (means[k] - means[k - 1]) if means[k - 1] < effect else 1.0
    dose = float(doses[k - 1] + share * (doses[k] - doses[k - 1]))
    grid = np.unique(np.concatenate([np.linspace(a, b, STEPS) for a, b in pairwise(doses)]))
    at_grid = np.stack([np.interp(grid, doses, seed) for seed in differences.T])
    held = grid[np.abs(at_grid.mean(axis=0) - effect) <= half_width(at_grid)]
    lo, hi = float(min([*held[:1], dose])), float(max([*held[-1:], dose]))
    return Threshold(dose, lo, math.inf if hi == doses[-1] else hi)
