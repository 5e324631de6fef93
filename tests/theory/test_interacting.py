from __future__ import annotations

import itertools

import numpy as np
import pytest

from collapse_lab.errors import UserError
from collapse_lab.theory.interacting import (
    Designs,
    Draw,
    Moments,
    limits,
    moments,
    noise_of_generated,
    noise_of_real,
    paper_shares,
    system,
)

SIGMA2 = 0.5
GENERATIONS = 5


def inputs(models: int, equal: bool, seed: int, d: int = 2) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Return private, public and generated inputs; equal ones are one design for all."""
    rng = np.random.default_rng(seed)
    if equal:
        x = rng.standard_normal((6, d))
        return [x] * models, x, [x] * models
    sizes = rng.integers(d + 1, 9, 2 * models + 1)
    drawn = [rng.standard_normal((n, d)) * rng.uniform(0.5, 2, d) for n in sizes]
    return drawn[:models], drawn[models], drawn[models + 1 :]


def unstable() -> Designs:
    """Return the two models of which an update makes differences larger."""
    outer = [np.outer(v, v) + 0.01 * np.eye(2) for v in ([0, 3], [2, 2], [5, 2], [2, -6])]
    rows = np.full(2, 10.0)
    return Designs(np.stack(outer[2:]), np.eye(2), np.stack(outer[:2]), rows, 10.0, rows)


def weighted_fit(xs: list[np.ndarray], ys: list[np.ndarray], shares: list[float]) -> np.ndarray:
    """Return least squares by the square roots of the weights, of every replica, (d, R) of labels (n, R)."""
    scale = [np.sqrt(share / len(x)) for x, share in zip(xs, shares, strict=True)]
    x = np.concatenate([s * x for s, x in zip(scale, xs, strict=True)])
    y = np.concatenate([s * y for s, y in zip(scale, ys, strict=True)])
    fits: np.ndarray = np.linalg.lstsq(x, y, rcond=1e-10)[0]
    return fits


def simulated(
    parts: tuple[list[np.ndarray], np.ndarray, list[np.ndarray]],
    truths: np.ndarray,
    shares: list[np.ndarray],
    draw: Draw,
    replicas: int,
) -> np.ndarray:
    """Return the coefficients of every model and replica in the last generation, (R, K d), fit by fit from rows."""
    private, public, generated = parts
    k, rng = len(private), np.random.default_rng(1)

    def labels(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
        noisy: np.ndarray = x @ theta + np.sqrt(SIGMA2) * rng.standard_normal((len(x), replicas))
        return noisy

    own = [labels(x, truths[j][:, None]) for j, x in enumerate(private)]
    common = labels(public, truths[k][:, None])
    fits = [weighted_fit([private[j], public], [own[j], common], list(shares[0][j, :2])) for j in range(k)]
    for rows in shares[1:]:
        pooled = [[labels(x, fit) for x, fit in zip(generated, fits, strict=True)] for _ in range(k)]
        if draw == "shared":
            pooled = [pooled[0]] * k
        sources = [[private[j], public, *generated] for j in range(k)]
        fits = [weighted_fit(sources[j], [own[j], common, *pooled[j]], list(rows[j])) for j in range(k)]
    return np.concatenate(fits).T


@pytest.mark.parametrize("draw", ["shared", "own"])
@pytest.mark.parametrize("equal", [True, False], ids=["equal", "unequal"])
@pytest.mark.parametrize("models", [2, 3, 4])
def test_mean_and_covariance_are_those_of_a_simulation_from_rows(models: int, equal: bool, draw: Draw) -> None:
    replicas, parts = 1200, inputs(models, equal, seed=models)
    designs = Designs.of_rows(*parts)
    truths = np.random.default_rng(7).standard_normal((models + 1, 2))
    for alpha, beta in itertools.product((0.0, 0.5, 1.0), repeat=2):
        shares = [paper_shares(0, beta, models), *[paper_shares(alpha, beta, models)] * GENERATIONS]
        known = moments(designs, shares, SIGMA2, draw=draw)
        agree(simulated(parts, truths, shares, draw, replicas), known, truths)


@pytest.mark.parametrize("draw", ["shared", "own"])
def test_shares_may_be_any_and_change_over_the_generations(draw: Draw) -> None:
    models, parts, rng = 3, inputs(3, equal=False, seed=9), np.random.default_rng(10)
    first = np.concatenate([rng.dirichlet(np.ones(2), models), np.zeros((models, models))], 1)
    shares = [first, *rng.dirichlet(np.full(models + 2, 0.5), (GENERATIONS, models))]
    truths = rng.standard_normal((models + 1, 2))
    known = moments(Designs.of_rows(*parts), shares, SIGMA2, draw=draw)
    agree(simulated(parts, truths, shares, draw, 4000), known, truths)


def agree(fits: np.ndarray, known: Moments, truths: np.ndarray) -> None:
    """Check the mean and the covariance of replicas (R, K d) of the last generation."""
    mean, covariance, replicas = known.maps[-1] @ truths.reshape(-1), known.covariance[-1], len(fits)
    assert (np.abs(fits.mean(0) - mean) < 4.5 * np.sqrt(np.diag(covariance) / replicas)).all()
    # The entries of the covariance of R normal draws have the variance (c_ii c_jj + c_ij^2) / R
    variances = np.diag(covariance)
    spread = np.sqrt((np.outer(variances, variances) + covariance**2) / replicas)
    assert (np.abs(np.cov(fits.T) - covariance) < 5 * spread).all()


@pytest.mark.parametrize(("beta", "radius"), [(0.5, 1.0503), (1.0, 1.1888)])
def test_an_update_may_make_differences_larger(beta: float, radius: float) -> None:
    update = system(unstable(), paper_shares(0.5, beta, 2))
    assert update.radius == pytest.approx(radius, abs=5e-5)
    with pytest.raises(UserError, match="spectral radius is 1"):
        limits(unstable(), paper_shares(0.5, beta, 2))
    # The mean grows by the factor of the radius in the end, and the covariance by its square
    known = moments(unstable(), [paper_shares(0, beta, 2), *[paper_shares(0.5, beta, 2)] * 300])
    means = np.linalg.norm(known.maps @ np.array([1.0, 0, 0, 0, 0, 0]), axis=1)
    noises = np.trace(known.noise, axis1=1, axis2=2)
    assert means[-1] / means[-2] == pytest.approx(update.radius, rel=1e-5)
    assert noises[-1] / noises[-2] == pytest.approx(update.radius**2, rel=1e-5)


def test_generated_designs_that_are_alike_are_stable_whatever_the_real_ones() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        models, alpha, beta = int(rng.integers(2, 5)), float(rng.uniform(0, 0.99)), float(rng.uniform())
        factors = rng.standard_normal((models + 2, 3, 3)) * 10 ** rng.uniform(-1, 1, (models + 2, 3, 1))
        grams = np.einsum("sab,sac->sbc", factors, factors)
        rows = np.full(models, 9.0)
        designs = Designs(grams[:models], grams[models], np.stack([grams[-1]] * models), rows, 9.0, rows)
        assert system(designs, paper_shares(alpha, beta, models)).radius < 1


def test_a_direction_that_generated_rows_alone_see_has_no_anchor() -> None:
    seen, all_of_it = np.diag([1.0, 0.0]), np.eye(2)
    rows = np.full(2, 5.0)
    designs = Designs(np.stack([seen] * 2), seen, np.stack([all_of_it] * 2), rows, 5.0, rows)
    assert system(designs, paper_shares(0.5, 0.5, 2)).radius == pytest.approx(1)


@pytest.mark.parametrize("low_rank", [False, True])
def test_rows_of_an_update_sum_to_a_projection_and_a_small_matrix_has_its_spectrum(low_rank: bool) -> None:
    parts = inputs(3, equal=False, seed=5, d=3)
    if low_rank:
        flat = np.diag([1.0, 1.0, 0.0])
        parts = [x @ flat for x in parts[0]], parts[1] @ flat, [x @ flat for x in parts[2]]
    designs, alpha = Designs.of_rows(*parts), 0.7
    grams, real, models = system(designs, paper_shares(alpha, 0.3, 3))
    inverses = np.linalg.pinv(grams, rcond=1e-10)
    total = models.reshape(3, 3, 3, 3).sum(2) + real.reshape(3, 3, 4, 3).sum(2)
    assert total == pytest.approx(inverses @ grams, abs=1e-10)
    small = alpha / 3 * np.einsum("jab,jbc->ac", designs.generated, inverses)
    largest = sorted(np.abs(np.linalg.eigvals(models)))[-3:]
    assert largest == pytest.approx(sorted(np.abs(np.linalg.eigvals(small))), abs=1e-9)


@pytest.mark.parametrize("draw", ["shared", "own"])
def test_equal_designs_have_closed_forms(draw: Draw) -> None:
    models, alpha, beta, d = 3, 0.6, 0.3, 2
    designs = Designs.of_rows(*inputs(models, equal=True, seed=2))
    truths = np.random.default_rng(0).standard_normal((models + 1, d))
    shares = paper_shares(alpha, beta, models)
    known = moments(designs, [paper_shares(0, beta, models), *[shares] * 4], SIGMA2, draw=draw)
    means = (known.maps @ truths.reshape(-1)).reshape(5, models, d)
    gaps = means[:, :, None] - means[:, None]
    wanted = truths[:models, None] - truths[None, :models]
    assert gaps[0] == pytest.approx(beta * wanted)
    assert gaps[1:] == pytest.approx(np.stack([(1 - alpha) * beta * wanted] * 4))
    # Noise of a shared draw is the same for all models, so their differences have none
    ones = np.kron(np.ones((models, models)), np.eye(d))
    common = known.noise[-1].reshape(models, d, models, d)[0, :, 0]
    alike = known.noise[-1] == pytest.approx(np.kron(np.ones((models, models)), common), abs=1e-12)
    assert alike == (draw == "shared")

    last = limits(designs, shares, SIGMA2, draw=draw)
    private = (1 - alpha) * beta * truths[:models] + alpha * beta * truths[:models].mean(0)
    assert (last.maps[0] @ truths.reshape(-1)).reshape(models, d) == pytest.approx(private + (1 - beta) * truths[-1])
    inverse = np.linalg.inv(designs.generated[0] * designs.generated_rows[0])
    one = SIGMA2 / models**2 * models * inverse
    if draw == "shared":
        expected = alpha**2 / (1 - alpha**2) * np.kron(np.ones((models, models)), one)
    else:  # each model's own noise of one update, and the mean of all of it that came before
        own = np.kron(np.eye(models), one)
        expected = alpha**2 * own + alpha**4 / (1 - alpha**2) * ones @ np.kron(np.eye(models), one) / models
    assert last.noise[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("equal", [True, False], ids=["equal", "unequal"])
def test_without_real_rows_the_covariance_of_equal_designs_grows_by_the_same_in_every_generation(equal: bool) -> None:
    models = 3
    designs = Designs.of_rows(*inputs(models, equal, seed=4))
    known = moments(designs, [paper_shares(0, 0.5, models), *[paper_shares(1, 0.5, models)] * 6], SIGMA2)
    steps = np.diff(known.noise, axis=0)
    inverses = np.linalg.inv(designs.generated * designs.generated_rows[:, None, None])
    step = np.kron(np.ones((models, models)), SIGMA2 / models**2 * inverses.sum(0))
    assert all(np.allclose(one, step, atol=1e-12) for one in steps) == equal
    assert system(designs, paper_shares(1, 0.5, models)).radius == pytest.approx(1)


def test_limits_are_those_of_many_updates() -> None:
    designs = Designs.of_rows(*inputs(3, equal=False, seed=6))
    shares = paper_shares(0.6, 0.4, 3, [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    known = moments(designs, [paper_shares(0, 0.4, 3), *[shares] * 600], SIGMA2, regenerated=2.0)
    last = limits(designs, shares, SIGMA2, regenerated=2.0)
    for many, limit in zip(known, last, strict=True):
        assert many[-1] == pytest.approx(limit[0], abs=1e-10)
    q, r = system(designs, shares).models, noise_of_generated(designs, 2.0)
    assert q @ (last.noise[0] + r) @ q.T == pytest.approx(last.noise[0], abs=1e-12)
    assert last.covariance[0] - last.noise[0] == pytest.approx(
        last.maps[0] @ noise_of_real(designs, SIGMA2) @ last.maps[0].T
    )


def test_models_that_learn_from_themselves_alone_are_independent_and_stable() -> None:
    designs = Designs.of_rows(*inputs(2, equal=False, seed=8))
    alone = paper_shares(0.9, 0.5, 2, np.eye(2).tolist())
    assert system(designs, alone).radius < 1
    covariance = limits(designs, alone).noise[0]
    assert covariance[:2, 2:] == pytest.approx(0)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (np.ones((2, 3)), "a row of 4 shares"),
        (np.array([[1.0, 0, 0, 0], [0, 0, 0, 0]]), "one is positive"),
        (np.array([[1.0, 0, -0.1, 0.1], [1, 0, 0, 0]]), "0 or more"),
    ],
)
def test_shares_that_are_none_are_refused(shares: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        system(unstable(), shares)


def test_generation_0_has_no_generated_rows() -> None:
    with pytest.raises(UserError, match="generation 0 trains on real rows alone"):
        moments(unstable(), [paper_shares(0.5, 0.5, 2)])
    with pytest.raises(UserError, match="shares in"):
        paper_shares(1.5, 0.5, 2)
