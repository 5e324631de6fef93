from __future__ import annotations

import pytest
import torch
from scipy.spatial.distance import pdist

from collapse_lab.errors import UserError
from collapse_lab.metrics.diversity import DISTANCES, PairwiseDistance, _to_others, pairwise_distance
from tests.metrics.cases import features, modes, normal, rng


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_pairwise_distance_agrees_with_scipy(distance: str, offset: float) -> None:
    for x in (normal(120, 9, 1) + offset, modes(90, 30, 1, range(3), 0.2) + offset):
        assert pairwise_distance(x, distance) == pytest.approx(float(pdist(x.numpy(), distance).mean()), rel=1e-8)


def test_tiles_do_not_change_the_mean_distances() -> None:
    x = normal(101, 7, 1)
    torch.testing.assert_close(_to_others(x, "euclidean", tile=13), _to_others(x, "euclidean"))
    torch.testing.assert_close(_to_others(x, "euclidean", tile=101), _to_others(x, "euclidean"))


@pytest.mark.parametrize("distance", DISTANCES)
def test_copies_have_distance_zero(distance: str) -> None:
    point = normal(1, 32, 3) + 10
    assert pairwise_distance(point.repeat(20, 1), distance) == pytest.approx(0, abs=1e-9)
    halves = torch.eye(4, dtype=torch.float64)[:2].repeat(10, 1)
    assert pairwise_distance(halves, distance) == pytest.approx((2**0.5 if distance == "euclidean" else 1) * 10 / 19)


def test_pairwise_distance_does_not_depend_on_n() -> None:
    small = torch.tensor([pairwise_distance(normal(20, 5, seed)) for seed in range(300)])
    assert abs(float(small.mean()) - pairwise_distance(normal(3000, 5, 999))) < 4 * float(small.std()) / 300**0.5


@pytest.mark.parametrize("distance", DISTANCES)
def test_leaving_out_a_row_changes_the_value_by_the_row_s_own_mean(distance: str) -> None:
    x = normal(40, 4, 1)
    value, rows = pairwise_distance(x, distance), _to_others(x, distance)
    for row in range(5):
        without = pairwise_distance(torch.cat([x[:row], x[row + 1 :]]), distance)
        assert without - value == pytest.approx(2 * (value - float(rows[row])) / 38, rel=1e-6)


def test_the_interval_is_reproducible_and_holds_the_value() -> None:
    x = features(normal(200, 6, 1).float())
    estimate = PairwiseDistance()(x, x, rng(1))["pairwise_distance"]
    assert estimate == PairwiseDistance()(x, x, rng(1))["pairwise_distance"]
    assert 0 < (estimate.lo or 0) < estimate.value < (estimate.hi or 0)
    assert PairwiseDistance(bootstrap=0)(x, x, rng())["pairwise_distance"].lo is None


def test_an_unknown_distance_is_refused() -> None:
    with pytest.raises(UserError, match="distance is 'cityblock', and has to be one of euclidean, cosine"):
        pairwise_distance(normal(5, 2, 1), "cityblock")
