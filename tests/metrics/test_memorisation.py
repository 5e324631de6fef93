from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.memorisation import Memorisation, memorisation
from tests.metrics.cases import features, normal, rng


def line(*places: float) -> Tensor:
    return torch.tensor(places, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 8), (80, 300, 2), (50, 60, 40)])
def test_memorisation_follows_the_definitions(n: int, m: int, d: int) -> None:
    x, train = normal(n, d, 1), normal(m, d, 2)
    x[: n // 4] = train[: n // 4] + 0.02 * normal(n // 4, d, 3)
    across, within = torch.cdist(x, train), torch.cdist(train, train).fill_diagonal_(torch.inf)
    first, second = across.sort(1).values[:, :2].T
    shares = memorisation(x, train)
    assert shares["authenticity"] == float((first > within.min(1).values[across.argmin(1)]).double().mean())
    assert shares["near_copies"] == float((first <= second / 3).double().mean())
    assert 0 < shares["near_copies"] < 1


def test_shares_of_a_few_points_are_as_computed_by_hand() -> None:
    train = line(0, 1, 2, 3)
    assert memorisation(line(0, 1.1, 1.5, 9), train) == {"authenticity": 0.25, "near_copies": 0.5}
    # Both bounds count as copying: a third of the distance is near, and the distance to the next row not authentic
    assert memorisation(line(0.25, 4), train) == {"authenticity": 0, "near_copies": 0.5}


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_copies_are_detected_at_any_scale_and_offset(scale: float, offset: float) -> None:
    train = ((normal(100, 16, 1) + offset) * scale).float()
    assert memorisation(train[:40].clone(), train) == {"authenticity": 0, "near_copies": 1}


def test_repeated_training_rows_count_once() -> None:
    train, x = normal(60, 5, 1), normal(40, 5, 2)
    x[:10] = train[:10]
    twice = torch.cat([train, train[:30], train[:5]])
    assert memorisation(x, twice) == memorisation(x, train)
    assert memorisation(line(0, 0), line(0, 0, 0, 5)) == {"authenticity": 0, "near_copies": 1}


def test_held_out_rows_are_not_copies() -> None:
    shares = memorisation(normal(500, 16, 1), normal(500, 16, 2))
    assert shares["authenticity"] > 0.5
    assert shares["near_copies"] == 0


def test_many_copies_of_a_few_training_rows_are_detected() -> None:
    train = normal(20, 4, 1)
    x = train[torch.from_numpy(np.random.default_rng(0).integers(0, 3, 500))] + 1e-4
    assert memorisation(x, train) == {"authenticity": 0, "near_copies": 1}


def test_intervals_are_wilsons() -> None:
    x, train = normal(200, 4, 1), normal(150, 4, 2)
    estimates = Memorisation()(features(x), features(train), rng())
    assert {name: e.value for name, e in estimates.items()} == memorisation(x, train)
    assert estimates["near_copies"].hi is not None
    assert 0 < estimates["near_copies"].hi < 0.2


def test_a_training_set_of_equal_rows_is_refused() -> None:
    with pytest.raises(UserError, match="all rows of the training set are the same"):
        memorisation(normal(10, 3, 1), torch.ones(10, 3, dtype=torch.float64))
