"""Which states are lost and where chains end, beside exact expectations and simulated chains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from collapse_lab.datasets.categories import Categories
from collapse_lab.datasets.normal import Normal
from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.models.discrete import Discrete
from collapse_lab.models.gaussian import Gaussian
from collapse_lab.probes.laws import state_laws
from collapse_lab.probes.states import States
from tests.models.points import fitted, normal
from tests.probes.cases import look, process


def categories(rows: list[list[int]]) -> torch.Tensor:
    """Return rows of category numbers, one inner list for each replica."""
    return torch.tensor(rows).double().T[..., None]


def test_shares_of_lost_states_and_of_ended_chains_agree_with_their_definitions() -> None:
    # p is 12/25, 6/25, 4/25, 3/25: with 6 rows the last two states are rare
    rows = categories([[0] * 6, [0, 0, 0, 0, 1, 3], [1] * 6, [2] * 6])
    estimates = look(States(Categories(categories=4, rows=6), process(n=6)), fitted(Discrete, rows, categories=4), rows)
    assert estimates["absorbed"].value == 0.75
    assert [estimates[f"absorbed_{k}"].value for k in range(3)] == [0.25, 0.25, 0.25]
    assert "absorbed_3" not in estimates
    assert estimates["rare_lost"].value == pytest.approx((1 + 0.5 + 1 + 0.5) / 4)
    assert estimates["common_lost"].value == pytest.approx((0.5 + 0 + 0.5 + 1) / 4)


def test_theory_of_the_first_fit_is_binomial() -> None:
    truth = Categories(categories=4, rows=6)
    p = truth.probabilities.numpy()
    estimates = look(States(truth, process(n=6)), fitted(Discrete, categories([[0] * 6]), categories=4), normal(6, 1))
    assert estimates["rare_lost_theory"].value == pytest.approx(((1 - p[2:]) ** 6).mean())
    assert estimates["common_lost_theory"].value == pytest.approx(((1 - p[:2]) ** 6).mean())
    assert estimates["absorbed_1_theory"].value == pytest.approx(p[1] ** 6)
    assert estimates["absorbed_theory"].value == pytest.approx((p**6).sum())


def test_laws_agree_with_simulated_chains_and_end_at_the_real_probabilities() -> None:
    p, size, replicas, generations = np.array([0.5, 0.3, 0.15, 0.05]), 8, 20_000, 100
    rng = np.random.default_rng(0)
    rare = p <= 1 / size
    laws = state_laws(process(n=size, generations=generations), size, p, rare, 4)
    now = np.broadcast_to(p, (replicas, 4))
    for generation in range(generations + 1):
        now = rng.multinomial(size, now) / size
        if generation in (0, 3, 20, 100):
            hits = {f"absorbed_{k}": now[:, k] == 1 for k in range(4)}
            hits |= {"rare_lost": now[:, 3] == 0}
            for name, hit in hits.items():
                q = laws[name][generation]
                assert abs(hit.mean() - q) <= 4.5 * np.sqrt(q * (1 - q) / replicas) + 1e-12
    assert laws["absorbed"][-1] == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose([laws[f"absorbed_{k}"][-1] for k in range(4)], p, atol=1e-4)
    assert (laws["rare_lost"] > laws["common_lost"]).all()


def test_a_law_is_there_only_where_it_holds() -> None:
    p, none_rare = np.ones(4) / 4, np.zeros(4, bool)
    assert state_laws(process(Accumulate()), 100, p, none_rare, 2) == {}
    assert state_laws(process(n=5000), 5000, p, none_rare, 2) == {}
    assert set(state_laws(process(), 100, p, none_rare, 2)) == {"absorbed", "absorbed_0", "absorbed_1", "common_lost"}
    rows = categories([[0] * 6])
    estimates = look(States(Categories(categories=2, rows=6), process(n=6)), fitted(Discrete, rows, categories=2), rows)
    assert set(estimates) >= {"absorbed", "absorbed_0", "absorbed_1", "common_lost"}
    assert "rare_lost" not in estimates


def test_other_families_and_data_sets_are_refused() -> None:
    with pytest.raises(UserError, match="give dataset=categories"):
        States(Normal(), process())
    with pytest.raises(UserError, match=r"needs model=discrete; Gaussian is another family"):
        look(States(Categories(), process()), fitted(Gaussian, normal(4, 2)), normal(4, 2))
