from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from collapse_lab.errors import UserError
from collapse_lab.theory import accumulate, discrete, gaussian, mad, multivariate, regression, schedules, typical
from collapse_lab.theory.arguments import SampleSizes, at, sizes_until

G = np.arange(4)


def test_generations_come_in_any_order_and_more_than_once() -> None:
    generations = np.array([3, 0, 3])
    variances = gaussian.expected_variance(G, 10, "ml")
    np.testing.assert_array_equal(gaussian.expected_variance(generations, 10, "ml"), variances[generations])
    np.testing.assert_array_equal(at(generations, variances), variances[generations])


def test_a_constant_schedule_gives_the_same_sizes_as_its_number() -> None:
    schedule = np.full(7, 10)  # longer than the four generations of G
    np.testing.assert_array_equal(sizes_until(G, schedule), sizes_until(G, 10))


@pytest.mark.parametrize(
    ("sizes", "generations", "message"),
    [
        (np.array([10, 10, 10]), G, "beyond the schedule of sizes, which ends at generation 2"),
        (1, G, "at least 2 rows"),
        (np.array([10, 10, 10, 0]), G, "size of 0"),
        (10, np.array([0, -1]), "whole numbers from 0"),
        (10, np.array([], np.int64), "whole numbers from 0"),
    ],
)
def test_wrong_sizes_and_generations_are_refused(sizes: SampleSizes, generations: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        gaussian.wasserstein_risk(generations, sizes, "ml")


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: gaussian.expected_variance(G, 10, "ml", variance=-1.0), "variance should be a number above 0; got -1"),
    (lambda: gaussian.expected_std(G, 10, "ml", variance=float("nan")), "variance should be a number above 0; got nan"),
    (lambda: typical.variance_quantile(G, 1.0, 10, "ml"), "probability should lie between"),
    (lambda: multivariate.rank(G, 10, 0), "dimension should be a number above 0"),
    (lambda: multivariate.expected_square_traces(G, 10, "ml", np.array([1.0, -1.0])), "should be 0 or more"),
    (lambda: multivariate.wasserstein_lower_bound(G, 10, "ml", np.zeros(3)), "at least one above 0"),
    (lambda: discrete.loss_probability(np.array([1.5]), 10), "should lie between 0 and 1"),
    (lambda: discrete.expected_support(G, 10, np.array([0.5, 0.4])), "sum to 1; got 2 that sum to 0.9"),
    (lambda: regression.replace_error(G, 11, 10), "from 12 rows on; got 11"),
    (lambda: schedules.power_schedule(G, 0, 1.0), "first should be a number above 0"),
    (lambda: mad.fresh_moments(G, 1, 0, 10, 1.0, "ml"), "at least 2 rows; got 1 real and 0 synthetic"),
    (lambda: mad.fresh_fixed_point(0, 100, 1.0, "unbiased"), "no fixed point: its spectral radius is 1"),
    (lambda: mad.augmented_fixed_point(10, 100, 2.0, "ml"), "no fixed point"),
    (lambda: mad.augmented_moments(G, 1, 10, 1.0, "ml"), "at least 2 real rows; got 1"),
    (lambda: mad.biased_variance(G, 10, 0.0, "ml"), "bias should be a number above 0"),
    (lambda: accumulate.subsample_moments(G, 10, 0, "ml"), "batch should be a number above 0"),
    (lambda: accumulate.accumulate_variance_limit(1, "ml"), "at least 2 rows; got a size of 1"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_wrong_parameters_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


def test_unknown_estimators_and_designs_are_refused() -> None:
    # A run-time type checker, where there is one, refuses them first
    with pytest.raises((UserError, TypeCheckError), match="'mle'"):
        gaussian.expected_variance(G, 10, "mle")  # type: ignore[arg-type]
    with pytest.raises((UserError, TypeCheckError), match="'fixed'"):
        regression.accumulate_error(G, 20, 10, "fixed")  # type: ignore[arg-type]
