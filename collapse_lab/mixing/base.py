"""What every mixing policy shares: the request, the draw of generation 0, and exact counts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from collapse_lab.engine.pool import Provenance
from collapse_lab.engine.seeds import Seeds
from collapse_lab.errors import UserError
from collapse_lab.sizes import Sizes, size_at


@dataclass(frozen=True)
class Request:
    """One training set that is asked for.

    sizes: nominal sizes (`n_train`) of the training sets of all generations.
    originals: ids of the real rows that generation 0 was trained on.
    exposure: share of the synthetic rows that comes from each source; the shares sum to 1.
    """

    generation: int
    sizes: Sizes
    seeds: Seeds
    originals: np.ndarray
    exposure: Mapping[int, float]

    @property
    def n(self) -> int:
        """The nominal size of this one."""
        return size_at(self.sizes, self.generation)


class Policy(ABC):
    """Generation 0 is real rows only; `later` says what comes after.

    initial: how many real rows generation 0 trains on: a number, `all`, or None for `n_train`.
    horizon: how many past generations `later` may read; None means all of them.
    """

    horizon: int | None = 1

    def __init__(self, initial: int | str | None = None) -> None:
        if not (initial is None or initial == "all" or (isinstance(initial, int) and initial > 0)):
            raise UserError(f"mixing.initial is a number of rows, all, or null for n_train; got {initial!r}")
        self.initial = initial

    def draw(self, pool: Provenance, request: Request) -> np.ndarray:
        """Ids of the training set's rows, each at most once.

        Raises:
            UserError: the pool holds fewer rows than the policy asks for.
        """
        if request.generation > 0:
            return self.later(pool, request)
        real = pool.real.ids
        n = len(real) if self.initial == "all" else int(self.initial or request.n)
        return choose(real, n, request.seeds.child("initial"), "real rows")

    @abstractmethod
    def later(self, pool: Provenance, request: Request) -> np.ndarray:
        """Ids for a generation after 0."""


class RatioPolicy(Policy):
    """A policy with a synthetic share `ratio` in [0, 1]."""

    def __init__(self, ratio: float, initial: int | str | None = None) -> None:
        super().__init__(initial)
        check_share("ratio", ratio)
        self.ratio = ratio


def originals(pool: Provenance, request: Request) -> np.ndarray:
    """Ids of the real rows of generation 0 that later generations may train on."""
    real = pool.real
    return real.ids[real.eligible & np.isin(real.ids, request.originals)]


def choose(ids: np.ndarray, n: int, seeds: Seeds, what: str) -> np.ndarray:
    """n of the ids without replacement: the first n of one permutation, so that draws of the same seed and of
    different n are nested, and the cells of a sweep over a share stay paired.

    Raises:
        UserError: there are fewer than n.
    """
    if n > len(ids):
        raise UserError(
            f"{n} {what} are asked for and there are {len(ids)}; lower n_train, raise n_samples if they are "
            "synthetic, or take a larger data set"
        )
    return ids[seeds.numpy().permutation(len(ids))[:n]]


def choose_synthetic(pool: Provenance, n: int, request: Request) -> np.ndarray:
    """n synthetic rows, shared out among the sources by the request's exposure, exactly."""
    synthetic = pool.synthetic
    parts = [
        choose(
            synthetic.ids[synthetic.source == source],
            k,
            request.seeds.child(f"synthetic/{source}"),
            f"synthetic rows of source {source}",
        )
        for source, k in apportion(n, request.exposure).items()
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])


def apportion(n: int, shares: Mapping[int, float]) -> dict[int, int]:
    """n shared out by largest remainders: whole numbers that sum to n, each within 1 of share x n."""
    exact = {source: n * share for source, share in shares.items()}
    counts = {source: math.floor(value + 1e-9) for source, value in exact.items()}
    by_remainder = sorted(shares, key=lambda s: (counts[s] - exact[s], s))
    for source in by_remainder[: n - sum(counts.values())]:
        counts[source] += 1
    return counts


def synthetic_count(ratio: float, n: int) -> int:
    """round(ratio x n), the number of synthetic rows in a training set of n.

    Raises:
        UserError: the ratio is outside [0, 1], or positive and too small to give a single row.
    """
    check_share("ratio", ratio)
    count = round(ratio * n)
    if ratio > 0 and count == 0:
        raise UserError(
            f"ratio={ratio} of n_train={n} is {ratio * n:.3g} rows, which rounds to none; the smallest ratio that "
            f"works is {smallest_ratio(n):g}, or raise n_train to {math.ceil(0.5 / ratio) + 1}"
        )
    return count


def smallest_ratio(n: int) -> float:
    """The smallest ratio of four significant digits for which round(ratio x n) is 1."""
    places = 3 - math.floor(math.log10(0.5 / n))
    return float((10**places // (2 * n) + 1) / 10**places)  # rounded up: a half itself rounds to no row


def check_share(name: str, value: float) -> None:
    """Refuses a share outside [0, 1]."""
    if not 0 <= value <= 1:
        raise UserError(f"{name} is a share between 0 and 1; got {value}")
