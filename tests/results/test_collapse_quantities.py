from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from collapse_lab.errors import UserError
from collapse_lab.results.collapse_quantities import half_life, rate, threshold, time_to_collapse, vanishing

X = np.arange(6.0)


def test_the_rate_of_a_line_is_its_slope_even_with_one_outlier() -> None:
    y = 0.7 + 0.3 * X
    estimate = rate(X, y)
    assert estimate is not None
    assert (estimate.value, estimate.lo, estimate.hi) == pytest.approx((0.3, 0.3, 0.3))
    y[3] = 50.0
    with_outlier = rate(X, y)
    assert with_outlier is not None
    assert with_outlier.value == pytest.approx(0.3, abs=0.05)


def test_a_short_chain_has_a_rate_without_an_interval() -> None:
    assert rate(X[:1], X[:1]) is None
    estimate = rate(X[:4], 2 * X[:4])
    assert estimate is not None
    assert (estimate.value, estimate.lo) == (2.0, None)


def test_four_generations_cannot_give_a_95_percent_interval() -> None:
    """Of 24 orders, one on each side is the most extreme, so even the widest interval misses 2 of 24."""
    assert 1 - 2 / math.factorial(4) < 0.95 <= 1 - 2 / math.factorial(5)


def test_the_interval_of_the_rate_covers_95_percent_for_independent_residuals() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(11.0)
    rates = [rate(x, 0.3 * x + rng.normal(0, 0.5, 11)) for _ in range(1500)]
    covered = np.mean([e is not None and (e.lo or -9) <= 0.3 <= (e.hi or 9) for e in rates])
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
def test_a_chain_has_collapsed_when_it_stays_beyond_a_multiple_of_the_floor(
    y: list[float], expected: float | None
) -> None:
    assert time_to_collapse(X, np.asarray(y, float), 1.0, "lower", 3.0) == expected


def test_where_higher_is_better_collapse_is_below_a_share_of_the_floor() -> None:
    recall = np.asarray([0.8, 0.5, 0.29, 0.4, 0.2, 0.1])
    assert time_to_collapse(X, recall, 0.9, "higher", 3.0) == 4.0
    assert time_to_collapse(X, recall, 0.9, "higher", 100.0) is None


def test_a_floor_or_a_multiple_without_meaning_is_refused() -> None:
    with pytest.raises(UserError, match="means nothing"):
        time_to_collapse(X, X, -0.001, "lower")
    with pytest.raises(UserError, match="above 1; got 1"):
        time_to_collapse(X, X, 1.0, "lower", 1.0)


@pytest.mark.parametrize("half", [0.4, 1.0, 1.7, 4.9])
def test_exponential_decay_has_its_own_half_life(half: float) -> None:
    assert half_life(X, 0.8 * 0.5 ** (X / half)) == pytest.approx(half, rel=1e-12)
    assert half_life(X + 10, 0.8 * 0.5 ** (X / half)) == pytest.approx(half, rel=1e-12)


def test_half_lives_of_curves_of_other_shapes() -> None:
    assert half_life(X, np.asarray([1.0, 0.9, 0.8, 0.7, 0.6, 0.51])) is None
    assert half_life(X, np.asarray([1.0, 0.75, 0.0, 0.0, 0.0, 0.0])) == pytest.approx(1 + 0.25 / 0.75)
    assert half_life(X, np.asarray([1.0, 0.4, 0.9, 1.0, 1.0, 1.0])) == pytest.approx(math.log(2) / math.log(2.5))
    assert half_life(X, np.zeros(6)) is None
    assert half_life(X[:0], X[:0]) is None


DOSES = np.asarray([0.0, 0.1, 0.5, 1.0])


