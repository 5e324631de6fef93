from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from collapse_lab.probes.replicas import mean, quantiles, share
from collapse_lab.types import Estimate

TRIALS = 2000


def covered(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([e.lo is not None and e.hi is not None and e.lo <= truth <= e.hi for e in estimates]))


@pytest.mark.parametrize("r", [20, 400])
def test_intervals_contain_the_truth_95_times_in_100(r: int) -> None:
    draws = np.random.default_rng(0).standard_normal((TRIALS, r))
    estimates = [quantiles(x, (0.05, 0.5, 0.95)) for x in draws]
    assert 0.92 <= covered([mean(x) for x in draws], 0.0) <= 0.98
    assert 0.92 <= covered([median for _, median, _ in estimates], 0.0) <= 0.98
    if r == 400:
        assert 0.92 <= covered([low for low, _, _ in estimates], norm.ppf(0.05)) <= 0.98
        assert 0.92 <= covered([high for _, _, high in estimates], norm.ppf(0.95)) <= 0.98
    assert 0.92 <= covered([share(x > norm.ppf(0.7)) for x in draws], 0.3) <= 0.98


def test_a_quantile_is_an_order_statistic() -> None:
    values = np.random.default_rng(0).permutation(101.0 * np.arange(101))
    low, middle, high = quantiles(values, (0.05, 0.5, 0.95))
    assert (low.value, middle.value, high.value) == (505, 5050, 9595)


def test_too_few_replicas_have_no_interval() -> None:
    one = np.array([2.5])
    assert mean(one) == Estimate(2.5)
    assert quantiles(one, (0.5,)) == [Estimate(2.5)]
    assert share(one > 2) == Estimate(1.0)
    assert quantiles(np.arange(10.0), (0.05,)) == [Estimate(0.0)]
    assert mean(np.array([0.0, -np.inf])) == Estimate(-np.inf)
