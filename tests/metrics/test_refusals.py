"""Check how the metrics of one set, of training rows, of classes and of captions treat bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.metrics.classes import Classes
from collapse_lab.metrics.clip_score import CLIPScore
from collapse_lab.metrics.cmmd import CMMD
from collapse_lab.metrics.diversity import PairwiseDistance
from collapse_lab.metrics.fd_infinity import FDInfinity
from collapse_lab.metrics.memorisation import Memorisation
from collapse_lab.metrics.vendi import Vendi
from collapse_lab.types import Estimate, FeatureSet, Metric
from tests.metrics.cases import normal, rng

OF_PAIRS: list[Metric] = [FDInfinity(), CMMD(), Memorisation(), Classes()]
OF_GENERATED: list[Metric] = [
    Vendi(), Vendi(q=0.5), Vendi(q=2), Vendi(q=math.inf),
    PairwiseDistance(), PairwiseDistance(distance="cosine"), CLIPScore(),
]  # fmt: skip
BAD: dict[str, tuple[Tensor, str]] = {
    "empty": (torch.zeros(0, 4), r"0 row\(s\)"),
    "single row": (torch.zeros(1, 4), r"1 row\(s\)"),
    "NaN": (torch.tensor([[0.0, math.nan, 0, 0]] * 2 + [[0.0] * 4] * 8), "2 of the 10 rows"),
    "infinity": (torch.full((10, 4), math.inf), "10 of the 10 rows"),
    "no dimension": (torch.zeros(10, 0), "shape"),
}


def complete(values: Tensor) -> FeatureSet:
    """Return a feature set with labels, predictions and captions."""
    classes = torch.arange(len(values)) % 3
    return FeatureSet(values, classes, classes, values + 1)


def identifier(metric: Metric) -> str:
    return repr(metric).replace("features=None, bootstrap=200", "")


def finite(estimate: Estimate) -> bool:
    low, high = estimate.value if estimate.lo is None else estimate.lo, estimate.hi or estimate.value
    return all(map(math.isfinite, (low, estimate.value, high))) and low <= estimate.value <= high


@pytest.mark.parametrize("case", [*BAD, "unlike dimensions"])
@pytest.mark.parametrize("metric", OF_PAIRS, ids=identifier)
def test_bad_rows_are_refused_on_either_side(metric: Metric, case: str) -> None:
    values, message = BAD.get(case, (torch.zeros(10, 3), "3 and 4|4 and 3"))
    good = complete(normal(20, 4, 1).float())
    for pair in ((complete(values), good), (good, complete(values))):
        if case == "empty" and isinstance(metric, Classes) and pair[0] is good:
            assert metric(*pair, rng()) == {}  # because a real set without rows has no classes
            continue
        with pytest.raises(UserError, match=message):
            metric(*pair, rng())


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("metric", OF_GENERATED, ids=identifier)
def test_bad_rows_are_refused_where_only_generated_rows_count(metric: Metric, case: str) -> None:
    values, message = BAD[case]
    good = complete(normal(20, 4, 1).float())
    with pytest.raises(UserError, match=message):
        metric(complete(values), good, rng())
    assert metric(good, complete(values), rng()).keys() == metric(good, good, rng()).keys()


@pytest.mark.parametrize("metric", [*OF_PAIRS, *OF_GENERATED], ids=identifier)
@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("constant", ["generated", "real", "both"])
def test_constant_features_give_finite_numbers(metric: Metric, constant: str, level: float) -> None:
    constant_rows, varied_rows = complete(torch.full((20, 4), level)), complete(normal(20, 4, 1).float())
    pair = {
        "generated": (constant_rows, varied_rows),
        "real": (varied_rows, constant_rows),
        "both": (constant_rows, constant_rows),
    }[constant]
    if isinstance(metric, Memorisation) and constant != "generated":
        with pytest.raises(UserError, match="all rows of the training set are the same"):
            metric(*pair, rng())
        return
    estimates = metric(*pair, rng())
    assert estimates
    assert all(finite(estimate) for estimate in estimates.values())


@pytest.mark.parametrize("metric", [*OF_PAIRS, *OF_GENERATED], ids=identifier)
@pytest.mark.parametrize(("n", "d"), [(64, 128), (64, 64), (8, 3)])
def test_few_rows_give_finite_numbers(metric: Metric, n: int, d: int) -> None:
    for generated in (normal(n, d, 1), normal(n, d, 1)[:1].repeat(n, 1)):
        estimates = metric(complete(generated.float()), complete(normal(150, d, 2).float()), rng())
        assert estimates
        assert all(finite(estimate) for estimate in estimates.values())
