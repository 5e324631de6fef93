"""Provide what the mixing policies share: the draw of generation 0, exact counts, and nested draws of rows."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import numpy as np

from collapse_lab.errors import UserError
from collapse_lab.mixing.turns import Turns
from collapse_lab.seeds import Seeds
from collapse_lab.types import REAL, Count, DrawRequest, Provenance, Share

REAL_ROWS = "real rows"  # as messages name them; they belong to the prompts that are retrained

# How many real rows generation 0 trains on: a number, all of them, or None for `n_train`
Initial = Count | Literal["all"] | None


class Policy(ABC):
    """Draw real rows only for generation 0, and leave the later generations to `later`.

    Args:
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.

    Attributes:
        horizon: how many past generations `later` may read; None means all of them.
    """

    horizon: int | None = 1

    def __init__(self, initial: Initial = None) -> None:
        self.initial = initial

    def draw(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of the training set's rows, each at most once.

        Args:
            pool: the provenance of all rows so far.
            request: the generation, its size, its seeds, the real rows of generation 0 and the exposure.

        Returns:
            int64 ids of rows of the pool, (rows,).

        Raises:
            UserError: the pool holds fewer rows than the policy needs.
        """
        if request.generation > 0:
            return self.later(pool, request)
        real = pool.real
        seeds = request.seeds.child("initial")
        if self.initial == "all":  # no turns, because they would only put all rows in another order
            return choose(real, len(real), seeds, REAL_ROWS)
        return choose(real, int(self.initial or request.n), seeds, REAL_ROWS, self.turns(pool, request))

    def turns(self, pool: Provenance, request: DrawRequest) -> Turns | None:
        """Return the order in which strata take turns in a draw; None where the draw is not stratified."""
        del pool, request
        return None

    @abstractmethod
    def later(self, pool: Provenance, request: DrawRequest) -> np.ndarray:
        """Return the ids of the training set's rows for a generation after 0."""


class RatioPolicy(Policy):
    """Hold the synthetic share of a training set for the policies that have one.

    Args:
        ratio: the synthetic share of a training set, in [0, 1].
        initial: how many real rows generation 0 trains on: a number, "all", or None for `n_train`.
    """

    def __init__(self, ratio: Share, initial: Initial = None) -> None:
        super().__init__(initial)
        self.ratio = ratio


def originals(pool: Provenance, request: DrawRequest) -> Provenance:
    """Return the real rows of generation 0 that later generations may train on.

    Args:
        pool: the provenance of all rows so far.
        request: `request.originals` names the real rows of generation 0.
    """
    return pool.where(is_original(pool, request))


def is_original(pool: Provenance, request: DrawRequest) -> np.ndarray:
    """Return a mask (n,) of the real rows of generation 0 that later generations may train on (`originals`)."""
    mask: np.ndarray = (pool.source == REAL) & pool.eligible & np.isin(pool.ids, request.originals)
    return mask


def choose(
    rows: Provenance, n: int, seeds: Seeds, kind: str, turns: Turns | None = None, of: int | None = None
) -> np.ndarray:
    """Return the ids of n rows, drawn without replacement.

    The result is the first n of one permutation. So draws of the same seed and of different n are nested, and the
    cells of a sweep over a share stay paired.

    Args:
        rows: the rows to draw from.
        n: how many rows to draw, in [0, len(rows)].
        seeds: the place in the tree of seeds that gives the permutation.
        kind: what the rows are, in words for the error message, such as "real rows".
        turns: the order in which strata take turns in the permutation (`turns.turns_of`); None leaves it as it is.
        of: how many rows the training set has, for the error message.

    Returns:
        The drawn ids, (n,).

    Raises:
        UserError: there are fewer than n rows.
    """
    if n > len(rows):
        counted = " (those of the prompts that are retrained)" if kind == REAL_ROWS else ""
        most = "" if of is None else f" to {of * len(rows) // n} or less"
        raise UserError(
            f"{n} {kind} are asked for and there are {len(rows)}{counted}; lower n_train{most}, raise n_samples if "
            "they are synthetic, or take a larger data set"
        )
    order = seeds.numpy().permutation(len(rows))
    if turns is not None:
        order = order[turns.order(rows.prompts[order], rows.labels[order])]
    return rows.ids[order[:n]]


def choose_synthetic(pool: Provenance, n: int, request: DrawRequest, turns: Turns | None = None) -> np.ndarray:
    """Return the ids of n synthetic rows, of which each source makes its exact share.

    Args:
        pool: the provenance of the rows to draw from; real rows are ignored.
        n: how many rows to draw.
        request: `request.exposure` holds the share of each source.
        turns: the order in which strata take turns among the rows of each source; None draws whatever the strata.

    Returns:
        The drawn ids, (n,), ordered by source.

    Raises:
        UserError: a source has fewer rows than its share.
    """
    synthetic = pool.synthetic
    chosen = [
        choose(
            synthetic.where(synthetic.source == source),
            k,
            request.seeds.child(f"synthetic/{source}"),
            f"synthetic rows of source {source}",
            turns,
        )
        for source, k in apportion(n, request.exposure).items()
    ]
    return np.concatenate([np.zeros(0, np.int64), *chosen])


def apportion(n: int, shares: Mapping[int, float]) -> dict[int, int]:
    """Return whole numbers that sum to n, each within 1 of share x n, by the method of largest remainders.

    Args:
        n: the number to apportion, 0 or more.
        shares: source -> its share; the shares sum to 1.

    Returns:
        Source -> its number.
    """
    exact = {source: n * share for source, share in shares.items()}
    counts = {source: math.floor(value + 1e-9) for source, value in exact.items()}
    by_remainder = sorted(shares, key=lambda s: (counts[s] - exact[s], s))
    for source in by_remainder[: n - sum(counts.values())]:
        counts[source] += 1
    return counts


def synthetic_count(ratio: float, n: int) -> int:
    """Return round(ratio x n), the number of synthetic rows in a training set of n rows.

    Args:
        ratio: the synthetic share of the training set, in [0, 1].
        n: the size of the training set, 1 or more.

    Raises:
        UserError: the ratio is positive and too small to give a single row.
    """
    count = round(ratio * n)
    if ratio > 0 and count == 0:
        raise UserError(
            f"ratio={ratio} of n_train={n} is {ratio * n:.3g} rows, which rounds to none; the smallest ratio that "
            f"works is {smallest_ratio(n):g}, or raise n_train to {math.ceil(0.5 / ratio) + 1}"
        )
    return count


def smallest_ratio(n: int) -> float:
    """Return the smallest ratio of four significant digits for which round(ratio x n) is 1.

    Args:
        n: the size of the training set, 1 or more.
    """
    places = 3 - math.floor(math.log10(0.5 / n))
    return float((10**places // (2 * n) + 1) / 10**places)  # rounded up, because round(0.5) is 0
