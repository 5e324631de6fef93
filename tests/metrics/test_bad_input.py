from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.fid import FID
from collapse_lab.metrics.kid import KID
from collapse_lab.metrics.prdc import PRDC
from collapse_lab.types import Metric
from tests.metrics.cases import features, normal, rng

METRICS: list[Metric] = [FID(), KID(), PRDC()]
BAD: dict[str, tuple[Tensor, str]] = {
    "empty": (torch.zeros(0, 4), r"0 row\(s\)"),
    "single row": (torch.zeros(1, 4), r"1 row\(s\)"),
    "NaN": (torch.tensor([[0.0, math.nan, 0, 0]] * 2 + [[0.0] * 4] * 8), "2 of the 10 rows"),
    "infinity": (torch.full((10, 4), math.inf), "10 of the 10 rows"),
    "unlike dimensions": (torch.zeros(10, 3), "3 and 4|4 and 3"),
    "no dimension": (torch.zeros(10, 0), "shape"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("metric", METRICS, ids=lambda m: type(m).__name__)
def test_bad_rows_are_refused_on_either_side(metric: Metric, case: str) -> None:
    (values, message), good = BAD[case], features(normal(20, 4, 1).float())
    with pytest.raises(UserError, match=message):
        metric(features(values), good, rng())
    with pytest.raises(UserError, match=message):
        metric(good, features(values), rng())


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("constant", ["generated", "reference", "both"])
def test_constant_features_give_finite_numbers(metric: Metric, constant: str) -> None:
    constant_rows, varied_rows = features(torch.ones(20, 4)), features(normal(20, 4, 1).float())
    pair = {
        "generated": (constant_rows, varied_rows),
        "reference": (varied_rows, constant_rows),
        "both": (constant_rows, constant_rows),
    }[constant]
    for estimate in metric(*pair, rng()).values():
        assert all(math.isfinite(v) for v in (estimate.value, estimate.lo or 0, estimate.hi or 0))


@pytest.mark.parametrize("k", [0, 20, 25])
def test_a_number_of_neighbours_outside_the_rows_is_refused(k: int) -> None:
    with pytest.raises(UserError, match="k = "):
        PRDC(k=k)(features(normal(20, 4, 1)), features(normal(50, 4, 2)), rng())
