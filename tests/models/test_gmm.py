from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from sklearn import mixture
from sklearn.cluster import KMeans
from torch import Tensor

from collapse_lab.errors import Diverged, UserError
from collapse_lab.models.em import EM
from collapse_lab.models.gmm import GaussianMixture
from collapse_lab.models.kmeans import k_means
from collapse_lab.seeds import Seeds
from tests.models.points import draw, fitted, normal

CASES = list(itertools.product(["full", "diagonal"], [1, 2, 4], [1, 2, 3]))


def blobs(n: int, replicas: int, d: int, apart: float = 3.0, scale: float = 1.0, seed: int = 0) -> Tensor:
    """Return two overlapping clusters, (n, R, d)."""
    rows = normal(n, replicas, d, seed)
    rows[: n // 2, :, 0] += apart
    return rows * scale


def scikit_learn(x: np.ndarray, members: np.ndarray, covariance: str, **settings: Any) -> mixture.GaussianMixture:
    """Fit points (n, d) by scikit-learn, from the mixture that a first round makes of memberships (k, n)."""
    counts = members.sum(1)
    means = members @ x / counts[:, None]
    reg = settings.get("reg_covar", 1e-6) * np.eye(x.shape[1])
    sigmas = [np.cov(x.T, aweights=m, bias=True).reshape(reg.shape) + reg for m in members]
    if covariance == "diagonal":
        precisions: Any = [1 / np.diag(sigma) for sigma in sigmas]
    else:
        precisions = [np.linalg.inv(sigma) for sigma in sigmas]
    start = {"weights_init": counts / len(x), "means_init": means, "precisions_init": np.array(precisions)}
    kind = "diag" if covariance == "diagonal" else "full"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mixture.GaussianMixture(len(members), covariance_type=kind, **start, **settings).fit(x)


@pytest.mark.parametrize(("covariance", "k", "d"), CASES)
def test_a_fit_equals_scikit_learns(covariance: str, k: int, d: int) -> None:
    rows = blobs(300, 5, d)
    model = fitted(GaussianMixture, rows, components=k, covariance=covariance, tol=1e-5, max_iter=500)
    points = rows.permute(1, 2, 0).contiguous()
    members = k_means(points, k, Seeds(0, 0, "model", "fit/kmeans").torch()).numpy()
    likelihood = model.log_density(rows).mean(0)
    for r in range(5):
        theirs = scikit_learn(rows[:, r].numpy(), members[r], covariance, tol=1e-5, max_iter=500)
        assert theirs.n_iter_ == model.rounds[r]
        assert abs(float(likelihood[r]) - theirs.score(rows[:, r].numpy())) < 1e-9
        np.testing.assert_allclose(model.shares[r], theirs.weights_, atol=1e-8)
        np.testing.assert_allclose(model.means[r], theirs.means_, atol=1e-8)
        sigma = model.components()[2][r].numpy()
        expected = theirs.covariances_ if covariance == "full" else np.array([np.diag(v) for v in theirs.covariances_])
        np.testing.assert_allclose(sigma, expected, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("apart", [3.0, 1e3])
def test_a_fit_of_narrow_or_distant_components_equals_scikit_learns(scale: float, apart: float) -> None:
    rows = blobs(400, 3, 2, apart, scale)
    settings = {"tol": 1e-5, "max_iter": 200, "reg_covar": 1e-6 * scale**2}
    model = fitted(GaussianMixture, rows, **settings)
    members = k_means(rows.permute(1, 2, 0).contiguous(), 2, Seeds(0, 0, "model", "fit/kmeans").torch()).numpy()
    for r in range(3):
        x = rows[:, r].numpy()
        theirs = scikit_learn(x, members[r], "full", **settings)
        assert abs(float(model.log_density(rows).mean(0)[r]) - theirs.score(x)) < 1e-6


def test_replicas_are_fitted_independently() -> None:
    rows = blobs(200, 40, 2)
    members = k_means(rows.permute(1, 2, 0).contiguous(), 2, torch.Generator().manual_seed(0))
    algorithm = EM(2, diagonal=False, tol=1e-5, max_iter=500, reg_covar=1e-6)
    together = algorithm.fit(rows.permute(1, 2, 0).contiguous(), members)
    assert len(set(together.rounds.tolist())) > 5
    for r in (0, 17, 39):
        alone = algorithm.fit(rows[:, r : r + 1].permute(1, 2, 0).contiguous(), members[r : r + 1])
        assert alone.rounds[0] == together.rounds[r]
        torch.testing.assert_close(alone.mixtures.means[0], together.mixtures.means[r], rtol=1e-9, atol=1e-9)


def test_max_iter_ends_a_fit_that_has_not_converged() -> None:
    rows = blobs(200, 4, 2, apart=1)
    early = fitted(GaussianMixture, rows, tol=0.0, max_iter=3)
    late = fitted(GaussianMixture, rows, tol=0.0, max_iter=60)
    assert (early.rounds == 3).all()
    assert (late.log_density(rows).mean(0) > early.log_density(rows).mean(0)).all()


def test_k_means_finds_the_centres_of_scikit_learn() -> None:
    rows = torch.cat([normal(60, 6, 2) + centre for centre in (0.0, 12.0, 24.0)])
    members = k_means(rows.permute(1, 2, 0).contiguous(), 3, torch.Generator().manual_seed(1)).numpy()
    for r in range(6):
        x = rows[:, r].numpy()
        theirs = KMeans(3, n_init=5, random_state=0).fit(x)
        centres = members[r] @ x / members[r].sum(1, keepdims=True)
        distance = np.linalg.norm(centres[:, None] - theirs.cluster_centers_, axis=2)
        assert distance[linear_sum_assignment(distance)].max() < 1e-9


def test_samples_have_the_moments_and_shares_of_the_mixture() -> None:
    model = fitted(GaussianMixture, blobs(500, 2, 2, apart=8))
    n = 100_000
    drawn = draw(model, n)
    mean, covariance = model.moments()
    for r in range(2):
        x, sigma = drawn[:, r].numpy(), covariance[r].numpy()
        assert (np.abs(x.mean(0) - mean[r].numpy()) < 4 * np.sqrt(np.diag(sigma) / n)).all()
        fourth = ((x - x.mean(0)) ** 4).mean(0)
        assert (np.abs(x.var(0) - np.diag(sigma)) < 4 * np.sqrt((fourth - np.diag(sigma) ** 2) / n)).all()


def test_a_component_that_collapses_onto_a_point_keeps_its_last_covariance() -> None:
    points = torch.cat([torch.zeros(30), normal(10, 1)[:, 0, 0] + 2])[None, None].double()
    members = torch.cat([points.abs() < 1.2, points.abs() >= 1.2], 1).double()
    fit = EM(1, diagonal=False, tol=1e-5, max_iter=500, reg_covar=0.0).fit(points, members)
    assert fit.lost.tolist() == [[True, False]]
    assert fit.rounds[0] > 1
    assert 0 < fit.mixtures.roots[0, 0, 0, 0] < 0.01
    kept = EM(1, diagonal=False, tol=1e-5, max_iter=500, reg_covar=1e-6).fit(points, members)
    assert not kept.lost.any()
    assert kept.mixtures.roots[0, 0, 0, 0] == pytest.approx(1e-3, rel=0.01)


def test_a_lost_component_is_recorded_and_sampling_goes_on() -> None:
    # Three of four points coincide, so a component collapses onto them unless something is added to its variance
    rows = normal(40, 3, 2)
    rows[:30, 1] = 5.0
    model = fitted(GaussianMixture, rows, reg_covar=0.0, max_iter=500)
    assert model.lost.any(1).tolist() == [False, True, False]
    assert model.rounds[1] == 0  # because k-means has already lost it
    assert model.means[1][model.lost[1]].tolist() == [[pytest.approx(5)] * 2]
    assert draw(model, 50).isfinite().all()
    assert not fitted(GaussianMixture, rows, reg_covar=1e-6).lost.any()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_points_that_all_coincide_are_a_divergence(k: int) -> None:
    rows = torch.full((20, 2, 2), 1.5).double()
    with pytest.raises(Diverged, match="lost a component in every one of 2 replicas"):
        fitted(GaussianMixture, rows, components=k, reg_covar=0.0)
    assert (draw(fitted(GaussianMixture, rows, components=k), 20) - 1.5).abs().max() < 0.01


def test_fewer_rows_than_components_are_refused() -> None:
    with pytest.raises(UserError, match="3 rows or more here; got 2"):
        fitted(GaussianMixture, normal(2, 1, 2), components=3)
