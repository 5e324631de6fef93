"""Compare with torch-fidelity what both compute from the same features."""

from __future__ import annotations

import pytest
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from collapse_lab.metrics.fid import frechet_distance
from collapse_lab.metrics.kid import kernel_distance
from collapse_lab.metrics.prdc import prdc
from tests.metrics.cases import modes, normal

PAIRS = {
    "shifted": (normal(400, 32, 1), normal(400, 32, 2, shift=0.2)),
    "same": (normal(300, 16, 1), normal(300, 16, 2)),
    "collapsed": (modes(300, 24, 1, range(2), 0.3), modes(300, 24, 2, range(10))),
    "noisy": (modes(300, 24, 1, range(10), 2.0), modes(300, 24, 2, range(10))),
}


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    return PAIRS[request.param]


def test_frechet_distance_agrees_with_torch_fidelity(pair: tuple[Tensor, Tensor]) -> None:
    statistics = [fid_features_to_statistics(x) for x in pair]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(*pair) == pytest.approx(expected, rel=1e-5)


def test_kernel_distance_agrees_with_torch_fidelity(pair: tuple[Tensor, Tensor]) -> None:
    n = len(pair[0])  # because one subset of all rows holds every pair of rows
    expected = kid_features_to_metric(*pair, kid_subsets=1, kid_subset_size=n, verbose=False)[KEY_METRIC_KID_MEAN]
    assert kernel_distance(*pair) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("save_cpu_ram", [False, True])
def test_precision_and_recall_agree_with_torch_fidelity(
    pair: tuple[Tensor, Tensor], k: int, save_cpu_ram: bool
) -> None:
    expected = prc_features_to_metric(*pair, prc_neighborhood=k, save_cpu_ram=save_cpu_ram, verbose=False)
    ours = prdc(*pair, k)
    for name in ("precision", "recall"):
        assert round(ours[name] * len(pair[0])) == round(expected[name] * len(pair[0])), name
