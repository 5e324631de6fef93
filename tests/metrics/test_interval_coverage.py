"""How often the 95 % intervals hold what is expected at their n."""

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
UNEVEN = [0, 0, 0, 0, 1, 1, 2]  # modes, as often as they are listed

Case = Callable[[int], tuple[Tensor, Tensor]]
CASES: dict[str, Case] = {
    "shifted": lambda s: (normal(N, 8, 2 * s, shift=0.3), normal(N, 8, 2 * s + 1)),
    "collapsed": lambda s: (modes(N, 8, 2 * s, UNEVEN, 0.3), modes(N, 8, 2 * s + 1, range(10))),
}


def held(metrics: list[Metric], pair: Case) -> dict[str, float]:
    """The share of repeats whose interval holds the mean over all repeats, of every estimate."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(REPEATS):
        x, y = pair(seed)
        generated = features(x, predicted=(x[:, 0] > 0).long().tolist())
        real = features(y, labels=[0, 1] * (len(y) // 2))
        for metric in metrics:
            for name, e in metric(generated, real, rng(seed)).items():
                found.setdefault(name, []).append((e.value, e.lo or 0.0, e.value if e.hi is None else e.hi))
    shares = {}
    for name, rows in found.items():
        value, lo, hi = np.array(rows).T
        shares[name] = float(np.mean((lo <= value.mean() + 1e-12) & (value.mean() - 1e-12 <= hi)))
    return shares


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "metric",
    [pytest.param(FDInfinity(), marks=pytest.mark.slow), Vendi(), PairwiseDistance()],
    ids=lambda m: type(m).__name__,
)
def test_of_distances_and_variety(metric: Metric, case: str) -> None:
    for name, share in held([metric], CASES[case]).items():
        assert 0.92 <= share <= 0.98, (name, share)


@pytest.mark.slow
def test_where_the_sets_are_alike_no_interval_is_too_narrow() -> None:
    shares = held([FDInfinity(), CMMD()], lambda s: (normal(N, 8, 2 * s), normal(N, 8, 2 * s + 1)))
    assert 0.92 <= shares["fd_infinity"] <= 0.98
    assert shares["cmmd"] >= 0.92


@pytest.mark.slow
def test_where_a_few_modes_are_equally_frequent_no_interval_is_too_narrow() -> None:
    metrics: list[Metric] = [Vendi(), PairwiseDistance(), Classes()]
    shares = held(metrics, lambda s: (modes(N, 8, 2 * s, range(2), 0.3), modes(N, 8, 2 * s + 1, range(10))))
    for name in ("vendi", "pairwise_distance", "class_entropy"):
        assert shares[name] >= 0.92, (name, shares[name])


def test_of_memorisation_while_the_training_rows_stand_still() -> None:
    train = normal(N, 8, 10**6)

    def pair(seed: int) -> tuple[Tensor, Tensor]:
        x, copied = normal(N, 8, seed), rng(seed).random(N) < 0.3
        source = torch.from_numpy(rng(seed).integers(0, N, N))
        return torch.where(torch.from_numpy(copied)[:, None], train[source] + 1e-3, x), train

    for name, share in held([Memorisation()], pair).items():
        assert 0.92 <= share <= 0.98, (name, share)


@pytest.mark.slow
@pytest.mark.parametrize("rare", [0.002, 0.02])
def test_of_classes(rare: float) -> None:
    shares = np.array([1.0] * 5 + [rare * 5] * 5) / (5 + 25 * rare)
    real = features(torch.zeros(10, 1), labels=list(range(10)))
    found: dict[str, list[bool]] = {}
    estimates = []
    for seed in range(REPEATS):
        read = rng(seed).choice(10, 600, p=shares)
        estimates.append(Classes()(features(torch.zeros(600, 1), predicted=read.tolist()), real, rng(seed)))
    for name in ("mode_coverage", "class_entropy", "class_share_0"):
        mean = float(np.mean([each[name].value for each in estimates]))
        found[name] = [(each[name].lo or 0) <= mean <= (each[name].hi or 0) for each in estimates]
        assert np.mean(found[name]) >= 0.90, name
