"""The probes of mixtures, densities, categories and regression, each on one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from collapse_lab.datasets.categories import Categories
from collapse_lab.datasets.mixture import Mixture
from collapse_lab.datasets.normal import Normal
from collapse_lab.datasets.regression import Regression
from collapse_lab.datasets.waves import Waves
from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.augment import Augment
from collapse_lab.models.discrete import Discrete
from collapse_lab.models.gaussian import Gaussian
from collapse_lab.models.gmm import GaussianMixture
from collapse_lab.models.linear_regression import LinearRegression
from collapse_lab.models.rkhs import RKHS
from collapse_lab.probes.directions import Directions
from collapse_lab.probes.drift import Drift
from collapse_lab.probes.laws import discrete_laws, regression_laws
from collapse_lab.probes.likelihood import Likelihood
from collapse_lab.probes.mixture import MixtureDistance
from collapse_lab.probes.regression import RegressionError
from tests.models.points import fitted, normal
from tests.probes.cases import look, process


def test_the_distance_of_mixtures_is_the_integral() -> None:
    rows = torch.cat([normal(40, 3), normal(60, 3, seed=1) * 0.5 + 3])
    model, truth = fitted(GaussianMixture, rows), Mixture(means=[[0.0], [3.0]], std=0.75, weights=[0.4, 0.6])
    estimates = look(MixtureDistance(truth), model, rows)
    weights, means, sigmas = (tensor.numpy() for tensor in model.components())

    def density(x: float, r: int) -> float:
        components = zip(weights[r], means[r, :, 0], sigmas[r, :, 0, 0], strict=True)
        return float(sum(w * norm.pdf(x, m, np.sqrt(s)) for w, m, s in components))

    def real(x: float) -> float:
        return float(0.4 * norm.pdf(x, 0, 0.75) + 0.6 * norm.pdf(x, 3, 0.75))

    distances = [quad(lambda x, r=r: (density(x, r) - real(x)) ** 2, -8, 10, limit=200)[0] ** 0.5 for r in range(3)]
    assert estimates["l2_distance"].value == pytest.approx(np.mean(distances), rel=1e-6)
    assert estimates["components_lost"].value == 0
    assert estimates["em_rounds"].value == pytest.approx(float(model.rounds.mean()))


def test_a_lost_component_is_counted() -> None:
    rows = normal(40, 4, 2)
    rows[:30, 1] = 5.0
    model = fitted(GaussianMixture, rows, reg_covar=0.0)
    estimates = look(MixtureDistance(Normal(dimension=2)), model, rows)
    assert estimates["components_lost"].value == 0.25
    assert estimates["l2_distance"].value == np.inf  # the ledger leaves it out


def test_the_likelihood_is_of_the_real_rows() -> None:
    rows = normal(30, 5)
    model = fitted(Gaussian, rows)
    estimates = look(Likelihood(), model, rows)
    spread = rows[..., 0].numpy().std(0)
    expected = [norm(rows[:, r, 0].numpy().mean(), spread[r]).logpdf(rows[:, r, 0]).mean() for r in range(5)]
    assert estimates["log_likelihood"].value == pytest.approx(np.mean(expected))
    assert estimates["log_likelihood_median"].value == pytest.approx(np.median(expected))


def test_drift_of_a_histogram_agrees_with_its_definitions() -> None:
    rows = torch.tensor([[0, 2], [0, 1], [1, 2], [0, 2]]).double()[..., None]
    model, truth = fitted(Discrete, rows, categories=3), Categories(categories=3, exponent=1.0, rows=4)
    estimates = look(Drift(truth, process(n=4)), model, rows)
    p = truth.probabilities.numpy()
    assert estimates["heterozygosity"].value == pytest.approx(1 - (0.75**2 + 0.25**2))
    assert estimates["support"].value == 2
    assert estimates["mass_lost"].value == pytest.approx((p[2] + p[0]) / 2)
    assert estimates["heterozygosity_theory"].value == pytest.approx((1 - (p**2).sum()) * 0.75)
    assert estimates["mass_lost_theory"].value == pytest.approx(p @ (1 - p) ** 4)


def test_the_test_error_is_the_squared_distance_of_the_coefficients() -> None:
    data = Regression(replicas=6, rows=30, dimension=4)
    rows = data.load().train.data
    model = fitted(LinearRegression, rows)
    estimates = look(RegressionError(data, process(n=30)), model, rows)
    expected = ((model.coefficients - data.coefficients) ** 2).sum(1).mean()
    assert estimates["test_error"].value == pytest.approx(float(expected))
    assert estimates["test_error_theory"].value == pytest.approx(4 / 25)
    noisier = fitted(LinearRegression, rows, noise=2.0)
    assert set(look(RegressionError(data, process(n=30)), noisier, rows)) == {"test_error"}


def test_discrete_and_regression_laws_exist_only_where_they_hold() -> None:
    assert set(discrete_laws(process(Accumulate()), 100, np.ones(2) / 2)) == set()
    assert set(discrete_laws(process(n=5000), 5000, np.ones(2) / 2)) == {"heterozygosity"}


def test_a_heterozygosity_that_float64_cannot_hold_is_left_out_and_one_that_is_0_is_kept() -> None:
    late = discrete_laws(process(n=2, generations=1100), 2, np.ones(2) / 2)["heterozygosity"]
    assert late[1000] == 2.0**-1002
    assert np.isnan(late[-1])
    assert np.all(discrete_laws(process(n=1), 1, np.ones(2) / 2)["heterozygosity"] == 0)
    assert np.all(discrete_laws(process(), 100, np.ones(1))["heterozygosity"] == 0)
    assert regression_laws(process(Accumulate()), 100, 3, 1.0, "same")
    assert regression_laws(process(n_samples=150), 100, 3, 1.0, "fresh")
    assert not regression_laws(process(n_samples=150), 100, 3, 1.0, "same")
    assert not regression_laws(process(Augment(1.0)), 100, 3, 1.0, "same")
    assert not regression_laws(process(n=4), 4, 3, 1.0, "same")


def test_directions_are_the_cosine_coefficients_beside_their_theory() -> None:
    data = Waves(replicas=40, rows=50, amplitudes=[0.6, -0.2, 0.1])
    rows = data.load().train.data
    model = fitted(RKHS, rows, ridge=0.01)
    estimates = look(Directions(data, process(n=50), directions=4), model, rows)
    for k in range(1, 5):
        shrunk = 1 / (1 + 0.01 * (np.pi * k) ** 2)
        waves = shrunk * np.sqrt(2) * np.cos(np.pi * k * rows[..., 0].numpy()).mean(0)
        assert estimates[f"direction_{k}"].value == pytest.approx(waves.mean())
        assert estimates[f"direction_{k}_square"].value == pytest.approx((waves**2).mean())
        real = [0.6, -0.2, 0.1, 0.0][k - 1] / np.sqrt(2)
        assert estimates[f"direction_{k}_theory"].value == pytest.approx(shrunk * real)
    assert 0 < estimates["top_share"].value < 1
    fewer = look(Directions(data, process(n=50), directions=2), model, rows)
    assert fewer["direction_1_square_theory"] == estimates["direction_1_square_theory"]
    assert not [name for name in fewer if name.startswith("direction_3")]
    assert "direction_1_theory" not in look(Directions(data, process(Accumulate(), n=50)), model, rows)


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (lambda: look(Likelihood(), fitted(Discrete, normal(4, 2) * 0), normal(4, 2)), "Discrete has none"),
        (lambda: look(MixtureDistance(Normal()), fitted(Gaussian, normal(4, 2)), normal(4, 2)), "Gaussian is another"),
        (lambda: look(Drift(Categories(), process()), fitted(Gaussian, normal(4, 2)), normal(4, 2)), "another family"),
        (lambda: MixtureDistance(Categories()), "give dataset=mixture"),
        (lambda: Drift(Normal(), process()), "give dataset=categories"),
        (lambda: Directions(Normal(), process()), "give dataset=waves"),
        (lambda: look(Directions(Waves(), process()), fitted(Gaussian, normal(4, 2)), normal(4, 2)), "another family"),
        (lambda: RegressionError(Normal(), process()), "give dataset=regression"),
        (
            lambda: look(RegressionError(Regression(), process()), fitted(Gaussian, normal(4, 2)), normal(4, 2)),
            "another family",
        ),
    ],
)
def test_a_probe_refuses_other_families_and_data_sets(probe: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        probe()