def test_the_threshold_is_interpolated_between_doses() -> None:
    curve = np.asarray([0.0, 0.0, 0.4, 2.4])
    differences = curve[:, None] + np.asarray([-1e-9, 0, 1e-9])
    reached = threshold(DOSES, differences, 0.2)
    assert reached.dose == pytest.approx(0.3)
    assert reached.lo == pytest.approx(0.3, abs=0.003)
    assert reached.hi == pytest.approx(0.3, abs=0.003)
    assert threshold(DOSES, differences, 1.4).dose == pytest.approx(0.75)


def test_a_dose_counts_only_where_its_interval_lies_above_0() -> None:
    differences = np.asarray([[0, 0, 0], [-3, 0.1, 4], [0.9, 1.0, 1.1], [2.9, 3.0, 3.1]], float)
    reached = threshold(DOSES, differences, 0.3)
    # The mean at 0.1 is above the effect too, but its interval holds 0, so the first dose that counts is 0.5.
    assert reached.dose == 0.5
    assert threshold(DOSES, differences, 5.0).dose is None
    assert threshold(DOSES, differences[:, :1], 0.5).dose is None
    with pytest.raises(UserError, match="above 0"):
        threshold(DOSES, differences, 0.0)


def test_a_threshold_that_may_lie_beyond_the_largest_dose_has_an_infinite_upper_end() -> None:
    differences = np.asarray([[0, 0, 0], [0, 0, 0], [0.1, 0.1, 0.1], [0.6, 1.0, 1.4]], float)
    assert threshold(DOSES, differences, 0.9).hi == math.inf


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.13), (5, 0.05)])
def test_the_interval_of_the_threshold_covers_95_percent(seeds: int, spread: float) -> None:
    """1,500 simulated sweeps of a known curve whose spread grows with the dose give 95 % within 4 standard errors."""
    rng = np.random.default_rng(0)
    curve, widths = np.asarray([0.0, 0.15, 0.6, 2.7]), spread * np.asarray([0, 1, 1, 2.0])
    truth = 0.1 + (0.4 - 0.15) / (0.6 - 0.15) * 0.4
    hits = []
    for _ in range(1500):
        reached = threshold(DOSES, curve[:, None] + rng.normal(0, 1, (4, seeds)) * widths[:, None], 0.4)
        if reached.dose is not None:
            assert reached.lo is not None
            assert reached.hi is not None
            assert reached.lo <= reached.dose <= reached.hi
            hits.append(reached.lo <= truth <= reached.hi)
    assert len(hits) > 1400
    assert abs(np.mean(hits) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / len(hits))


def test_the_rate_agrees_with_scipy() -> None:
    y = np.random.default_rng(3).normal(size=6)
    estimate = rate(X, y)
    slopes = [(y[j] - y[i]) / (j - i) for i in range(6) for j in range(i + 1, 6)]
    assert estimate is not None
    assert estimate.value == pytest.approx(np.median(slopes))
    assert estimate.lo == pytest.approx(stats.theilslopes(y, X, 0.95).low_slope)


@pytest.mark.parametrize(
    ("recall", "expected"),
    [
        ([0.9, 0.5, 0.09, 0.0, 0.05, 0.0], 2.0),
        ([0.9, 0.0, 0.0, 0.1, 0.0, 0.0], 4.0),  # 0.1 is not below the limit, so the group came back
        ([0.9, 0.5, 0.0, 0.0, 0.0, 0.2], None),
        ([0.9, 0.9, 0.9, 0.9, 0.9, 0.0], 5.0),
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0.0),
    ],
)
def test_a_group_vanishes_in_the_first_generation_from_which_it_stays_below_the_limit(
    recall: list[float], expected: float | None
) -> None:
    assert vanishing(X, np.asarray(recall), 0.1) == expected
    # The second witness: of every generation, whether all later ones lie below the limit too
    below = [float(g) for g in X if all(value < 0.1 for value in recall[int(g) :])]
    assert min(below, default=None) == expected


def test_a_chain_without_generations_has_no_generation_in_which_a_group_vanishes() -> None:
    assert vanishing(X[:0], X[:0], 0.1) is None
