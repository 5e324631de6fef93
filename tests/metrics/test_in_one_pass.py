"""Metrics that are computed together, and that know the real rows, against computations from whole matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from collapse_lab.engine.measuring import estimates_of, known_of, offers
from collapse_lab.metrics import memorisation, symmetric, tiles
from collapse_lab.metrics.clouds import Cloud, clouds
from collapse_lab.metrics.fid import FID, gaussian, joined
from collapse_lab.metrics.kid import KID
from collapse_lab.metrics.memorisation import Memorisation
from collapse_lab.metrics.neighbours import kth_of_listed, kth_squared_distance, listed
from collapse_lab.metrics.prdc import PRDC
from collapse_lab.metrics.tiles import Known, Reader, Tile, in_one_pass
from collapse_lab.metrics.vendi import Vendi
from collapse_lab.types import Estimate, FeatureSet, Split, Task
from tests.metrics import plain
from tests.metrics.cases import features, modes, normal, rng

ALL: dict[str, tuple[Any, Callable[[Tensor, Tensor, np.random.Generator], plain.Found]]] = {
    "fid": (FID(), plain.fid),
    "kid": (KID(), plain.kid),
    "prdc": (PRDC(), plain.prdc),
    "vendi": (Vendi(), plain.vendi),
    "memorisation": (Memorisation(), plain.memorisation),
}
SETS = {
    "more rows than dimensions": (normal(300, 16, 1), normal(250, 16, 2, shift=0.1)),
    "fewer rows than dimensions": (normal(60, 96, 1), normal(50, 96, 2)),
    "few generated rows": (normal(40, 64, 1), normal(300, 64, 2)),
    "halves of fewer rows": (normal(90, 64, 1), normal(110, 64, 2)),
    "several tiles": (normal(1030, 24, 1, decay=0.5), normal(1100, 24, 2, decay=0.5)),
    "copies": (normal(20, 12, 3).repeat(8, 1), torch.cat([normal(150, 12, 2), normal(150, 12, 2)[:30]])),
    "collapsed": (modes(200, 24, 1, range(2), 0.1), modes(260, 24, 2, range(10))),
    "far away": (normal(120, 8, 1) + 20, normal(100, 8, 2)),
}


def assert_equal(found: Mapping[str, Estimate], expected: Mapping[str, Estimate]) -> None:
    """Compare to 1e-6 of the value, or of its interval's half width where the value is nearly 0."""
    assert found.keys() == expected.keys()
    for name, estimate in expected.items():
        lo, hi = estimate.lo, estimate.hi
        assert lo is not None
        assert hi is not None
        size = max(abs(estimate.value), (hi - lo) / 2)
        got = [found[name].value, found[name].lo, found[name].hi]
        assert got == pytest.approx([estimate.value, lo, hi], rel=0, abs=1e-6 * size), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("sets", SETS)
def test_together_and_with_known_real_rows_the_numbers_are_those_of_the_definitions(
    sets: str, dtype: torch.dtype
) -> None:
    x, y = (rows.to(dtype) for rows in SETS[sets])
    generated, real = features(x), features(y)
    tasks = [
        Task(metric, generated, real, rng(7), known_of(metric, real) if offers(metric, "of_real") else None)
        for metric, _ in ALL.values()
    ]
    for found, (name, (metric, definition)) in zip(estimates_of(tasks), ALL.items(), strict=True):
        assert_equal(found, definition(x, y, rng(7)))
        alone = metric(generated, real, rng(7))
        assert alone.keys() == found.keys(), name
        for key, estimate in alone.items():
            ours = [found[key].value, found[key].lo, found[key].hi]
            assert ours == pytest.approx([estimate.value, estimate.lo, estimate.hi], rel=1e-9, abs=1e-12), key


def test_every_tile_is_computed_once_and_none_of_known_real_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, slice]] = []

    class Counted(Tile):
        def __init__(self, a: Cloud, b: Cloud, rows: slice, columns: slice, products: Tensor) -> None:
            super().__init__(a, b, rows, columns, products)
            seen.append((len(a), len(b), rows))

    monkeypatch.setattr(tiles, "TILE", 32)
    generated, real = features(normal(90, 8, 1)), features(normal(70, 8, 2))
    metrics = [KID(), PRDC(bootstrap=0), Memorisation()]
    known = [known_of(metric, real) for metric in metrics]
    monkeypatch.setattr(tiles, "Tile", Counted)
    in_one_pass([Task(metric, generated, real, rng(), of) for metric, of in zip(metrics, known, strict=True)])
    places = [slice(0, 32), slice(32, 64), slice(64, 90)]
    assert seen == [(90, size, rows) for size in (90, 70) for rows in places]


def test_metrics_of_other_real_rows_are_read_in_a_pass_of_their_own() -> None:
    generated, real, train = (features(normal(n, 8, n)) for n in (50, 60, 70))
    found = in_one_pass([Task(KID(), generated, real, rng()), Task(Memorisation(), generated, train, rng())])
    assert found == [KID()(generated, real, rng()), Memorisation()(generated, train, rng())]


