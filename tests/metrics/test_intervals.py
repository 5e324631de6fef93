from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.metrics.fid import FID
from collapse_lab.metrics.intervals import around, wilson
from collapse_lab.metrics.kid import KID
from tests.metrics.cases import features, modes, normal, rng


def test_wilson_intervals_of_published_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 0 of 20.
    estimate = wilson(81, 263)
    assert (round(estimate.lo or 0, 4), round(estimate.hi or 0, 4)) == (0.2553, 0.3662)
    assert wilson(0, 20).lo == 0
    assert wilson(0, 20).hi == pytest.approx(0.1611, abs=5e-5)
    assert wilson(20, 20).hi == 1


def test_the_interval_of_a_mean_follows_its_standard_error() -> None:
    row = torch.randn(500, generator=torch.Generator().manual_seed(1))
    estimate = around(float(row.mean()), [row], rng(), 20_000)
    expected = 1.96 * float(row.std()) / 500**0.5
    assert (estimate.hi or 0) - estimate.value == pytest.approx(expected, rel=0.02)
    assert estimate.value - (estimate.lo or 0) == pytest.approx(expected, rel=0.02)


def test_intervals_are_clipped_to_the_range() -> None:
    assert around(0.1, [torch.tensor([-5.0, 5.0])], rng(), 100, low=0.0, high=0.2).lo == 0
    assert around(0.1, [torch.tensor([-5.0, 5.0])], rng(), 100, low=0.0, high=0.2).hi == 0.2


@pytest.mark.parametrize("case", ["shift", pytest.param("collapsed", marks=pytest.mark.slow)])
def test_intervals_of_fid_and_kid_cover(case: str) -> None:
    """Of 300 intervals, 92 to 98 % hold the mean of the 300 estimates."""
    estimates: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(300):
        if case == "shift":
            x, y = normal(300, 16, 2 * seed, shift=0.2), normal(300, 16, 2 * seed + 1)
        else:
            x, y = modes(300, 16, 2 * seed, range(3), 0.3), modes(300, 16, 2 * seed + 1, range(10))
        for metric in (FID(), KID()):
            for name, e in metric(features(x), features(y), rng(seed)).items():
                estimates.setdefault(name, []).append((e.value, e.lo or 0.0, e.hi or 0.0))
    for name, rows in estimates.items():
        value, lo, hi = np.array(rows).T
        covered = np.mean((lo <= value.mean()) & (value.mean() <= hi))
        assert 0.92 <= covered <= 0.98, (name, covered)
