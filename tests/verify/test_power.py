"""What runs could have shown, p values, and Holm's method: against other libraries and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from collapse_lab.results.multiplicity import holm
from collapse_lab.verify.measured import Measured, Needed, geometric_mean_of, judge, mean_of
from collapse_lab.verify.power import detectable, p_value, shown

LOW, HIGH = Needed(low=1.5), Needed(high=-0.25)


@pytest.mark.parametrize("n", [3, 16])
def test_a_truth_as_far_off_as_is_said_is_shown_80_times_in_100(n: int) -> None:
    # The distance of one experiment depends on its own spread, so take the spread of the truth: s = 1 exactly
    values = np.linspace(-1, 1, n)
    values = (values - values.mean()) / values.std(ddof=1)
    distance = detectable(mean_of(values), LOW)
    assert distance is not None
    rng, trials = np.random.default_rng(0), 4000
    drawn = LOW.low + distance + rng.standard_normal((trials, n))
    found = sum(judge(mean_of(row), LOW)[0] == "reproduced" for row in drawn)
    assert abs(found / trials - 0.8) < 4 * math.sqrt(0.8 * 0.2 / trials)


def test_the_distance_of_a_ratio_is_that_of_its_logarithm() -> None:
    x, y = np.array([1.4, 1.5, 1.7]), np.ones(3)
    logs = detectable(mean_of(np.log(x)), Needed(low=math.log(1.5)))
    times = detectable(geometric_mean_of(x, y), LOW)
    assert logs is not None
    assert times == pytest.approx(1.5 * math.expm1(logs))
    below = detectable(geometric_mean_of(x, y), Needed(high=0.5))
    assert below == pytest.approx(-0.5 * math.expm1(-logs))


@pytest.mark.parametrize(
    ("distance", "needed", "text"),
    [
        (0.21, LOW, "at least 1.71"),
        (0.1, HIGH, "at most -0.35"),
        (0.05, Needed(-0.1, 0.1), "-0.05 to 0.05"),
        (0.2, Needed(-0.1, 0.1), "no value"),
        (math.inf, LOW, "no value"),
        (None, LOW, ""),
    ],
)
def test_what_could_be_shown_is_a_range_within_the_needed_one(
    distance: float | None, needed: Needed, text: str
) -> None:
    assert shown(distance, needed) == text


def test_too_few_seeds_and_intervals_of_another_kind_show_nothing_that_is_known() -> None:
    assert detectable(mean_of([1.0, 2.0]), LOW) is None
    assert detectable(Measured(3.0, 1.0, math.inf, 9), LOW) is None
    assert p_value(mean_of([1.0, 2.0]), LOW) is None
    assert p_value(Measured(3.0, 1.0, 4.0, 9), LOW) is None


def test_seeds_that_are_all_equal_have_a_verdict_but_no_p_value() -> None:
    # Three seeds at the end of a bounded range do not tell how much others would differ
    equal = mean_of([1.0, 1.0, 1.0])
    assert judge(equal, LOW)[0] == "not reproduced"
    assert equal.note == "all 3 are equal, so the interval has no width"
    assert (detectable(equal, LOW), p_value(equal, LOW)) == (None, None)


def test_a_p_value_is_that_of_the_t_test() -> None:
    values = [1.7, 1.8, 2.1, 1.9]
    assert p_value(mean_of(values), LOW) == pytest.approx(stats.ttest_1samp(values, 1.5).pvalue)
    assert p_value(mean_of(values), Needed(high=1.5)) == pytest.approx(stats.ttest_1samp(values, 1.5).pvalue)
    # Between two ends, the one that decides last
    both = p_value(mean_of(values), Needed(1.5, 2.2))
    assert both == pytest.approx(max(stats.ttest_1samp(values, end).pvalue for end in (1.5, 2.2)))


def test_a_verdict_is_one_of_p_at_most_5_percent() -> None:
    rng = np.random.default_rng(2)
    for values in rng.normal(1.5, 0.5, (200, 3)):
        p = p_value(mean_of(values), LOW)
        assert p is not None
        assert (p <= 0.05) == (judge(mean_of(values), LOW)[0] != "inconclusive")


def test_holm_multiplies_the_smallest_most_and_never_reverses_an_order() -> None:
    # Worked by hand: 4 · 0.01, 3 · 0.02, 2 · 0.03, and 0.03 · 2 is not below 0.06
    assert holm([0.02, None, 0.01, 0.04, 0.03]) == pytest.approx([0.06, None, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_any_false_verdict_below_5_percent() -> None:
    rng, tables = np.random.default_rng(3), 4000
    each = [holm(list(row)) for row in rng.uniform(size=(tables, 10))]
    wrong = sum(min(p for p in row if p is not None) <= 0.05 for row in each)
    assert abs(wrong / tables - (1 - 0.995**10)) < 4 * math.sqrt(0.05 * 0.95 / tables)
