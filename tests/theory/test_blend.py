from __future__ import annotations

import numpy as np
import pytest

from collapse_lab.errors import UserError
from collapse_lab.theory.arguments import Estimator, GaussianMoments
from collapse_lab.theory.blend import blend_moments
from collapse_lab.theory.gaussian import expected_variance, variance_of_mean
from collapse_lab.theory.mad import augmented_moments
from tests.theory.cases import deviation

ESTIMATORS: tuple[Estimator, ...] = ("unbiased", "ml")
G = np.arange(9)
Set = tuple[int, int, int, int]
CASES: dict[str, tuple[int, list[Set]]] = {
    "all three shares": (10, [(4, 3, 0, 3), (4, 2, 1, 3), (4, 2, 1, 3), (4, 1, 2, 3), *[(4, 1, 2, 3)] * 4]),
    "nothing original": (8, [(4, 4, 0, 0), (4, 2, 2, 0), (4, 1, 3, 0), (4, 0, 4, 0), *[(4, 0, 4, 0)] * 4]),
    "nothing kept": (12, [(5, 0, 0, 7)] * 8),
    "one new row": (5, [(1, 4, 0, 0), (1, 3, 1, 0), (1, 2, 2, 0), (1, 2, 1, 1), *[(1, 2, 1, 1)] * 4]),
    "sizes that change": (6, [(8, 3, 0, 1), (3, 0, 2, 4), (20, 2, 4, 3), *[(2, 1, 1, 0)] * 5]),
}


def chains(originals: int, sets: list[Set], estimator: Estimator, seed: int) -> GaussianMoments:
    """Simulate chains row by row; return variance and squared error of the mean, (g, r)."""
    rng = np.random.default_rng(seed)
    replicas, ddof = 20_000, 1 if estimator == "unbiased" else 0
    first = rng.standard_normal((replicas, originals))
    places = np.broadcast_to(np.arange(originals), (replicas, originals))  # the originals that are in the set
    synthetic = np.zeros((replicas, 0))
    variances, means = [], []
    for latest, kept_real, kept_synthetic, drawn in [*sets, (0, 0, 0, 0)]:
        x = np.concatenate([np.take_along_axis(first, places, 1), synthetic], 1)
        mean, variance = x.mean(1), x.var(1, ddof=ddof)
        variances.append(variance)
        means.append(mean**2)
        keep = rng.permuted(places, axis=1)[:, :kept_real]
        # Originals in a random order, those that are kept behind all others
        keys = rng.random((replicas, originals))
        np.put_along_axis(keys, keep, 2.0, 1)
        places = np.concatenate([keep, np.argsort(keys, 1)[:, :drawn]], 1)
        fresh = mean[:, None] + np.sqrt(variance)[:, None] * rng.standard_normal((replicas, latest))
        synthetic = np.concatenate([rng.permuted(synthetic, axis=1)[:, :kept_synthetic], fresh], 1)
    return GaussianMoments(np.array(variances), np.array(means))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", CASES)
def test_blends_agree_with_simulated_chains(name: str, estimator: Estimator) -> None:
    originals, sets = CASES[name]
    simulated = chains(originals, sets, estimator, seed=1)
    expected = blend_moments(G, originals, sets, estimator)
    assert deviation(simulated.variance, expected.variance) < 4
    assert deviation(simulated.mean_error, expected.mean_error) < 4


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_blend_of_latest_rows_alone_is_replace(estimator: Estimator) -> None:
    moments = blend_moments(G, 7, [(7, 0, 0, 0)] * 8, estimator, variance=2.0)
    np.testing.assert_allclose(moments.variance, expected_variance(G, 7, estimator, 2.0))
    np.testing.assert_allclose(moments.mean_error, variance_of_mean(G, 7, estimator, 2.0))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_blend_with_every_original_is_augment(estimator: Estimator) -> None:
    moments = blend_moments(G, 7, [(5, 0, 0, 7)] * 8, estimator, variance=2.0)
    expected = augmented_moments(G, 7, 5, 1.0, estimator, 2.0)
    np.testing.assert_allclose(moments.variance, expected.variance)
    np.testing.assert_allclose(moments.mean_error, expected.mean_error)
    # It does not matter whether the originals are kept or drawn again
    kept = blend_moments(G, 7, [(5, 7, 0, 0), *[(5, 4, 0, 3)] * 7], estimator, variance=2.0)
    np.testing.assert_allclose(kept.variance, expected.variance)


def test_a_set_that_is_kept_whole_stays() -> None:
    moments = blend_moments(G, 6, [(3, 3, 0, 0), *[(0, 3, 3, 0)] * 7], "ml")
    assert np.ptp(moments.variance[1:]) < 1e-12
    assert np.ptp(moments.mean_error[1:]) < 1e-12


def test_keeping_rows_slows_the_loss_of_variance_and_original_rows_end_it() -> None:
    late = np.array([2000])
    replaced = blend_moments(late, 100, [(100, 0, 0, 0)] * 2000, "ml").variance[0]
    kept = blend_moments(late, 100, [(50, 50 // 2**i, 50 - 50 // 2**i, 0) for i in range(2000)], "ml").variance[0]
    anchored = blend_moments(late, 100, [(50, 25, 0, 25), *[(50, 12, 13, 25)] * 1999], "ml").variance[0]
    assert replaced < kept < 1e-2
    assert anchored > 0.9


@pytest.mark.parametrize(
    "sets",
    [[(1, 0, 0, 0)], [(5, 6, 0, 0)], [(5, 0, 1, 0)], [(5, 3, 0, 3)], [(-1, 2, 0, 2)]],
    ids=str,
)
def test_impossible_numbers_of_rows_are_refused(sets: list[Set]) -> None:
    with pytest.raises(UserError, match="a blended training set has 2 rows or more, and no more kept and original"):
        blend_moments(np.arange(2), 5, sets, "ml")


def test_generations_beyond_the_sets_are_refused() -> None:
    with pytest.raises(UserError, match="generation 3 is beyond the training sets, of which there are 2"):
        blend_moments(np.array([3]), 5, [(5, 0, 0, 0)] * 2, "ml")
