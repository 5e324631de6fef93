from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from collapse_lab.datasets.categories import Categories
from collapse_lab.datasets.digits import Digits
from collapse_lab.datasets.mixture import Mixture
from collapse_lab.datasets.normal import Normal
from collapse_lab.engine.population import Population
from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.augment import Augment
from collapse_lab.mixing.blend import Blend
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.fresh import Fresh
from collapse_lab.mixing.replace import Replace
from collapse_lab.models.discrete import Discrete
from collapse_lab.models.gaussian import Gaussian
from collapse_lab.models.gmm import GaussianMixture
from collapse_lab.models.kde import KDE
from collapse_lab.probes.laws import QUANTILES, gaussian_laws, quantile
from collapse_lab.probes.moments import Moments
from collapse_lab.probes.process import Process
from collapse_lab.theory import typical
from collapse_lab.theory.blend import blend_moments
from collapse_lab.theory.schedules import power_schedule
from tests.models.points import fitted, normal
from tests.probes.cases import look, process


def test_the_numbers_are_means_over_replicas() -> None:
    rows = normal(50, 300, 1) * 0.8 + 0.1
    estimates = look(Moments(Normal(std=2.0), process()), fitted(Gaussian, rows), rows)
    mean, variance = rows[..., 0].numpy().mean(0), rows[..., 0].numpy().var(0)
    expected = {
        "variance": variance,
        "log_variance": np.log(variance),
        "mean_error": mean**2,
        "wasserstein_risk": mean**2 + (np.sqrt(variance) - 2) ** 2,
    }
    for name, values in expected.items():
        assert estimates[name].value == pytest.approx(values.mean())
        half = 1.959963984540054 * values.std(ddof=1) / np.sqrt(300)
        assert estimates[name].hi == pytest.approx(values.mean() + half)
    assert estimates["variance_median"].value == pytest.approx(np.median(variance), rel=0.01)


def test_moments_in_several_dimensions_agree_with_scipy() -> None:
    rows = normal(30, 20, 3) @ torch.tensor([[1.0, 0.5, 0], [0, 1, 0.2], [0, 0, 0.3]]).double() + 1
    model, truth = fitted(Gaussian, rows), Normal(dimension=3, std=[1.0, 2.0, 0.5])
    estimates = look(Moments(truth, process()), model, rows)
    mean, sigma = model.mean.numpy(), model.covariance.numpy()
    real = np.diag([1.0, 4.0, 0.25])
    risk = [
        m @ m + np.trace(s + real - 2 * sqrtm(np.sqrt(real) @ s @ np.sqrt(real)).real)
        for m, s in zip(mean, sigma, strict=True)
    ]
    assert estimates["wasserstein_risk"].value == pytest.approx(np.mean(risk))
    assert estimates["log_variance"].value == pytest.approx(np.mean(np.linalg.slogdet(sigma)[1]) / 3)
    assert estimates["variance"].value == pytest.approx(np.trace(sigma, axis1=1, axis2=2).mean() / 3)


def test_a_mixture_and_a_kernel_density_have_moments_and_no_theory() -> None:
    rows = normal(60, 5, 2)
    truth = Mixture(means=[[-1.0, 0.0], [1.0, 0.0]])
    for model in (fitted(GaussianMixture, rows), fitted(KDE, rows)):
        estimates = look(Moments(truth, process()), model, rows)
        assert estimates["variance"].value == pytest.approx(1, abs=0.5)
        assert not [name for name in estimates if name.endswith("_theory")]
    # The real moments are those of the whole mixture: its first axis has the variance 1 + 1
    expected = look(Moments(truth, process()), fitted(Gaussian, normal(20_000, 1, 2) * torch.tensor([2**0.5, 1])), rows)
    assert expected["wasserstein_risk"].value < 1e-3


def test_the_laws_of_a_blend_are_those_of_its_numbers_of_rows() -> None:
    laws = gaussian_laws(process(Blend(0.5, 0.25, 0.25), n=40), 40, "ml", np.ones(1), True)
    sets = [(20, 10, 0, 10), (20, 5, 5, 10), (20, 4, 6, 10)]
    expected = blend_moments(np.arange(4), 40, sets, "ml")
    np.testing.assert_allclose(laws["variance"][:4], expected.variance)
    np.testing.assert_allclose(laws["mean_error"][:4], expected.mean_error)
    assert set(laws) == {"variance", "mean_error"}
    replaced = gaussian_laws(process(Blend(1, 0, 0), n=40), 40, "ml", np.ones(1), True)
    plain = gaussian_laws(process(Replace(), n=40), 40, "ml", np.ones(1), True)
    assert replaced.keys() == plain.keys()
    np.testing.assert_allclose(replaced["wasserstein_risk"], plain["wasserstein_risk"])


