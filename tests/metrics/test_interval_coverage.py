"""Check how often the 95 % intervals hold the expectation at their n."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_lab.metrics.classes import Classes
from collapse_lab.metrics.cmmd import CMMD
from collapse_lab.metrics.diversity import PairwiseDistance
from collapse_lab.metrics.fd_infinity import FDInfinity
from collapse_lab.metrics.memorisation import Memorisation
from collapse_lab.metrics.vendi import Vendi
from collapse_lab.types import Metric
from tests.metrics.cases import features, modes, normal, rng

REPEATS = 300
N = 200
UNEVEN = [0, 0, 0, 0, 1, 1, 2]  # numbers of modes; a mode is drawn as often as it is listed

Case = Callable[[int], tuple[Tensor, Tensor]]
CASES: dict[str, Case] = {
    "shifted": lambda s: (normal(N, 8, 2 * s, shift=0.3), normal(N, 8, 2 * s + 1)),
    "collapsed": lambda s: (modes(N, 8, 2 * s, UNEVEN, 0.3), modes(N, 8, 2 * s + 1, range(10))),
}


def shares_covered(metrics: list[Metric], pair: Case) -> dict[str, float]:
    """Return for every estimate the share of repeats whose interval holds the mean over all repeats."""
    intervals: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(REPEATS):
        x, y = pair(seed)
        generated = features(x, predicted=(x[:, 0] > 0).long().tolist())
        real = features(y, labels=[0, 1] * (len(y) // 2))
        for metric in metrics:
            for name, e in metric(generated, real, rng(seed)).items():
                intervals.setdefault(name, []).append((e.value, e.lo or 0.0, e.value if e.hi is None else e.hi))
    shares = {}
    for name, rows in intervals.items():
        value, lo, hi = np.array(rows).T
        shares[name] = float(np.mean((lo <= value.mean() + 1e-12) & (value.mean() - 1e-12 <= hi)))
    return shares


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "metric",
    [pytest.param(FDInfinity(), marks=pytest.mark.slow), Vendi(), PairwiseDistance()],
    ids=lambda m: type(m).__name__,
)
def test_intervals_of_distances_and_variety_have_95_percent_coverage(metric: Metric, case: str) -> None:
    for name, share in shares_covered([metric], CASES[case]).items():
        assert 0.92 <= share <= 0.98, (name, share)


@pytest.mark.slow
def test_no_interval_is_too_narrow_for_equal_distributions() -> None:
    shares = shares_covered([FDInfinity(), CMMD()], lambda s: (normal(N, 8, 2 * s), normal(N, 8, 2 * s + 1)))
    assert 0.92 <= shares["fd_infinity"] <= 0.98
    assert shares["cmmd"] >= 0.92


@pytest.mark.slow
def test_no_interval_is_too_narrow_for_a_few_equally_frequent_modes() -> None:
    metrics: list[Metric] = [Vendi(), PairwiseDistance(), Classes()]
    shares = shares_covered(metrics, lambda s: (modes(N, 8, 2 * s, range(2), 0.3), modes(N, 8, 2 * s + 1, range(10))))
    for name in ("vendi", "pairwise_distance", "class_entropy"):
        assert shares[name] >= 0.92, (name, shares[name])


def test_intervals_of_memorisation_cover_for_fixed_training_rows() -> None:
    train = normal(N, 8, 10**6)

    def pair(seed: int) -> tuple[Tensor, Tensor]:
        x, copied = normal(N, 8, seed), rng(seed).random(N) < 0.3
        source = torch.from_numpy(rng(seed).integers(0, N, N))
        return torch.where(torch.from_numpy(copied)[:, None], train[source] + 1e-3, x), train

    for name, share in shares_covered([Memorisation()], pair).items():
        assert 0.92 <= share <= 0.98, (name, share)


@pytest.mark.slow
@pytest.mark.parametrize("rare", [0.002, 0.02])
def test_intervals_of_classes_cover(rare: float) -> None:
    shares = np.array([1.0] * 5 + [rare * 5] * 5) / (5 + 25 * rare)
    real = features(torch.zeros(10, 1), labels=list(range(10)))
    estimates = []
    for seed in range(REPEATS):
        read = rng(seed).choice(10, 600, p=shares)
        estimates.append(Classes()(features(torch.zeros(600, 1), predicted=read.tolist()), real, rng(seed)))
    for name in ("mode_coverage", "class_entropy", "class_share_0"):
        mean = float(np.mean([estimate[name].value for estimate in estimates]))
        covered = [(estimate[name].lo or 0) <= mean <= (estimate[name].hi or 0) for estimate in estimates]
        assert np.mean(covered) >= 0.90, name
