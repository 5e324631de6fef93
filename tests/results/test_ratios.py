"""Intervals of ratios over seeds, of means and of spreads: by a second way, and by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from collapse_lab.results.intervals import of_mean, of_median, of_ratio, of_spreads

X, Y = np.array([3.7, 3.1, 3.6, 3.2]), np.array([0.8, 0.7, 0.9, 0.6])


def test_the_ends_of_fieller_are_the_ratios_at_which_the_paired_t_test_is_at_its_limit() -> None:
    found = of_ratio(X, Y)
    assert found.value == pytest.approx(X.mean() / Y.mean())

    def excess(r: float) -> float:
        return float(abs(stats.ttest_1samp(X - r * Y, 0).statistic) - stats.t.ppf(0.975, 3))

    assert found.lo == pytest.approx(optimize.brentq(excess, 2.0, found.value))
    assert found.hi == pytest.approx(optimize.brentq(excess, found.value, 9.0))


def test_a_denominator_that_may_be_0_gives_an_unbounded_interval() -> None:
    found = of_ratio(X, [1.0, -1.0, 2.0, -0.5])
    assert (found.lo, found.hi) == (-math.inf, math.inf)
    assert math.isnan(of_ratio([1.0, 2.0], [1.0, -1.0]).value)
    assert of_ratio([2.0], [1.0]).lo is None


def test_the_interval_of_a_ratio_contains_the_truth_95_times_in_100() -> None:
    rng, inside, n = np.random.default_rng(0), 0, 2000
    for _ in range(n):
        common = rng.standard_normal(4)
        x, y = 3 + common + rng.standard_normal(4), 2 + 0.2 * common + 0.2 * rng.standard_normal(4)
        found = of_ratio(x, y)
        assert found.lo is not None
        assert found.hi is not None
        inside += found.lo <= 1.5 <= found.hi
    assert abs(inside / n - 0.95) < 4 * math.sqrt(0.95 * 0.05 / n)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_interval_of_a_ratio_of_spreads_contains_the_truth_95_times_in_100(correlation: float) -> None:
    rng, inside, n = np.random.default_rng(1), 0, 2000
    for _ in range(n):
        y = rng.standard_normal(6)
        x = 2 * (correlation * y + math.sqrt(1 - correlation**2) * rng.standard_normal(6))
        found = of_spreads(x, y)
        assert found.lo is not None
        assert found.hi is not None
        inside += found.lo <= 2 <= found.hi
    assert abs(inside / n - 0.95) < 4 * math.sqrt(0.95 * 0.05 / n)


def test_spreads_without_variation_or_with_two_pairs_have_no_interval() -> None:
    assert of_spreads([1.0, 2.0], [1.0, 3.0]).lo is None
    assert math.isnan(of_spreads([1.0, 2.0, 4.0], [1.0, 1.0, 1.0]).value)
    assert of_spreads([1.0, 1.0, 1.0], [1.0, 2.0, 4.0]).value == 0


def test_the_interval_at_another_confidence_is_that_of_scipy() -> None:
    for confidence in (0.5, 0.99):
        expected = stats.ttest_1samp(X, 0).confidence_interval(confidence)
        found = of_mean(X, confidence)
        assert (found.lo, found.hi) == pytest.approx((expected.low, expected.high))
    assert of_median([1, 2, 3, 4, 5]).lo is None
    assert of_median([1, 2, 3, 4, 5], 0.9).lo == 1
