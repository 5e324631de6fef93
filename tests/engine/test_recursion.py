"""Whole chains of the classical families through the engine, against the closed forms of `collapse_lab.theory`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collapse_lab.errors import UserError
from collapse_lab.theory import accumulate, gaussian, mad, regression
from collapse_lab.theory.arguments import Estimator
from collapse_lab.types import Record
from tests.chains import chain, errors, series

GAUSSIAN = ["+experiment=recursive_gaussian", "sinks=[]"]
REGRESSION = ["+experiment=accumulate_vs_replace", "sinks=[]", "generations=12", "model.replicas=400"]
G = np.arange(11)


def off(measured: np.ndarray, expected: np.ndarray | float, error: np.ndarray) -> float:
    """Return the largest distance of measured values from expected ones, in standard errors."""
    return float(np.abs((measured - expected) / error).max())


def from_theory(records: list[Record], name: str) -> float:
    return off(series(records, name), series(records, f"{name}_theory"), errors(records, name))


@pytest.mark.parametrize(("estimator", "risk"), [("unbiased", 0.164790), ("ml", 0.159397)])
def test_risk_and_variance_of_eleven_fits_agree_with_theory(tmp_path: Path, estimator: Estimator, risk: float) -> None:
    records = chain(tmp_path, *GAUSSIAN, "generations=10", f"model.estimator={estimator}")
    assert series(records, "wasserstein_risk_theory")[-1] == pytest.approx(risk, abs=5e-7)
    assert from_theory(records, "wasserstein_risk") < 3
    exact = np.sqrt(gaussian.variance_of_variance(G, 100, estimator) / 10_000)
    assert off(series(records, "variance"), gaussian.expected_variance(G, 100, estimator), exact) < 3
    for name in ("log_variance", "mean_error"):
        assert from_theory(records, name) < 3.5
    for name in ("variance_q05", "variance_median", "variance_q95"):
        theory = series(records, f"{name}_theory")
        assert ((series(records, f"{name}_lo") <= theory) & (theory <= series(records, f"{name}_hi"))).mean() > 0.6


def test_the_typical_chain_collapses_while_the_mean_stays(tmp_path: Path) -> None:
    records = chain(tmp_path, *GAUSSIAN, "generations=100", "n_train=20", "model.estimator=unbiased")
    assert series(records, "variance_median")[-1] < 0.01
    assert from_theory(records, "log_variance") < 4
    assert (series(records, "variance_theory") == 1).all()


@pytest.mark.parametrize("estimator", ["ml", "unbiased"])
@pytest.mark.parametrize(
    "mixing",
    [
        ["mixing=accumulate"],
        ["mixing=accumulate", "n_samples=30"],
        ["mixing=accumulate_subsample"],
        ["mixing=fresh", "ratio=0.5", "dataset.rows=400"],
        ["mixing=augment", "mixing.lam=1"],
        ["mixing=replace", "mixing.initial=80"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_the_moments_of_every_policy_with_a_law_agree_with_it(
    tmp_path: Path, mixing: list[str], estimator: str
) -> None:
    sizes = ["n_train=40", "generations=8", "model.replicas=4000", "store=all", "dataset.rows=100"]
    records = chain(tmp_path, *GAUSSIAN, *sizes, *mixing, f"model.estimator={estimator}")
    for name in ("variance", "mean_error"):
        assert from_theory(records, name) < 3.5


def test_the_recorded_theory_is_that_of_the_policy_that_ran(tmp_path: Path) -> None:
    few = ["n_train=40", "generations=10", "model.replicas=2", "store=all"]
    records = chain(tmp_path / "a", *GAUSSIAN, *few, "mixing=accumulate")
    expected = accumulate.accumulate_moments(G, 40, "ml")
    np.testing.assert_allclose(series(records, "variance_theory"), expected.variance)
    records = chain(tmp_path / "f", *GAUSSIAN, *few, "mixing=fresh", "ratio=0.25", "dataset.rows=400")
    expected = mad.fresh_moments(G, 30, 10, 40, 1.0, "ml")
    np.testing.assert_allclose(series(records, "mean_error_theory"), expected.mean_error)


@pytest.mark.parametrize("inputs", ["same", "fresh"])
@pytest.mark.parametrize("mixing", ["replace", "accumulate"])
def test_the_error_of_regression_grows_under_replace_and_is_bounded_under_accumulate(
    tmp_path: Path, mixing: str, inputs: str
) -> None:
    records = chain(tmp_path, *REGRESSION, f"mixing={mixing}", f"model.inputs={inputs}")
    measured, theory = series(records, "test_error"), series(records, "test_error_theory")
    assert from_theory(records, "test_error") < 3.5
    if mixing == "replace":
        np.testing.assert_allclose(theory, theory[0] * np.arange(1, 14))
    else:
        bound = regression.accumulate_limit(100, 10, "same")
        assert (measured - 3.5 * errors(records, "test_error") < bound).all()
        assert bound == pytest.approx(theory[0] * np.pi**2 / 6)


def test_drift_follows_the_wright_fisher_model(tmp_path: Path) -> None:
    discrete = ["model=discrete", "dataset=categories", "probes=[drift]", "dataset.categories=30"]
    records = chain(tmp_path, *GAUSSIAN, *discrete, "n_train=50", "generations=20", "model.replicas=3000")
    for name in ("heterozygosity", "support", "mass_lost"):
        assert from_theory(records, name) < 3.5
    assert series(records, "support")[-1] < series(records, "support")[0] / 2


def test_a_mixture_and_a_kernel_density_move_away_from_the_real_distribution(tmp_path: Path) -> None:
    size = ["sinks=[]", "generations=15", "n_train=100", "model.replicas=20"]
    records = chain(tmp_path / "gmm", "+experiment=recursive_gmm", *size)
    assert series(records, "l2_distance")[-1] > 2 * series(records, "l2_distance")[0]
    assert series(records, "log_likelihood_median")[-1] < series(records, "log_likelihood_median")[0]
    records = chain(tmp_path / "kde", "+experiment=recursive_gmm", *size, "model=kde", "probes=[moments,likelihood]")
    # Every generation adds the kernel's variance, so without new data a kernel density spreads out
    assert series(records, "variance")[-1] > 1.5 * series(records, "variance")[0]


def test_each_source_of_error_acts_alone(tmp_path: Path) -> None:
    base = ["+experiment=error_sources", "sinks=[]", "generations=6", "model.replicas=10", "dataset.reference=2"]
    base += ["probes=[mixture]"]
    changes = {
        "none": [],
        "statistical": ["n_train=100"],
        "expressivity": ["model.components=1"],
        "procedure": ["model.tol=0", "model.max_iter=1"],
    }
    distances = {
        name: series(chain(tmp_path / name, *base, *change), "l2_distance") for name, change in changes.items()
    }
    assert distances["statistical"][-1] > 2 * distances["statistical"][0] > 8 * distances["none"][0]
    # What the family cannot represent is lost at the first generation, and nothing more is lost later
    assert distances["expressivity"][0] > 3 * distances["none"][0]
    assert distances["expressivity"][-1] < 1.2 * distances["expressivity"][0]
    assert distances["procedure"][-1] > 1.5 * distances["procedure"][0] > 3 * distances["none"][0]
    assert distances["procedure"][-1] > 1.5 * distances["none"][-1]


def test_a_mixture_that_has_lost_its_components_ends_as_diverged(tmp_path: Path) -> None:
    size = ["sinks=[]", "generations=500", "n_train=4", "model.replicas=1", "model.reg_covar=0"]
    records = chain(tmp_path, "+experiment=recursive_gmm", *size, status="diverged")
    assert records[-1].status == "diverged"
    assert all(record.status == "ok" for record in records[:-1])


def test_the_same_seed_repeats_a_chain_and_another_seed_does_not(tmp_path: Path) -> None:
    size = ["generations=3", "model.replicas=5"]
    one, again, other = (
        chain(tmp_path / str(number), *GAUSSIAN, *size, f"seed={seed}") for number, seed in enumerate((0, 0, 1))
    )
    assert [record.metrics for record in one] == [record.metrics for record in again]
    assert series(one, "variance")[0] != series(other, "variance")[0]


def test_a_closed_form_fit_does_not_depend_on_where_it_starts(tmp_path: Path) -> None:
    size = ["generations=4", "model.replicas=5", "store=all"]
    scratch = chain(tmp_path / "a", *GAUSSIAN, *size)
    previous = chain(tmp_path / "b", *GAUSSIAN, *size, "population.lineage=previous")
    assert [record.metrics for record in scratch] == [record.metrics for record in previous]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["model.replicas=0"], "1 or more; got 0"),
        (["model.replicas=5", "dataset.replicas=4"], "has rows for 4"),
        (["dataset=mixture", "model=discrete", "probes=[]"], "give dataset=categories"),
        (["mixing=fresh", "ratio=0.5", "store=all"], "exhaust the real rows"),
        (["model.estimator=mle"], "estimator is one of unbiased, ml; got 'mle': did you mean 'ml'"),
        (["dataset=regression"], "give dataset=normal or dataset=mixture"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_impossible_settings_are_refused_before_anything_is_computed(
    tmp_path: Path, args: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        chain(tmp_path, *GAUSSIAN, "generations=3", *args)
    assert not (tmp_path / "ledger.jsonl").exists()


def test_a_family_of_points_refuses_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fitted to points, and this data set holds samples of modality 'image'"):
        chain(tmp_path, "model=gaussian", "features=[]", "metrics=[]")
