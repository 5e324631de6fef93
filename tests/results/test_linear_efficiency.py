"""The efficiency of linear models at any α and β, as it follows from the configuration of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from collapse_lab import compose
from collapse_lab.datasets.linear_domains import LinearDomains
from collapse_lab.results.linear_efficiency import theory_map
from collapse_lab.theory.interacting import Designs, Draw, moments, paper_shares
from collapse_lab.theory.interacting_efficiency import excess_risks, ideal_excess

SMALL = ["generations=3", "dataset.dimension=2", "dataset.rows=6", "model.noise=0.5", "n_samples=24"]


def config(*overrides: str) -> Any:
    cfg = compose("+experiment=interacting_linear", *SMALL, *overrides).cfg
    return OmegaConf.to_container(cfg, resolve=True)


@pytest.mark.parametrize(
    ("overrides", "exposure", "draw"),
    [
        ([], None, "shared"),
        (["mixing.draw=own", "population.exposure=ring", "seed=3"], np.roll(np.eye(4), -1, 1).tolist(), "own"),
        (["mixing.pool=hidden", "population.exposure=star"], [[0, 1 / 3, 1 / 3, 1 / 3], *[[1, 0, 0, 0]] * 3], "shared"),
    ],
    ids=["complete", "own rows of the model before", "hidden star"],
)
def test_a_map_is_the_efficiency_of_the_moments_of_the_last_generation(
    overrides: list[str], exposure: Any, draw: Draw
) -> None:
    found = theory_map(config(*overrides))
    assert found is not None
    assert found.shape == (21, 21)
    names = ["a", "b", "c", "d", "public"]
    truth = LinearDomains(domains=names, dimension=2, rows=6)
    x = [truth.inputs[name] for name in names]
    made = [np.tile(part, (4 if draw == "shared" else 1, 1)) for part in x[:4]]
    designs = Designs.of_rows(x[:4], x[4], made)
    for i, j in ((0, 0), (5, 15), (20, 10)):
        alpha, beta = i / 20, j / 20
        rows = [paper_shares(0, beta, 4), *[paper_shares(alpha, beta, 4, exposure)] * 3]
        known = moments(designs, rows, 1.0, 0.5, draw)
        risks = excess_risks(designs, known, np.stack([truth.truths[name] for name in names]))[-1]
        assert found[i, j] == pytest.approx(ideal_excess(designs) / risks.mean())


def test_runs_of_one_design_share_a_map() -> None:
    first, other = theory_map(config("ratio=0.1")), theory_map(config("ratio=0.9", "mixing.beta=1", "seed=1"))
    assert first is other


@pytest.mark.parametrize(
    "overrides",
    [
        ["mixing.by=rows"],
        ["population.present={b:[1,null]}"],
        ["population.exposure={by_generation:[ring,complete]}"],
        ["mixing.shares={a:[0.5,0.5,0,0,0,0]}"],
        ["model.inputs=fresh"],
        ["+population.members.a.noise=0.1"],
        ["dataset.dimension=40", "dataset.rows=80", "n_samples=80"],
        ["prompts.sets.a.labels=[a,b]"],
    ],
)
def test_where_alpha_and_beta_do_not_say_all_there_is_no_map(overrides: list[str]) -> None:
    assert theory_map(config(*overrides)) is None


def test_other_experiments_have_no_map() -> None:
    cfg = compose("+experiment=recursive_gaussian").cfg
    assert theory_map(OmegaConf.to_container(cfg, resolve=True)) is None  # type: ignore[arg-type]
