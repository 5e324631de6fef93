"""Linear models that learn from each other through the real loop, beside the theory."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collapse_lab import compose, prepare
from collapse_lab.curation.none import Nothing
from collapse_lab.datasets.linear_domains import LinearDomains
from collapse_lab.datasets.regression import Regression
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.population import Population
from collapse_lab.errors import UserError
from collapse_lab.mixing.interacting import Interacting
from collapse_lab.mixing.replace import Replace
from collapse_lab.models.linear_regression import LinearRegression
from collapse_lab.probes.interacting import InteractingError
from collapse_lab.probes.process import Process
from collapse_lab.prompts import Inputs
from collapse_lab.storage.store import Store
from collapse_lab.theory.interacting import Designs, Draw, moments, paper_shares
from collapse_lab.theory.interacting_efficiency import excess_risks, ideal_excess
from collapse_lab.types import Prospect
from tests.e2e import command

MODELS, REPLICAS, GENERATIONS, D = 4, 600, 4, 3
SMALL = [
    f"generations={GENERATIONS}",
    f"model.replicas={REPLICAS}",
    f"dataset.dimension={D}",
    "dataset.rows=6",
    "dataset.noise=0.5",
    "n_train=6",
    "n_samples=6",
    "store=all",
    "sinks=[]",
]


def run(folder: Path, *overrides: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Run the experiment; return its ledger, and the coefficients (R, K d) of the last generation."""
    paths = [f"paths.runs={folder}", f"paths.store={folder}/store"]
    prepare(compose("+experiment=interacting_linear", *SMALL, *paths, *overrides)).run()
    lines = command.ledger(command.only_run(folder, "interacting_linear"))
    store, fits = Store(folder / "store", Alone()), []
    for line in lines[-MODELS:]:
        payload = store.read("fit", line["keys"]["fit"])
        assert payload is not None
        fits.append(payload.tensors["coefficients"].numpy())
    return lines, np.concatenate(fits, 1)


@pytest.mark.parametrize(
    ("overrides", "alpha", "beta", "draw"),
    [
        (["dataset.design=equal"], 0.5, 0.5, "shared"),
        (["mixing.draw=own", "n_samples=24", "ratio=0.7", "mixing.beta=0.3"], 0.7, 0.3, "own"),
        (["ratio=1"], 1.0, 0.5, "shared"),
    ],
    ids=["equal designs, shared draw", "unequal designs, own draws", "synthetic rows alone"],
)
def test_mean_and_covariance_are_those_of_the_theory(
    overrides: list[str], alpha: float, beta: float, draw: Draw, tmp_path: Path
) -> None:
    lines, fits = run(tmp_path, *overrides)
    names = ["a", "b", "c", "d", "public"]
    design: Any = "equal" if draw == "shared" and alpha < 1 else "random"
    truth = LinearDomains(domains=names, dimension=D, rows=6, noise=0.5, replicas=1, reference=2, design=design)
    x = [truth.inputs[name] for name in names]
    designs = Designs.of_rows(x[:MODELS], x[-1])
    shares = [paper_shares(0, beta, MODELS), *[paper_shares(alpha, beta, MODELS)] * GENERATIONS]
    known = moments(designs, shares, 0.5, draw=draw)
    mean = known.maps[-1] @ np.concatenate([truth.truths[name] for name in names])
    covariance = known.covariance[-1]
    assert (np.abs(fits.mean(0) - mean) < 4.5 * np.sqrt(np.diag(covariance) / REPLICAS)).all()
    variances = np.diag(covariance)
    spread = np.sqrt((np.outer(variances, variances) + covariance**2) / REPLICAS)
    assert (np.abs(np.cov(fits.T) - covariance) < 5 * spread).all()
    # The ledger holds the same, for each model and domain
    for line in lines:
        for name in names:
            values = line["metrics"]
            for number in ("squared_error", "excess_loss"):
                half = values[f"{name}/{number}_hi"] - values[f"{name}/{number}"]
                away = abs(values[f"{name}/{number}"] - values[f"{name}/{number}_theory"])
                assert away < 5 / 1.96 * half
    last = lines[-1]["metrics"]
    assert last["public/variance_theory"] == pytest.approx(np.trace(covariance[-D:, -D:]))
    alike = np.stack([truth.truths[name] for name in names])
    efficiency = last["public/relative_efficiency_theory"]
    assert efficiency == pytest.approx(ideal_excess(designs, 0.5) / excess_risks(designs, known, alike)[-1, -1])
    half = last["public/relative_efficiency_hi"] - last["public/relative_efficiency"]
    assert abs(last["public/relative_efficiency"] - efficiency) < 4 / 1.96 * half
    gap = mean[-D:] - truth.truths["public"]
    assert last["public/squared_error_theory"] == pytest.approx(gap @ gap + np.trace(covariance[-D:, -D:]))


