"""Compute 95 % intervals of the metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from collapse_lab.types import Estimate

Z = 1.959963984540054  # the 97.5 % quantile of the standard normal
SUBSET = 1000  # the most rows of the larger set in one subset


def around(
    value: float,
    contributions: Sequence[Float[Tensor, " _"]],
    rng: np.random.Generator,
    bootstrap: int,
    low: float = -math.inf,
    high: float = math.inf,
    root: bool = False,
) -> Estimate:
    """Return `value` ± 1.96 SE, with SE the spread of value's linear part over `bootstrap` resamplings of the rows.

    We resample the rows' contributions, not the rows themselves. A resampled set holds copies of its rows, and a
    distance between distributions reads copies as lost variety, so the plain bootstrap of FID or KID centres on
    another number than the estimate. The interval is centred on the value and clipped to [low, high].

    Args:
        value: the estimate.
        contributions: for each independent set of rows, what each row adds to `value` when its weight grows (the
            influence function), on the scale where the mean is that set's part of the linearised value.
        rng: draws the resamplings.
        bootstrap: the number of resamplings; below 2 there is no interval.
        low: the least possible value.
        high: the greatest possible value.
        root: whether the interval is symmetric around sqrt(value); on this scale a sum of squares has even tails.
    """
    if bootstrap < 2:
        return Estimate(value)
    spread = np.zeros(bootstrap)
    for of_one_set in contributions:
        row = of_one_set.detach().double().cpu().numpy()
        n = len(row)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=bootstrap)
        spread += counts @ (row - row.mean()) / (n - 1)
    error = Z * float(spread.std(ddof=1))
    if root and value > 0:
        middle, half = math.sqrt(value), error / (2 * math.sqrt(value))
        return Estimate(value, max(low, max(0.0, middle - half) ** 2), min(high, (middle + half) ** 2))
    return Estimate(value, max(low, value - error), min(high, value + error))


def variance(contributions: Sequence[Float[Tensor, " _"]]) -> float:
    """Return the sum of s²/n over the independent sets of rows: the variance of the linear part of a statistic."""
    return sum(float(of_one_set.double().var()) / len(of_one_set) for of_one_set in contributions)


def without_noise_of_the_slope(
    contributions: Sequence[Float[Tensor, " _"]], of_half: Sequence[Float[Tensor, " _"]]
) -> list[Float[Tensor, " _"]]:
    """Return the contributions, shrunk so that their variance is the statistic's: 3/2 V(n) - 1/4 V(n/2).

    The shrunk variance stays in V(n) · [1/2, 1].

    A statistic varies by V1/n + V2/n² (Hoeffding), with V2 the part of pairs of rows. The slope at which a row
    contributes is taken at the sample. The slope's own noise makes the variance of the contributions
    V(n) = V1/n + 2 V2/n² on average (Efron and Stein, Annals of Statistics 9, 1981). This is twice too much where
    V1 = 0, as in the distance of two samples of one distribution. Half of the rows tell V1 from V2.

    Args:
        contributions: for each independent set of rows, what each row contributes to the statistic.
        of_half: the contributions to the statistic of a random half of every set.
    """
    of_all = variance(contributions)
    share = 1.5 - 0.25 * variance(of_half) / of_all if of_all > 0 else 1.0
    return [of_one_set * math.sqrt(min(1.0, max(0.5, share))) for of_one_set in contributions]


def wilson(hits: int, n: int) -> Estimate:
    """Return `hits / n` with Wilson's score interval.

    The interval is (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). Unlike p ± z SE it keeps a width where p is
    0 or 1.

    Args:
        hits: how many of the n rows count, 0 … n.
        n: the number of rows, 1 or more.

    Returns:
        A share in [0, 1].

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927).
    """
    share = hits / n
    middle = share + Z**2 / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    # In exact arithmetic p lies inside its interval. Rounding can put it outside where p is 0 or 1, so min and max
    # keep it inside.
    low, high = min(share, (middle - half) / scale), max(share, (middle + half) / scale)
    return Estimate(share, max(0.0, low), min(1.0, high))


def share(value: float, n: int, error: float) -> Estimate:
    """Return a share of n rows with the wider of Wilson's interval and value ± 1.96 error.

    Args:
        value: the share, in [0, 1].
        n: the number of rows.
        error: a standard error of the share.

    Returns:
        A share whose interval is clipped to [0, 1].
    """
    score, half = wilson(round(value * n), n), Z * error
    low, high = score.lo or 0.0, 1.0 if score.hi is None else score.hi
    return Estimate(value, max(0.0, min(low, value - half)), min(1.0, max(high, value + half)))


def subsets(
    sizes: tuple[int, int], rng: np.random.Generator, draws: int, least: int
) -> list[tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]]]:
    """Return random subsets of two sets, as rising row numbers of either, for `error_of_subsets`.

    A subset holds half of the rows of both sets, or less where half is more than SUBSET rows.

    Args:
        sizes: the numbers of rows of the two sets.
        rng: draws the subsets.
        draws: the number of subsets.
        least: the least number of rows drawn from a set; where a set has no more rows, all of them are drawn and
            nothing varies.
    """
    fraction = share_of_subsets(sizes)
    a, b = (min(size, max(least, round(fraction * size))) for size in sizes)
    return [
        (np.sort(rng.choice(sizes[0], a, replace=False)), np.sort(rng.choice(sizes[1], b, replace=False)))
        for _ in range(draws)
    ]


def error_of_subsets(values: Float[np.ndarray, "draws s"], sizes: tuple[int, int]) -> Float[np.ndarray, " s"]:
    """Return SE = sd over `subsets` · sqrt(f / (1 - f)), with f the share of both sets in each subset.

    This serves statistics of neighbours, whose bootstrap fails because it makes copies of rows. Their variance is
    assumed to fall as 1/n.

    Args:
        values: s statistics of each subset, of 2 or more subsets.
        sizes: the numbers of rows of the two sets.

    Returns:
        Standard errors (s,).

    Source: Politis and Romano, Annals of Statistics 22 (1994).
    """
    fraction = share_of_subsets(sizes)
    errors: np.ndarray = np.std(values, axis=0, ddof=1) * math.sqrt(fraction / (1 - fraction))
    return errors


def share_of_subsets(sizes: tuple[int, int]) -> float:
    """Return the share of the rows of both sets that `subsets` draws."""
    return min(0.5, SUBSET / max(sizes))
