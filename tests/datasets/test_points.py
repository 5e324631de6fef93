from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from collapse_lab.datasets.categories import Categories
from collapse_lab.datasets.mixture import Mixture
from collapse_lab.datasets.normal import Normal
from collapse_lab.datasets.points import Points
from collapse_lab.datasets.regression import Regression
from collapse_lab.datasets.waves import Waves
from collapse_lab.errors import UserError
from collapse_lab.models.covariance import mixture_moments

SETS: list[Callable[..., Points]] = [Normal, Mixture, Categories, Regression, Waves]
N = 50_000


@pytest.mark.parametrize("build", SETS)
def test_a_row_has_a_point_of_every_replica(build: Callable[..., Points]) -> None:
    data = build(replicas=3, rows=20, reference=5)
    real = data.load()
    assert data.spec.modality == "points"
    assert real.train.data.shape == (20, *data.spec.shape)
    assert real.reference.data.shape == (5, 3, data.width)
    assert real.train.data.dtype == torch.float64
    assert set(real.train.labels.tolist()) == {-1}
    assert len({tuple(real.train.data[:, r].flatten().tolist()) for r in range(3)}) == 3


@pytest.mark.parametrize("build", SETS)
def test_the_key_of_points_changes_with_the_rows(build: Callable[..., Points]) -> None:
    plain = build(replicas=2, rows=20, reference=5)
    again = build(replicas=2, rows=20, reference=5)
    assert plain.key == again.key
    assert torch.equal(plain.load().train.data, again.load().train.data)
    others = [build(**{"replicas": 2, "rows": 20, "reference": 5, **change}) for change in ({"seed": 1}, {"rows": 21})]
    assert len({data.key for data in [plain, *others]}) == 3
    assert not torch.equal(others[0].load().train.data, plain.load().train.data)
    assert not torch.equal(plain.load().reference.data, plain.load().train.data[:5])


@pytest.mark.parametrize(
    "data",
    [
        Normal(rows=N, dimension=2, std=[1.0, 3.0]),
        Mixture(rows=N, means=[[-2, 0], [1, 1]], std=[0.5, 1.0], weights=[0.25, 0.75]),
    ],
    ids=["normal", "mixture"],
)
def test_draws_have_the_moments_of_the_components(data: Normal | Mixture) -> None:
    mean, covariance = (
        moment[0].numpy() for moment in mixture_moments(*(component[None] for component in data.components()))
    )
    x = data.load().train.data[:, 0].numpy()
    assert (np.abs(x.mean(0) - mean) < 4 * np.sqrt(np.diag(covariance) / N)).all()
    product = (x - mean)[:, :, None] * (x - mean)[:, None]
    assert (np.abs(product.mean(0) - covariance) < 4 * product.std(0) / np.sqrt(N)).all()


def test_categories_have_the_frequencies_of_their_law() -> None:
    data = Categories(rows=N, categories=6, exponent=1.0)
    p = data.probabilities.numpy()
    np.testing.assert_allclose(p / p[0], 1 / np.arange(1, 7))
    frequencies = np.bincount(data.load().train.data[:, 0, 0].long().numpy(), minlength=6) / N
    assert (np.abs(frequencies - p) < 4 * np.sqrt(p * (1 - p) / N)).all()
    np.testing.assert_allclose(Categories(categories=4, exponent=0.0).probabilities, 0.25)


@pytest.mark.parametrize("amplitudes", [(0.25, 0.25, 0.25, 0.25), (-1.0,), (0.0, 0.4, -0.3)], ids=str)
def test_waves_have_the_distribution_of_their_cosines(amplitudes: tuple[float, ...]) -> None:
    data = Waves(rows=20_000, amplitudes=amplitudes)
    x = data.load().train.data[:, 0, 0].numpy()

    def below(t: np.ndarray) -> np.ndarray:
        steps = [a * np.sin(np.pi * k * t) / (np.pi * k) for k, a in enumerate(amplitudes, start=1)]
        return np.asarray(t + sum(steps))

    assert kstest(x, below).pvalue > 0.001
    waves = np.sqrt(2) * np.cos(np.pi * np.arange(1, len(amplitudes) + 1) * x[:, None])
    assert (np.abs(waves.mean(0) - data.coefficients.numpy()) < 4 * waves.std(0) / np.sqrt(len(x))).all()


@pytest.mark.parametrize("amplitudes", [[], [0.7, -0.5], [float("nan")], [float("inf")]], ids=str)
def test_amplitudes_that_give_no_density_are_refused(amplitudes: list[float]) -> None:
    with pytest.raises(UserError, match=r"dataset\.amplitudes is a list of numbers whose absolute values sum to 1"):
        Waves(amplitudes=amplitudes)


def test_regression_has_its_coefficients_and_noise() -> None:
    data = Regression(rows=N, dimension=3, noise=0.5)
    x, y = data.load().train.data[:, 0, :-1].numpy(), data.load().train.data[:, 0, -1].numpy()
    rest = y - x @ data.coefficients.numpy()
    assert np.linalg.norm(data.coefficients) == pytest.approx(1)
    assert abs(rest.var() - 0.5) < 4 * 0.5 * np.sqrt(2 / N)
    assert (np.abs(x.T @ rest / N) < 4 * np.sqrt(0.5 / N)).all()


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (Normal, {"reference": 1}, "dataset.reference is 2 or more"),
        (Normal, {"dimension": 0}, "got 1.0"),
        (Normal, {"dimension": 2, "std": [1.0]}, "one for each of the 2 dimensions"),
        (Normal, {"std": -1.0}, "positive number"),
        (Mixture, {"means": []}, "points of one dimension"),
        (Mixture, {"means": [[0.0], [0.0, 1.0]]}, "points of one dimension"),
        (Mixture, {"weights": [1.0]}, "a share for each of the 2 means"),
        (Mixture, {"weights": [0.7, 0.7]}, "of sum 1"),
    ],
)
def test_bad_arguments_of_points_are_refused(
    build: Callable[..., Points], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build(**arguments)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_means_that_are_not_finite_are_refused_by_name(number: float) -> None:
    with pytest.raises(UserError, match=r"dataset\.means holds finite numbers; got"):
        Mixture(means=[[0.0, 1.0], [number, 1.0]])