def test_the_ledger_counts_rows_by_source_and_the_pool_holds_what_a_member_generates(tmp_path: Path) -> None:
    lines, _ = run(tmp_path, "generations=1", "model.replicas=2")
    models = {f"from_{name}": 0 for name in "abcd"}
    assert lines[0]["counts"] == {"real": 12, "synthetic": 0, "private": 6, "public": 6} | models
    assert lines[-1]["counts"] == {"real": 12, "synthetic": 24, "private": 6, "public": 6} | dict.fromkeys(models, 6)
    assert [list(line["keys"]["sample"]) for line in lines[:4]] == [["a"], ["b"], ["c"], ["d"]]


UNSTABLE = [
    "dataset.dimension=2",
    "dataset.domains=[a,b,c,d,x,y,public]",
    "population.members={a:{},b:{}}",
    "population.private={a:a,b:b}",
    "population.generates={a:x,b:y}",
    "dataset.grams={x:[[0.01,0],[0,9.01]],y:[[4.01,4],[4,4.01]],a:[[25.01,10],[10,4.01]],b:[[4.01,-12],[-12,36.01]],"
    "public:[[1,0],[0,1]]}",
    "+prompts.sets.x={_target_:collapse_lab.prompts.Inputs,labels:[x]}",
    "+prompts.sets.y={_target_:collapse_lab.prompts.Inputs,labels:[y]}",
    "~population.members.c",
    "~population.members.d",
    "~population.private.c",
    "~population.private.d",
    "~population.generates.c",
    "~population.generates.d",
]


def test_an_unstable_population_is_warned_of_and_diverges_at_the_rate_of_the_theory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lengths = ["generations=60", "model.replicas=20", "store=metrics", "dataset.spread=3"]
    with caplog.at_level(logging.INFO, logger="collapse_lab"):
        prepare(compose("+experiment=interacting_linear", *SMALL, *UNSTABLE, *lengths, f"paths.runs={tmp_path}")).run()
    assert "the spectral radius of an update is 1.0503, above 1" in caplog.text
    lines = command.ledger(command.only_run(tmp_path, "interacting_linear"))
    values = [line["metrics"] for line in lines if line["model"] == "a"]
    for value in values:
        half = value["public/squared_error_hi"] - value["public/squared_error"]
        assert abs(value["public/squared_error"] - value["public/squared_error_theory"]) < 4.5 / 1.96 * half
    # The rate is that of the square of the radius, from which the part that does not grow still takes a little
    assert values[60]["public/squared_error"] / values[40]["public/squared_error"] > 1.0503**40


def probe_of(mixing: Any, truth: Any = None, sets: Any = None, **changes: Any) -> InteractingError:
    domains = LinearDomains(domains=["a", "b", "public"], dimension=2, rows=4)
    own = {"a": "a", "b": "b"}
    known: dict[str, Any] = {"exposure": "complete", "private": own, "public": "public", "generates": own}
    population = Population(members={"a": {}, "b": {}}, **known | changes)
    named = {name: Inputs([name]) for name in domains.domains}
    return InteractingError(truth or domains, Process(mixing, population, Nothing(), 4, 4, 3), sets or named)


def test_there_is_theory_only_for_weighted_rows_of_single_domains() -> None:
    weighted = Interacting(0.5, by="weights")
    assert probe_of(weighted)._updates.designs is not None
    assert probe_of(Interacting(0.5))._updates.designs is None
    assert probe_of(Interacting(0.5, by="weights", draw="own"))._updates.designs is None  # parts of two rows of four
    assert probe_of(weighted, public=None)._updates.designs is None
    assert probe_of(weighted, generates=None)._updates.designs is None


