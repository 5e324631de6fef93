from __future__ import annotations

import numpy as np
import pytest

from collapse_lab.theory.discrete import (
    expected_heterozygosity,
    expected_support,
    fixation_probability,
    loss_probability,
    survival_probability,
)
from tests.theory.cases import deviation

G = np.arange(12)
P = np.array([0.5, 0.3, 0.15, 0.03, 0.01, 0.01])
UNEVEN = np.array([30, 20, 10, 5, 5, 8, 40, 40, 3, 60, 60, 9])
SCHEDULES = {"constant": np.full(12, 20), "uneven": UNEVEN}


def chains(sizes: np.ndarray, replicas: int, seed: int) -> np.ndarray:
    """Simulate chains of histograms; return their shares (g, r, k)."""
    rng = np.random.default_rng(seed)
    shares = np.broadcast_to(P, (replicas, len(P)))
    history = []
    for size in sizes:
        shares = rng.multinomial(size, shares) / size
        history.append(shares)
    return np.array(history)


def of_binomial(hits: np.ndarray, probability: np.ndarray) -> float:
    """Return the largest deviation of a share of replicas (g, r, k), where 10 or more are expected on either side."""
    spread = np.sqrt(probability * (1 - probability) / hits.shape[1])
    normal = spread * hits.shape[1] > 10**0.5
    assert normal.mean() > 0.3
    return float((np.abs(hits.mean(1) - probability)[normal] / spread[normal]).max())


@pytest.mark.parametrize("name", SCHEDULES)
def test_closed_forms_agree_with_simulated_chains(name: str) -> None:
    sizes = SCHEDULES[name]
    shares = chains(sizes, 20_000, seed=1)
    assert deviation(1 - (shares**2).sum(-1), expected_heterozygosity(G, sizes, P)) < 4
    assert deviation((shares > 0).sum(-1).astype(float), expected_support(G, sizes, P)) < 4
    assert of_binomial(shares > 0, survival_probability(G, sizes, P)) < 4
    assert of_binomial(shares == 1, fixation_probability(G, sizes, P)) < 4


def test_the_first_fit_loses_what_the_formula_says() -> None:
    np.testing.assert_allclose(1 - survival_probability(G, 20, P)[0], loss_probability(P, 20), rtol=1e-9)
    assert loss_probability(np.array([0.0, 1.0, 0.01]), 100).tolist() == [1, 0, pytest.approx(0.99**100)]


def test_a_chain_ends_on_a_category_with_its_real_probability() -> None:
    late = np.array([2000])
    np.testing.assert_allclose(fixation_probability(late, 20, P)[0], P, atol=1e-12)
    np.testing.assert_allclose(survival_probability(late, 20, P)[0], P, atol=1e-12)
    assert expected_support(late, 20, P)[0] == pytest.approx(1)
    assert expected_heterozygosity(late, 20, P)[0] == pytest.approx(0, abs=1e-12)


def test_the_heterozygosity_of_two_equal_categories_is_known_by_hand() -> None:
    half = np.array([0.5, 0.5])
    # M = 1: the first draw decides, so one category is left and two draws never differ
    assert expected_heterozygosity(G, 1, half).tolist() == [0] * 12
    np.testing.assert_allclose(expected_support(G, 1, half), 1)
    # M = 2: both categories are left with probability ½, and each generation halves it
    both = survival_probability(G, 2, half).sum(1) - 1
    np.testing.assert_allclose(both, 0.5 ** (G + 1))
    np.testing.assert_allclose(expected_heterozygosity(G, 2, half), both / 2)
