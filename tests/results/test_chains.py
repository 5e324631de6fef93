from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from collapse_lab.errors import UserError
from collapse_lab.results.chains import half_life, rate, threshold, time_to_collapse

X = np.arange(6.0)


def test_the_rate_of_a_line_is_its_slope_whatever_one_generation_does() -> None:
    y = 0.7 + 0.3 * X
    found = rate(X, y)
    assert found is not None
    assert (found.value, found.lo, found.hi) == pytest.approx((0.3, 0.3, 0.3))
    y[3] = 50.0
    moved = rate(X, y)
    assert moved is not None
    assert moved.value == pytest.approx(0.3, abs=0.05)


def test_a_short_chain_has_a_rate_without_an_interval() -> None:
    assert rate(X[:1], X[:1]) is None
    found = rate(X[:4], 2 * X[:4])
    assert found is not None
    assert (found.value, found.lo) == (2.0, None)


def test_four_generations_cannot_have_95_percent() -> None:
    """Of 24 orders one is the most extreme on either side: even the widest interval misses 2 of 24."""
    assert 1 - 2 / math.factorial(4) < 0.95 <= 1 - 2 / math.factorial(5)


def test_coverage_of_the_rate_where_residuals_are_independent() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(11.0)
    found = [rate(x, 0.3 * x + rng.normal(0, 0.5, 11)) for _ in range(1500)]
    covered = np.mean([e is not None and (e.lo or -9) <= 0.3 <= (e.hi or 9) for e in found])
    assert 0.94 <= covered <= 0.98


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([1, 2, 4, 5, 6, 7], 2.0),
        ([1, 2, 4, 5, 1, 7], 5.0),
        ([1, 2, 4, 5, 6, 2], None),
        ([9, 9, 9, 9, 9, 9], 0.0),
        ([1, 1, 1, 1, 1, 3], None),
    ],
)
def test_collapse_is_beyond_a_multiple_of_the_floor_to_the_end(y: list[float], expected: float | None) -> None:
    assert time_to_collapse(X, np.asarray(y, float), 1.0, "lower", 3.0) == expected


def test_of_a_metric_that_is_better_higher_collapse_is_below_a_share_of_the_floor() -> None:
    recall = np.asarray([0.8, 0.5, 0.29, 0.4, 0.2, 0.1])
    assert time_to_collapse(X, recall, 0.9, "higher", 3.0) == 4.0
    assert time_to_collapse(X, recall, 0.9, "higher", 100.0) is None


def test_a_multiple_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="means nothing"):
        time_to_collapse(X, X, -0.001, "lower")
    with pytest.raises(UserError, match="above 1; got 1"):
        time_to_collapse(X, X, 1.0, "lower", 1.0)


@pytest.mark.parametrize("half", [0.4, 1.0, 1.7, 4.9])
def test_exponential_decay_gives_back_its_half_life(half: float) -> None:
    assert half_life(X, 0.8 * 0.5 ** (X / half)) == pytest.approx(half, rel=1e-12)
    assert half_life(X + 10, 0.8 * 0.5 ** (X / half)) == pytest.approx(half, rel=1e-12)


def test_half_lives_of_other_shapes() -> None:
    assert half_life(X, np.asarray([1.0, 0.9, 0.8, 0.7, 0.6, 0.51])) is None
    assert half_life(X, np.asarray([1.0, 0.75, 0.0, 0.0, 0.0, 0.0])) == pytest.approx(1 + 0.25 / 0.75)
    assert half_life(X, np.asarray([1.0, 0.4, 0.9, 1.0, 1.0, 1.0])) == pytest.approx(math.log(2) / math.log(2.5))
    assert half_life(X, np.zeros(6)) is None
    assert half_life(X[:0], X[:0]) is None


DOSES = np.asarray([0.0, 0.1, 0.5, 1.0])


def test_the_threshold_is_interpolated_between_doses() -> None:
    curve = np.asarray([0.0, 0.0, 0.4, 2.4])
    differences = curve[:, None] + np.asarray([-1e-9, 0, 1e-9])
    found = threshold(DOSES, differences, 0.2)
    assert found.dose == pytest.approx(0.3)
    assert found.lo == pytest.approx(0.3, abs=0.003)
    assert found.hi == pytest.approx(0.3, abs=0.003)
    assert threshold(DOSES, differences, 1.4).dose == pytest.approx(0.75)


def test_a_dose_counts_only_where_its_interval_leaves_0() -> None:
    differences = np.asarray([[0, 0, 0], [-3, 0.1, 4], [0.9, 1.0, 1.1], [2.9, 3.0, 3.1]], float)
    found = threshold(DOSES, differences, 0.3)
    # The mean at 0.1 is beyond the effect too, without an interval beyond 0: the first sure dose is 0.5
    assert found.dose == 0.5
    assert threshold(DOSES, differences, 5.0).dose is None
    assert threshold(DOSES, differences[:, :1], 0.5).dose is None
    with pytest.raises(UserError, match="above 0"):
        threshold(DOSES, differences, 0.0)


def test_an_effect_that_the_largest_dose_may_miss_has_no_upper_end() -> None:
    differences = np.asarray([[0, 0, 0], [0, 0, 0], [0.1, 0.1, 0.1], [0.6, 1.0, 1.4]], float)
    assert threshold(DOSES, differences, 0.9).hi == math.inf


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.13), (5, 0.05)])
def test_coverage_of_the_threshold(seeds: int, spread: float) -> None:
    """1,500 simulated sweeps of a known curve, whose spread grows with dose: 95 % within 4 standard errors."""
    rng = np.random.default_rng(0)
    curve, widths = np.asarray([0.0, 0.15, 0.6, 2.7]), spread * np.asarray([0, 1, 1, 2.0])
    truth = 0.1 + (0.4 - 0.15) / (0.6 - 0.15) * 0.4
    hits = []
    for _ in range(1500):
        found = threshold(DOSES, curve[:, None] + rng.normal(0, 1, (4, seeds)) * widths[:, None], 0.4)
        if found.dose is not None:
            assert found.lo is not None
            assert found.hi is not None
            assert found.lo <= found.dose <= found.hi
            hits.append(found.lo <= truth <= found.hi)
    assert len(hits) > 1400
    assert abs(np.mean(hits) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / len(hits))


def test_the_rate_is_scipys() -> None:
    y = np.random.default_rng(3).normal(size=6)
    found = rate(X, y)
    slopes = [(y[j] - y[i]) / (j - i) for i in range(6) for j in range(i + 1, 6)]
    assert found is not None
    assert found.value == pytest.approx(np.median(slopes))
    assert found.lo == pytest.approx(stats.theilslopes(y, X, 0.95).low_slope)
