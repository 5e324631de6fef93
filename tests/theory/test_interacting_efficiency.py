from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from collapse_lab.errors import UserError
from collapse_lab.theory.interacting import Designs, Draw, at_generation, moments, paper_shares
from collapse_lab.theory.interacting_efficiency import (
    best_common,
    efficiency_map,
    excess_risks,
    ideal_excess,
    low_rank_designs,
    pooled_gram,
    relative_efficiency,
)

GRID = np.linspace(0, 1, 21)


def test_the_excess_is_the_mean_test_error_less_that_of_the_best_coefficients() -> None:
    rng = np.random.default_rng(0)
    private, public = [rng.standard_normal((n, 2)) for n in (5, 9)], rng.standard_normal((7, 2))
    designs, truths, noise = Designs.of_rows(private, public), rng.standard_normal((3, 2)), 0.7
    known = moments(designs, [paper_shares(0, 0.3, 2), paper_shares(0.5, 0.3, 2)], noise)
    drawn = rng.multivariate_normal(known.maps[1] @ truths.reshape(-1), known.covariance[1], 200_000)
    sources = list(zip([*private, public], truths, strict=True))

    def risk(fits: np.ndarray) -> np.ndarray:
        squares = [(((fits - truth) @ x.T) ** 2).sum(-1) for x, truth in sources]
        return np.asarray(np.sum(squares, axis=0) / 21)

    best = risk(best_common(designs, truths))
    for model in (0, 1):
        risks = risk(drawn[:, 2 * model : 2 * model + 2]) - best
        assert abs(risks.mean() - excess_risks(designs, known, truths)[1, model]) < 4 * risks.std() / np.sqrt(
            len(risks)
        )


def test_the_ideal_estimator_is_least_squares_on_all_real_rows() -> None:
    rng = np.random.default_rng(1)
    private, public = [rng.standard_normal((n, 3)) for n in (6, 8)], rng.standard_normal((5, 3))
    designs = Designs.of_rows(private, public)
    x = np.concatenate([*private, public])
    covariance = 0.4 * np.linalg.inv(x.T @ x)
    assert ideal_excess(designs, 0.4) == pytest.approx(np.trace(pooled_gram(designs) @ covariance))


def test_one_fit_by_rows_of_all_real_data_is_ideal_and_no_unbiased_one_is_better() -> None:
    rng = np.random.default_rng(2)
    designs = Designs.of_rows([rng.standard_normal((30, 2))], rng.standard_normal((10, 2)))
    truths = np.tile([1.0, -2.0], (2, 1))
    assert relative_efficiency(designs, 0, 0.75, truths, generation=0) == pytest.approx(1)
    assert efficiency_map(designs, GRID[:-1], GRID, truths, generation=3).max() <= 1 + 1e-12


def test_the_optimum_of_four_low_rank_models_moves_with_the_number_of_generated_rows() -> None:
    """arXiv:2505.21677 finds it near (1/2, 1/2); with as many generated as private rows it has a smaller alpha.

    A generated row carries the noise of its label beside the error of its model, so few of them deserve a small
    weight. Without that noise the best alpha nears 1, and beta the private share of the rows, 40 / (40 + 160).
    """
    designs = low_rank_designs(models=4, rank=2, rows=40, public_rows=160)
    truths = np.tile(np.random.default_rng(1).standard_normal(8), (5, 1))
    best = {}
    for factor in (1, 4, 1e6):
        more = replace(designs, generated_rows=factor * designs.generated_rows)
        efficiencies = efficiency_map(more, GRID, GRID, truths)
        alpha, beta = np.unravel_index(efficiencies.argmax(), efficiencies.shape)
        best[factor] = GRID[alpha], GRID[beta], efficiencies.max(), efficiencies[10, 10]
    assert best[1][0] < 0.35 < best[4][0] < best[1e6][0] == pytest.approx(0.95)
    assert abs(best[4][0] - 0.5) <= 0.15
    assert abs(best[4][1] - 0.5) <= 0.15
    assert best[4][3] > 0.9 * best[4][2]  # the paper's point is nearly as good there
    assert best[1e6][1] == pytest.approx(0.2)
    assert best[1e6][2] == pytest.approx(1, abs=0.01)
    assert best[1][2] < best[4][2] < best[1e6][2] < 1


@pytest.mark.parametrize("draw", ["shared", "own"])
def test_the_efficiency_of_a_generation_follows_from_the_moments_of_all_before_it(draw: Draw) -> None:
    designs = low_rank_designs(models=3, rank=1, rows=6, public_rows=9)
    truths, ring = np.random.default_rng(3).standard_normal((4, 3)), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    rows = [paper_shares(0, 0.4, 3), *[paper_shares(0.7, 0.4, 3, ring)] * 11]
    known = moments(designs, rows, 0.5, 2.0, draw)
    for generation in (0, 1, 11):
        one = at_generation(designs, rows[0], rows[1], generation, 0.5, 2.0, draw)
        for part, whole in zip(one, known, strict=True):
            assert part[0] == pytest.approx(whole[generation], abs=1e-13)
    risks = excess_risks(designs, known, truths)[-1]
    values = relative_efficiency(designs, 0.7, 0.4, truths, 0.5, 11, draw, ring, 2.0)
    assert values == pytest.approx(ideal_excess(designs, 0.5) / risks)
    grid = np.array([0.4]), truths, 0.5, 11, draw, ring, 2.0
    assert efficiency_map(designs, np.array([0.7]), *grid) == pytest.approx(ideal_excess(designs, 0.5) / risks.mean())


def test_where_there_is_no_limit_the_efficiency_is_0() -> None:
    designs = low_rank_designs(models=2, rank=1, rows=5, public_rows=5)
    assert relative_efficiency(designs, 1, 0.5, np.ones((3, 2))).tolist() == [0, 0]
    with pytest.raises(UserError, match="one alpha"):
        efficiency_map(designs, np.zeros(0), GRID, np.ones((3, 2)))
