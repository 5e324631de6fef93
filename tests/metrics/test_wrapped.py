from __future__ import annotations

import doctest
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from collapse_lab.errors import UserError
from collapse_lab.metrics import wrapped
from collapse_lab.metrics.classes import class_entropy, mode_coverage
from collapse_lab.metrics.clip_score import clip_score
from collapse_lab.metrics.cmmd import cmmd
from collapse_lab.metrics.diversity import pairwise_distance
from collapse_lab.metrics.fd_infinity import fd_infinity
from collapse_lab.metrics.fid import frechet_distance
from collapse_lab.metrics.kid import kernel_distance
from collapse_lab.metrics.memorisation import memorisation
from collapse_lab.metrics.prdc import prdc
from collapse_lab.metrics.vendi import vendi_score
from tests.metrics.cases import normal

GENERATED, REAL = normal(90, 6, 1, shift=0.2).float(), normal(70, 6, 2).float()
PREDICTED = torch.arange(90) % 4

# Metrics of generated and real rows, with arguments that differ from the defaults, and their expected values
COMPARISONS: dict[str, tuple[Metric, Any]] = {
    "FID": (wrapped.FID(), frechet_distance(GENERATED, REAL)),
    "FDInfinity": (
        wrapped.FDInfinity(blocks=2, seed=3),
        fd_infinity(GENERATED, REAL, np.random.default_rng(3), 2),
    ),
    "KID": (wrapped.KID(), kernel_distance(GENERATED, REAL)),
    "CMMD": (wrapped.CMMD(sigma=2.0), cmmd(GENERATED, REAL, 2.0)),
    "PRDC": (wrapped.PRDC(k=3), prdc(GENERATED, REAL, 3)),
    "Memorisation": (wrapped.Memorisation(), memorisation(GENERATED, REAL)),
    "Vendi": (wrapped.Vendi(q=2.0), vendi_score(GENERATED, 2.0)),
    "PairwiseDistance": (wrapped.PairwiseDistance(distance="cosine"), pairwise_distance(GENERATED, "cosine")),
}
# Metrics of one batch at a time, with the arguments of `update` batch by batch, and their expected values
BATCHED: dict[str, tuple[Metric, list[tuple[Tensor, ...]], Any]] = {
    "Vendi": (wrapped.Vendi(), [(batch,) for batch in torch.split(GENERATED, 40)], vendi_score(GENERATED)),
    "PairwiseDistance": (
        wrapped.PairwiseDistance(),
        [(batch,) for batch in torch.split(GENERATED, 40)],
        pairwise_distance(GENERATED),
    ),
    "Classes": (
        wrapped.Classes(classes=5, least=2),
        [(batch,) for batch in torch.split(PREDICTED, 40)],
        {
            "mode_coverage": mode_coverage(PREDICTED, torch.arange(5), 2),
            "class_entropy": class_entropy(PREDICTED),
            **{f"class_share_{k}": PREDICTED.tolist().count(k) / 90 for k in range(5)},
        },
    ),
    "CLIPScore": (
        wrapped.CLIPScore(),
        list(zip(torch.split(GENERATED, 40), torch.split(GENERATED.flip(0), 40), strict=True)),
        clip_score(GENERATED, GENERATED.flip(0)),
    ),
}


def fed(metric: Any, real: Tensor = REAL, generated: Tensor = GENERATED) -> Any:
    for batch in torch.split(real, 40):
        metric.update(batch, real=True)
    for batch in torch.split(generated, 40):
        metric.update(batch, real=False)
    return metric


def as_numbers(value: Tensor | Mapping[str, Tensor]) -> Any:
    return {k: float(v) for k, v in value.items()} if isinstance(value, Mapping) else float(value)


@pytest.fixture(params=COMPARISONS)
def comparison(request: pytest.FixtureRequest) -> tuple[Metric, Any]:
    metric, expected = COMPARISONS[request.param]
    return metric.clone(), pytest.approx(expected, rel=1e-6)


@pytest.fixture(params=BATCHED)
def batched(request: pytest.FixtureRequest) -> tuple[Metric, list[tuple[Tensor, ...]], Any]:
    metric, batches, expected = BATCHED[request.param]
    return metric.clone(), batches, pytest.approx(expected, rel=1e-6)


def test_batches_give_the_value_of_all_rows(comparison: tuple[Metric, Any]) -> None:
    metric, expected = comparison
    assert as_numbers(fed(metric).compute()) == expected
    metric.reset()
    assert as_numbers(fed(metric).compute()) == expected  # because reset removes all rows


def test_merged_states_give_the_value_of_all_rows(comparison: tuple[Metric, Any]) -> None:
    metric, expected = comparison
    other = metric.clone()
    fed(metric, REAL[:30], GENERATED[:50])
    fed(other, REAL[30:], GENERATED[50:])
    metric.merge_state(other)
    if isinstance(metric, wrapped.FDInfinity):  # since merged rows have another order, they fall into other blocks
        rows = (metric.kept("generated"), metric.kept("real"))
        expected = pytest.approx(fd_infinity(*rows, np.random.default_rng(3), 2), rel=1e-6)
    assert as_numbers(metric.compute()) == expected


def test_pickle_and_clone_keep_the_rows(comparison: tuple[Metric, Any]) -> None:
    metric, expected = comparison
    fed(metric)
    assert as_numbers(pickle.loads(pickle.dumps(metric)).compute()) == expected
    assert as_numbers(metric.clone().compute()) == expected


def test_computing_without_rows_says_what_is_missing(comparison: tuple[Metric, Any]) -> None:
    metric, _ = comparison
    with (
        pytest.warns(UserWarning, match="before the ``update``"),
        pytest.raises(UserError, match="before any rows were given"),
    ):
        metric.compute()


def test_a_call_returns_the_value_of_the_batch_and_keeps_its_rows(
    batched: tuple[Metric, list[tuple[Tensor, ...]], Any],
) -> None:
    metric, batches, expected = batched
    alone = metric.clone()
    for batch in batches:
        alone.reset()
        alone.update(*batch)
        assert as_numbers(metric(*batch)) == pytest.approx(as_numbers(alone.compute()), rel=1e-6)
    assert as_numbers(metric.compute()) == expected


def test_calling_a_comparison_on_one_batch_is_refused() -> None:
    with pytest.raises(UserError, match="before any rows were given as `real`"):
        wrapped.FID()(GENERATED, real=False)


def test_a_collection_updates_all_its_metrics() -> None:
    metrics = MetricCollection({name: metric.clone() for name, (metric, _) in COMPARISONS.items()})
    values = as_numbers(fed(metrics).compute())
    for name, (_, expected) in COMPARISONS.items():
        parts = expected if isinstance(expected, Mapping) else {name: expected}
        for part, value in parts.items():
            key = next(key for key in values if key in (part, f"{name}_{part}"))
            assert values[key] == pytest.approx(value, rel=1e-6), key
    metrics.reset()
    assert as_numbers(fed(metrics).compute()) == values


def test_the_doctests_pass() -> None:
    results = doctest.testmod(wrapped)
    assert results.attempted > 30
    assert results.failed == 0