def test_data_without_known_coefficients_and_other_policies_are_refused() -> None:
    with pytest.raises(UserError, match="got Regression and Interacting: give dataset=linear_domains"):
        probe_of(Interacting(0.5), truth=Regression())
    with pytest.raises(UserError, match="got LinearDomains and Replace"):
        probe_of(Replace())
    with pytest.raises(UserError, match=r"prompts.sets.both is one domain"):
        probe_of(Interacting(0.5), sets={"both": Inputs(["a", "b"])})


def told(probe: InteractingError, caplog: pytest.LogCaptureFixture, inputs: Any = "given") -> str:
    """Return what the probe logs of a run."""
    caplog.clear()
    model = LinearRegression(probe.truth.spec, inputs=inputs)
    with caplog.at_level(logging.INFO, logger="collapse_lab"):
        probe.check_run(Prospect(probe.truth.spec, model, 2, 4))
    return caplog.text


def radius(*exposures: list[list[float]], apart: bool = False) -> float:
    """Return the largest spectral radius of Q at α = β = 1/2, block for block; parts are apart or the whole."""
    x = LinearDomains(domains=["a", "b", "public"], dimension=2, rows=4).inputs
    gram = {name: rows.T @ rows / 4 for name, rows in x.items()}
    radii = []
    for exposure in exposures:
        q = np.zeros((2, 2, 2, 2))
        for k, name in enumerate("ab"):
            made = [x[j][2 * k : 2 * k + 2] if apart else x[j] for j in "ab"]
            grams = [0.5 * share * part.T @ part / len(part) for share, part in zip(exposure[k], made, strict=True)]
            for j in range(2):
                q[k, :, j] = np.linalg.inv(0.25 * gram[name] + 0.25 * gram["public"] + sum(grams)) @ grams[j]
        radii.append(np.abs(np.linalg.eigvals(q.reshape(4, 4))).max())
    return float(max(radii))


COMPLETE, RING, FIRST = [[0.5, 0.5], [0.5, 0.5]], [[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]


def test_the_largest_spectral_radius_is_told_where_it_is_known_and_why_there_is_no_theory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    weighted = Interacting(0.5, by="weights")
    assert told(probe_of(weighted), caplog).strip().endswith(f"an update is {radius(COMPLETE):.4f}")
    text = told(probe_of(Interacting(0.5)), caplog)
    assert f"is {radius(COMPLETE):.4f}, if all rows counted" in text
    assert "no exact expectations (…_theory), because rows are drawn (mixing.by=rows)" in text
    text = told(probe_of(Interacting(0.5, by="weights", draw="own")), caplog)
    assert f"is {radius(COMPLETE, apart=True):.4f}\n" in text
    assert "unlike inputs of one model (mixing.draw=own)" in text
    exposure = {"by_generation": [RING, COMPLETE, FIRST]}  # generation 0 learns from no model
    text = told(probe_of(weighted, exposure=exposure), caplog)
    assert f"is {radius(FIRST, COMPLETE):.4f}, the largest of 2 different updates" in text
    assert radius(FIRST) < radius(COMPLETE)  # so the last update is not the largest
    # Before b is there, a learns from itself alone; in its first generation b learns nothing from others
    probe = probe_of(weighted, present={"b": [2, None]})
    text = told(probe, caplog)
    alone = np.array([[0.25, 0.25, 0.5, 0], [0.5, 0.5, 0, 0]])
    assert [probe._updates.shares(generation).tolist() for generation in (1, 2)] == [alone.tolist()] * 2
    assert f"is {max(probe._updates.radii):.4f}, the largest of 2 different updates" in text
    assert max(probe._updates.radii) == pytest.approx(max(radius(COMPLETE), radius([[1.0, 0.0], [0.0, 0.0]])))
    assert "because members come and go (population.present)" in text


def test_an_unknown_spectral_radius_is_told_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    weighted, unknown = Interacting(0.5, by="weights"), "spectral radius of an update is not known, because "
    assert unknown + "population.public names no" in told(probe_of(weighted, public=None), caplog)
    assert unknown + "population.generates names no prompt set for b" in told(
        probe_of(weighted, generates={"a": "a"}), caplog
    )
    assert unknown + "models make labels at inputs of their own" in told(probe_of(weighted), caplog, "fresh")