@dataclass
class Farthest:
    """Measure the greatest distance of a generated from a real row: what a metric has to write to read tiles."""

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: None = None

    together = staticmethod(in_one_pass)

    def reader(self, generated: Cloud, real: Cloud, rng: np.random.Generator, known: Known) -> Reader:
        squares: list[Tensor] = []
        return Reader(
            lambda: {"farthest": Estimate(float(max(squares)) ** 0.5 * real.scale)},
            of_both=lambda tile: squares.append(tile.distances.max()),
        )

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        return in_one_pass([Task(self, generated, real, rng)])[0]


@dataclass
class OnlyCalled:
    """Stand for a metric of an extension that knows nothing of tiles, tasks and known real rows."""

    version: ClassVar[int] = 1
    floored: ClassVar[bool] = True
    against: ClassVar[Split] = "reference"
    features: None = None

    def __call__(self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator) -> Mapping[str, Estimate]:
        return {"rows": Estimate(len(generated) + len(real) / 1000)}


class TwiceKID(KID):
    """Stand for a metric of an extension that was derived from one of ours."""

    def __call__(  # type: ignore[override]
        self, generated: FeatureSet, real: FeatureSet, rng: np.random.Generator
    ) -> Mapping[str, Estimate]:
        return {"twice": Estimate(2 * super().__call__(generated, real, rng)["kid"].value)}


def test_metrics_of_extensions_are_computed_beside_ours() -> None:
    generated, real = features(normal(1100, 8, 1)), features(normal(70, 8, 2))
    metrics = [KID(), Farthest(), OnlyCalled(), TwiceKID()]
    assert [offers(metric, "together") for metric in metrics] == [True, True, False, False]
    assert [offers(metric, "of_real") for metric in metrics] == [True, False, False, False]
    kid, farthest, called, twice = estimates_of([Task(metric, generated, real, rng()) for metric in metrics])
    assert farthest["farthest"].value == pytest.approx(float(torch.cdist(generated.values, real.values).max()))
    assert called == {"rows": Estimate(1100.07)}
    assert twice == {"twice": Estimate(2 * kid["kid"].value)}


@pytest.mark.parametrize("count", [5, 9, 30, 149])
def test_radii_of_subsets_from_lists_are_those_of_the_subsets(count: int) -> None:
    # Lists that are too short for some rows, for most rows, and for none
    x = torch.cat([normal(140, 8, 1), normal(140, 8, 1)[:10]]).float()
    (cloud,) = clouds(x)
    reach, neighbours = listed(cloud, 5, count)
    assert torch.equal(reach, kth_squared_distance(cloud, 5))
    for seed in range(5):
        subset = torch.from_numpy(np.sort(rng(seed).choice(150, 40 + 30 * (seed % 2), replace=False)))
        expected = kth_squared_distance(cloud.take(subset), 5)
        torch.testing.assert_close(kth_of_listed(cloud, 5, subset, neighbours), expected, rtol=1e-12, atol=1e-12)


def test_many_training_rows_are_compared_where_they_are_hit_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    generated, real = features(normal(60, 8, 1)), features(normal(90, 8, 2))
    expected = Memorisation()(generated, real, rng(), known_of(Memorisation(), real))
    monkeypatch.setattr(memorisation, "MOST", 89)
    known = known_of(Memorisation(), real)
    assert known.keys() == {"distinct"}
    assert Memorisation()(generated, real, rng(), known) == expected


@pytest.mark.parametrize("size", [1, 7, 20])
def test_symmetric_products_are_those_of_whole_matrices(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetric, "PANEL", 6)
    monkeypatch.setattr(symmetric, "CHUNK", 9)
    rows = normal(40, size, 1, decay=1.0)
    mean = rows.mean(0)
    centred = rows - mean
    gram = centred.T @ centred
    found = symmetric.scatter(rows, mean)
    torch.testing.assert_close(found.tril(), gram.tril())
    torch.testing.assert_close(symmetric.forms(rows, mean, found), ((centred @ gram) * centred).sum(1))
    lower = rows[:size].tril()
    torch.testing.assert_close(symmetric.times_lower(lower, gram), lower @ gram)
    torch.testing.assert_close(symmetric.congruent(found, lower).tril(), (lower.T @ gram @ lower).tril())
    total = gram.clone()
    symmetric.add_product(total, rows.T, rows.T)
    torch.testing.assert_close(total.tril(), (gram + rows.T @ rows).tril())


def test_gaussians_of_two_sets_join_to_that_of_all_rows() -> None:
    rows = normal(50, 6, 1) + 3
    found, expected = joined(gaussian(rows[:13]), gaussian(rows[13:])), gaussian(rows)
    assert found.rows == expected.rows
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.covariance.tril(), torch.cov(rows.T).tril())