def test_replicas_that_have_become_points_have_an_infinite_log_variance() -> None:
    rows = torch.full((20, 8, 1), 0.5).double()
    estimates = look(Moments(Normal(), process()), fitted(Gaussian, rows), rows)
    assert estimates["variance"].value == 0
    assert estimates["log_variance"].value == -np.inf  # the ledger leaves it out
    assert estimates["wasserstein_risk"].value == pytest.approx(1.25)


@pytest.mark.parametrize("sizes", [50, 400])
@pytest.mark.parametrize("probability", QUANTILES.values())
def test_interpolated_quantiles_agree_with_inverted_ones(sizes: int, probability: float) -> None:
    g = np.arange(1001)
    quantiles = quantile(g, probability, sizes, "ml", 2.0)
    for at in (0, 1, 2, 5, 17, 93, 400, 777, 1000):
        (exact,) = typical.variance_quantile(np.array([at]), probability, sizes, "ml", 2.0)
        assert quantiles[at] == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("sizes", [power_schedule(np.arange(301), 20, 2.0), power_schedule(np.arange(301), 10, 0.7)])
def test_interpolated_quantiles_of_growing_sizes_agree_with_inverted_ones(sizes: np.ndarray) -> None:
    g = np.arange(301)
    quantiles, some = quantile(g, 0.05, sizes, "ml", 1.0), np.array([1, 4, 20, 90, 277])
    np.testing.assert_allclose(quantiles[some], typical.variance_quantile(some, 0.05, sizes, "ml"), rtol=1e-4)


def test_quantiles_of_sizes_that_jump_are_inverted_at_every_generation() -> None:
    g, sizes = np.arange(60), np.array([100] * 30 + [4] * 30)
    np.testing.assert_allclose(quantile(g, 0.5, sizes, "ml", 1.0), typical.variance_quantile(g, 0.5, sizes, "ml"))


@pytest.mark.parametrize(("size", "generations"), [(3, 1000), (10, 4000)])
@pytest.mark.parametrize("probability", QUANTILES.values())
def test_quantiles_are_right_until_float64_cannot_hold_them_and_then_left_out(
    size: int, generations: int, probability: float
) -> None:
    g = np.arange(generations + 1)
    quantiles = quantile(g, probability, size, "ml", 1.0)
    logs = typical.log_variance_quantile(g[::50], probability, size, "ml")
    held = logs > np.log(np.finfo(np.float64).tiny)
    assert 0 < held.sum() < len(held)
    np.testing.assert_array_equal(np.isfinite(quantiles[::50]), held)
    np.testing.assert_allclose(quantiles[::50][held], np.exp(logs[held]), rtol=1e-3)
    assert (quantiles[np.isfinite(quantiles)] > 0).all()


def test_a_law_that_float64_cannot_hold_is_left_out_of_the_ledger() -> None:
    laws = gaussian_laws(process(Replace(), n=2, generations=2000), 2, "ml", np.ones(1), axes_apart=True)
    assert np.isnan(laws["variance"][-1])  # 2^-2001
    assert laws["variance"][1000] == 2.0**-1001
    assert laws["log_variance"][-1] < -2000
    assert all(np.isfinite(law).all() for name, law in laws.items() if name not in {"variance", *QUANTILES})


@pytest.mark.parametrize("generations", [0, 1, 2, 3, 10])
def test_quantiles_of_a_short_chain_are_exact(generations: int) -> None:
    g = np.arange(generations + 1)
    np.testing.assert_allclose(quantile(g, 0.5, 30, "ml", 1.0), typical.variance_quantile(g, 0.5, 30, "ml", 1.0))


def test_gaussian_laws_exist_only_where_they_hold() -> None:
    def names(chain: Process) -> set[str]:
        return set(gaussian_laws(chain, 100, "ml", np.ones(1), axes_apart=True))

    every = {"variance", "mean_error", "log_variance", "wasserstein_risk", *QUANTILES}
    assert names(process(Replace())) == names(process(Contaminate(1.0))) == every
    for policy in (Accumulate(), Fresh(0.5), Augment(1.0)):
        assert names(process(policy)) == {"variance", "mean_error"}
    assert names(process(Contaminate(0.5))) == set()  # because it draws the same real rows again
    assert names(process(n=1)) == set()
    pair = Population(members={"a": {}, "b": {}})
    alone = process()
    assert names(Process(alone.mixing, pair, alone.curation, 100, 100, 10)) == set()
    several = gaussian_laws(alone, 100, "ml", np.ones(3), axes_apart=False)
    assert set(several) == {"variance", "mean_error", "log_variance"}


@pytest.mark.parametrize("truth", [Digits(reference_fraction=0.3), Categories()], ids=["digits", "categories"])
def test_a_data_set_without_known_moments_is_refused(truth: object) -> None:
    with pytest.raises(UserError, match="has none; give dataset=normal"):
        Moments(truth, process())


def test_a_family_without_moments_is_refused() -> None:
    rows = torch.zeros(4, 2, 1).double()
    with pytest.raises(UserError, match="Discrete has no moments"):
        look(Moments(Normal(), process()), fitted(Discrete, rows), rows)
