from __future__ import annotations

import math

import numpy as np
import pytest

from collapse_lab.theory.gaussian import expected_variance, wasserstein_risk
from collapse_lab.theory.schedules import inverse_sum, inverse_sum_limit, power_schedule
from collapse_lab.theory.typical import expected_log_variance, std_of_log_variance
from tests.theory.reference_loop import gaussian_chains

LATE = np.array([200_000])


def i_log_i(generations: int) -> np.ndarray:
    """Superlinear sizes whose inverses do not sum: M_i = ⌈(i + 2) log(i + 2)⌉ + 1."""
    i = np.arange(generations) + 2.0
    sizes: np.ndarray = np.ceil(i * np.log(i)).astype(np.int64) + 1
    return sizes


def test_a_power_schedule_rounds_its_sizes_up() -> None:
    g = np.arange(5)
    np.testing.assert_array_equal(power_schedule(g, 100, 0), [100] * 5)
    np.testing.assert_array_equal(power_schedule(g, 100, 1), [100, 200, 300, 400, 500])
    np.testing.assert_array_equal(power_schedule(g, 100, 3), [100, 800, 2700, 6400, 12_500])
    np.testing.assert_array_equal(power_schedule(g, 3, 0.5), [3, 5, 6, 6, 7])


def test_the_inverse_sum_reaches_its_limit() -> None:
    assert inverse_sum_limit(100, 2) == pytest.approx(math.pi**2 / 600)
    assert inverse_sum_limit(100, 4) == pytest.approx(math.pi**4 / 9000)
    assert inverse_sum_limit(100, 1) == inverse_sum_limit(100, 0.5) == math.inf
    for exponent in (1.5, 2.0):
        partial = inverse_sum(LATE, power_schedule(np.arange(LATE[0] + 1), 100, exponent))[0]
        tail = LATE[0] ** (1 - exponent) / (exponent - 1) / 100  # of the integral test
        assert partial < inverse_sum_limit(100, exponent)
        assert partial == pytest.approx(inverse_sum_limit(100, exponent) - tail, rel=2e-3)


def test_superlinear_sizes_stop_collapse_and_linear_ones_do_not() -> None:
    g = np.array([10**3, 10**4, 10**5])
    every = np.arange(g[-1] + 1)
    kept = expected_log_variance(g, power_schedule(every, 20, 1.5), "ml")
    lost = expected_log_variance(g, power_schedule(every, 20, 1.0), "ml")
    assert kept[-1] - kept[0] == pytest.approx(0, abs=0.01)
    # log variance falls by 2 log(10)/M_0 a decade for ever
    np.testing.assert_allclose(np.diff(lost), -2 * np.log(10) / 20, rtol=0.01)
    assert wasserstein_risk(g, power_schedule(every, 20, 1.5), "unbiased")[-1] < 1.5 * inverse_sum_limit(20, 1.5)


def test_superlinear_growth_alone_is_not_enough() -> None:
    """Counter-example to "finite iff M_i grows superlinearly": M_i = i log i."""
    g = np.array([10**2, 10**4, 10**6])
    sizes = i_log_i(10**6 + 1)
    assert np.all(np.diff(sizes[g] / g) > 0)
    # Σ 1/(i log i) grows as log log i: by log 2 from 10² to 10⁴, and by log 1.5 on to 10⁶
    np.testing.assert_allclose(np.diff(inverse_sum(g, sizes)), [math.log(2), math.log(1.5)], rtol=0.02)
    fallen = np.diff(expected_log_variance(g, sizes, "ml"))
    np.testing.assert_allclose(fallen, [-2 * math.log(2), -2 * math.log(1.5)], rtol=0.02)
    assert np.all(np.diff(expected_variance(g, sizes, "ml")) < 0)


def test_simulated_chains_stop_where_the_theory_says() -> None:
    g = np.arange(60)
    sizes = power_schedule(g, 10, 1.5)
    logs = np.log(gaussian_chains(sizes.tolist(), 500, "unbiased", seed=5).variance[-1])
    assert logs.mean() == pytest.approx(
        expected_log_variance(g, sizes, "unbiased")[-1], abs=4 * std_of_log_variance(g, sizes)[-1] / np.sqrt(500)
    )
    assert logs.mean() > -1.1 * inverse_sum_limit(10, 1.5)
    shrunk = np.log(gaussian_chains([10] * 60, 500, "unbiased", seed=5).variance[-1])
    assert shrunk.mean() < -5
