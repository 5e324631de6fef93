"""95 % intervals of what the metrics estimate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from collapse_lab.types import Estimate

Z = 1.959963984540054  # the 97.5 % quantile of the standard normal
SUBSET = 1000  # rows of the larger set in one subset, at most


def around(
    value: float,
    contributions: Sequence[Float[Tensor, " _"]],
    rng: np.random.Generator,
    bootstrap: int,
    low: float = -math.inf,
    high: float = math.inf,
    root: bool = False,
) -> Estimate:
    """`value` ± 1.96 SE, SE the spread of value's linear part over `bootstrap` resamplings of the rows.

    contributions: for each independent set of rows, what each row adds to `value` when it weighs more
        (the influence function), on the scale where their mean is that set's part of the linearised value.
    bootstrap: the number of resamplings; below 2 there is no interval.
    root: the interval is symmetric around sqrt(value), on which scale a sum of squares has even tails.

    The rows' contributions are resampled, not the rows themselves: a resampled set holds copies of its rows,
    and a distance between distributions takes copies for lost variety, so that the plain bootstrap of FID
    or KID centres on another number than the estimate. Centred on the value and clipped to [low, high].
    """
    if bootstrap < 2:
        return Estimate(value)
    spread = np.zeros(bootstrap)
    for part in contributions:
        row = part.detach().double().cpu().numpy()
        n = len(row)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=bootstrap)
        spread += counts @ (row - row.mean()) / (n - 1)
    error = Z * float(spread.std(ddof=1))
    if root and value > 0:
        middle, half = math.sqrt(value), error / (2 * math.sqrt(value))
        return Estimate(value, max(low, max(0.0, middle - half) ** 2), min(high, (middle + half) ** 2))
    return Estimate(value, max(low, value - error), min(high, value + error))


def variance(contributions: Sequence[Float[Tensor, " _"]]) -> float:
    """sum of s²/n over the independent sets of rows: the variance of the linear part of a statistic."""
    return sum(float(part.double().var()) / len(part) for part in contributions)


def without_noise_of_the_slope(
    contributions: Sequence[Float[Tensor, " _"]], of_half: Sequence[Float[Tensor, " _"]]
) -> list[Float[Tensor, " _"]]:
    """The contributions, shrunk so that their variance is the statistic's: 3/2 V(n) - 1/4 V(n/2), in V(n) · [1/2, 1].

    of_half: the contributions to the statistic of a random half of every set.
    A statistic varies by V1/n + V2/n² (Hoeffding), V2 what rows do in pairs. The slope at which a row contributes is
    taken at the sample, and its own noise makes V(n) = V1/n + 2 V2/n² of the variance, on average (Efron and Stein,
    Annals of Statistics 9, 1981): twice too much where V1 = 0, as in the distance of two samples of one
    distribution. Half of the rows tell V1 from V2.
    """
    whole = variance(contributions)
    share = 1.5 - 0.25 * variance(of_half) / whole if whole > 0 else 1.0
    return [part * math.sqrt(min(1.0, max(0.5, share))) for part in contributions]


def wilson(hits: int, n: int) -> Estimate:
    """`hits / n` with Wilson's score interval, (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).

    Range: [0, 1]; unlike p ± z SE it keeps a width where p is 0 or 1.
    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927).
    """
    share = hits / n
    middle = share + Z**2 / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    # p lies inside its interval in exact arithmetic, and has to in floating point too where p is 0 or 1
    low, high = min(share, (middle - half) / scale), max(share, (middle + half) / scale)
    return Estimate(share, max(0.0, low), min(1.0, high))


def share(value: float, n: int, error: float) -> Estimate:
    """Of n rows a share, with the wider of Wilson's interval and value ± 1.96 error (a standard error).

    Range: clipped to [0, 1].
    """
    score, half = wilson(round(value * n), n), Z * error
    low, high = score.lo or 0.0, 1.0 if score.hi is None else score.hi
    return Estimate(value, max(0.0, min(low, value - half)), min(1.0, max(high, value + half)))


def by_subsets(
    statistic: Callable[[Int[np.ndarray, " a"], Int[np.ndarray, " b"]], Float[np.ndarray, " s"]],
    sizes: tuple[int, int],
    rng: np.random.Generator,
    draws: int,
    least: int,
) -> Float[np.ndarray, " s"]:
    """SE = sd over random subsets · sqrt(f / (1 - f)), f the share of both sets that each subset holds.

    statistic: of the rows drawn of either set, which have these `sizes`.
    f is 1/2, less where that is more than SUBSET rows; at least `least` rows are drawn, and where that is all
    of them nothing varies. For statistics of neighbours, whose bootstrap fails on the copies that it makes;
    their variance is taken to fall as 1/n.

    Source: Politis and Romano, Annals of Statistics 22 (1994).
    """
    fraction = min(0.5, SUBSET / max(sizes))
    a, b = (min(size, max(least, round(fraction * size))) for size in sizes)
    found = [
        statistic(rng.choice(sizes[0], a, replace=False), rng.choice(sizes[1], b, replace=False)) for _ in range(draws)
    ]
    errors: np.ndarray = np.std(found, axis=0, ddof=1) * math.sqrt(fraction / (1 - fraction))
    return errors
