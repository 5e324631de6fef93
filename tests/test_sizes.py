"""Sizes of training sets that change over the generations: reading, planning, running, and their theory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from collapse_lab.config.building import build
from collapse_lab.config.composing import compose
from collapse_lab.config.signature import signature
from collapse_lab.engine.executor import Alone
from collapse_lab.errors import UserError
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.prompts import Everything
from collapse_lab.sizes import check_stages, first_size, read_sizes, size_at
from collapse_lab.theory import accumulate, gaussian, regression
from collapse_lab.theory.schedules import inverse_sum_limit
from collapse_lab.types import Conditions, Record
from tests.chains import chain, errors, series
from tests.standins import Chain

GAUSSIAN = ["+experiment=recursive_gaussian", "sinks=[]"]
SQUARES = "n_train={first: 20, exponent: 2}"


def trained_on(records: list[Record]) -> list[int]:
    return [sum(record.counts.values()) for record in records]


def off(records: list[Record], name: str) -> float:
    """Return the largest distance from theory, in standard errors."""
    distances = np.abs(series(records, name) - series(records, f"{name}_theory"))
    return float((distances / errors(records, name)).max())


def test_every_form_of_sizes_is_read() -> None:
    assert read_sizes("n", 7, 3) == 7
    assert read_sizes("n", {"first": 100, "exponent": 2}, 2) == (100, 400, 900, 1600)
    assert read_sizes("n", {"first": 10, "exponent": 0.5}, 1) == (10, 15, 18)
    listed = {"by_generation": [5, 3, 8]}
    # The last generation samples the number that follows in the list, or else as many as it was trained on
    assert read_sizes("n", listed, 2) == (5, 3, 8, 8)
    assert read_sizes("n", listed, 1) == (5, 3, 8)
    assert [size_at(sizes, 1) for sizes in (7, (5, 3))] == [7, 3]
    assert [
        first_size(configured) for configured in (7, listed, {"first": 9, "exponent": 1}, {"by_generation": 3})
    ] == [
        7,
        5,
        9,
        0,
    ]


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        ({"by_generation": [5, 5]}, "ends at generation 1, and generations=2; lengthen the list to 3 sizes"),
        ({"by_generation": []}, "a list of sizes"),
        ({"by_generation": 5}, "a list of sizes"),
        ({"by_generation": [5, 0, 5]}, r"n\.by_generation is 1 or more; got 0"),
        ({"by_generation": [5, 5.5, 5]}, r"n\.by_generation takes int; got 5\.5"),
        ({"first": 5}, "takes int, or a schedule: {first: 100, exponent: 2}"),
        ({"first": 5, "exponent": 1, "by_generation": [5]}, "takes int, or a schedule"),
        ({"first": 0, "exponent": 1}, r"n\.first is 1 or more"),
        ({"first": 5, "exponent": "two"}, "the power by which sizes grow"),
        ({"first": 5, "exponent": float("nan")}, "the power by which sizes grow"),
        ({"first": 5, "exponent": 30}, "grows beyond"),
        (True, "takes int"),
        ("many", "takes int"),
    ],
)
def test_wrong_sizes_are_refused(configured: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_sizes("n", configured, 2)


def test_a_schedule_can_be_given_on_the_command_line() -> None:
    line = [*GAUSSIAN, "device=cpu", "generations=3", "model.replicas=2"]
    sizes = ("n_train=20", SQUARES, "n_train={by_generation: [20, 80, 180, 320]}")
    constant, squares, listed = (compose(*line, size).cfg for size in sizes)
    labs = [build(cfg, Alone()) for cfg in (constant, squares, listed)]
    assert [lab.sampled_by(2) for lab in labs] == [20, 320, 320]
    assert len({signature(cfg) for cfg in (constant, squares, listed)}) == 3
    assert OmegaConf.to_container(squares, resolve=True)["dataset"]["rows"] == 20  # type: ignore[call-overload, index]


def test_each_generation_samples_what_the_next_one_trains_on(tmp_path: Path) -> None:
    records = chain(tmp_path, *GAUSSIAN, "generations=3", "model.replicas=2", "n_train={by_generation: [30, 5, 70, 9]}")
    assert trained_on(records) == [30, 5, 70, 9]
    assert [record.counts["real"] for record in records] == [30, 0, 0, 0]
    more_samples = ["generations=2", "n_train={by_generation: [30, 5, 20]}", "n_samples=25", "model.replicas=2"]
    assert trained_on(chain(tmp_path / "b", *GAUSSIAN, *more_samples)) == [30, 5, 20]


def test_a_constant_written_as_a_schedule_is_the_same_chain(tmp_path: Path) -> None:
    size = [*GAUSSIAN, "generations=3", "model.replicas=3"]
    plain = chain(tmp_path / "a", *size, "n_train=30")
    written = chain(tmp_path / "b", *size, "n_train={first: 30, exponent: 0}")
    assert [record.keys for record in plain] == [record.keys for record in written]
    assert [record.metrics for record in plain] == [record.metrics for record in written]


@pytest.mark.parametrize("estimator", ["ml", "unbiased"])
def test_sizes_that_grow_as_squares_stop_the_collapse(tmp_path: Path, estimator: str) -> None:
    size = [*GAUSSIAN, "generations=9", "model.replicas=1500", f"model.estimator={estimator}"]
    grown, constant = chain(tmp_path / "g", *size, SQUARES), chain(tmp_path / "c", *size, "n_train=20")
    assert trained_on(grown) == [20 * g**2 for g in range(1, 11)]
    for name in ("variance", "log_variance", "mean_error", "wasserstein_risk"):
        assert off(grown, name) < 3.5
    bound = 1.5 * inverse_sum_limit(20, 2)
    assert (
        series(grown, "wasserstein_risk_theory")[-1] < bound
    )  # the measured risk agrees with its theory, which the loop above checks
    assert series(grown, "wasserstein_risk").max() < bound
    assert series(constant, "wasserstein_risk")[-1] > 3 * bound
    assert series(grown, "variance_median")[-1] > 0.85 * series(grown, "variance_median")[0] > 0.75
    assert series(constant, "variance_median")[-1] < 0.7 * series(constant, "variance_median")[0]


@pytest.mark.parametrize("more", [[], ["mixing=accumulate", "store=all"]], ids=["replace", "accumulate"])
@pytest.mark.parametrize("sizes", [[40, 10, 160, 20, 5], [10, 20, 30, 40, 50]], ids=str)
def test_theory_of_gaussians_follows_the_schedule(tmp_path: Path, more: list[str], sizes: list[int]) -> None:
    line = [*GAUSSIAN, "generations=4", "model.replicas=3000", f"n_train={{by_generation: {sizes}}}", *more]
    records, m, g = chain(tmp_path, *line), np.array(sizes), np.arange(5)
    moments = accumulate.accumulate_moments(g, m, "ml").variance
    expected = moments if more else gaussian.expected_variance(g, m, "ml")
    np.testing.assert_allclose(series(records, "variance_theory"), expected)
    assert off(records, "variance") < 3.5
    assert off(records, "mean_error") < 3.5


def test_theory_of_drift_and_regression_follows_the_schedule(tmp_path: Path) -> None:
    discrete = ["model=discrete", "dataset=categories", "probes=[drift]", "dataset.categories=10", "generations=4"]
    sizes = "n_train={by_generation: [40, 10, 80, 20, 30]}"
    records = chain(tmp_path / "d", *GAUSSIAN, *discrete, sizes, "model.replicas=3000")
    for name in ("heterozygosity", "support", "mass_lost"):
        assert off(records, name) < 3.5
    line = ["+experiment=accumulate_vs_replace", "sinks=[]", sizes, "generations=4", "dataset.dimension=3"]
    for mixing in ("replace", "accumulate"):
        fresh = [*line, f"mixing={mixing}", "model.inputs=fresh", "model.replicas=3000"]
        records = chain(tmp_path / mixing, *fresh)
        assert off(records, "test_error") < 3.5
    expected = regression.accumulate_error(np.arange(5), np.array([40, 10, 80, 20, 30]), 3, "fresh")
    np.testing.assert_allclose(series(records, "test_error_theory"), expected)


def test_fresh_real_rows_are_used_once_under_every_schedule(tmp_path: Path) -> None:
    sizes = ["generations=3", "model.replicas=2", "n_train={by_generation: [10, 4, 20, 8]}", "store=all"]
    line = [*GAUSSIAN, *sizes, "mixing=fresh", "ratio=0.5"]
    records = chain(tmp_path / "a", *line, "dataset.rows=26")
    assert [record.counts["real"] for record in records] == [10, 2, 10, 4]
    # No law is known for fresh rows of different sizes, so the ledger has no theory
    assert not [name for name in records[-1].metrics if name.endswith("_theory")]
    with pytest.raises(UserError, match="needs 16 beyond those of generation 0 and there are 15"):
        chain(tmp_path / "b", *line, "dataset.rows=25")


def test_a_list_that_ends_too_soon_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ends at generation 1, and generations=4"):
        chain(tmp_path, *GAUSSIAN, "generations=4", "n_train={by_generation: [20, 20]}")
    assert not (tmp_path / "ledger.jsonl").exists()


def test_metrics_of_features_need_the_same_number_of_samples_in_every_generation() -> None:
    schedule = "{by_generation: [64, 64, 100]}"
    line = ["+experiment=nepotistic", "device=cpu", "generations=2", "mixing=replace", f"n_train={schedule}"]
    constant, scheduled = (compose(*line, f"n_samples={n}").cfg for n in (100, schedule))
    assert build(constant, Alone()).n_train == (64, 64, 100, 100)
    with pytest.raises(UserError, match="give one number, such as n_samples=100"):
        build(scheduled, Alone())


def test_conditions_are_made_once_for_each_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[int] = []
    conditions = Everything.conditions

    def counted(self: Everything, n: int, *rest: Any) -> Conditions:
        requested.append(n)
        return conditions(self, n, *rest)

    monkeypatch.setattr(Everything, "conditions", counted)
    sizes = (40, 40, 60, 40, 60, 60)
    steps = Chain(tmp_path, Contaminate(0.5, initial="all"), generations=4, n=sizes).plan()
    assert [step.counts["synthetic"] for (step,) in steps] == [0, 20, 30, 20, 30]
    assert sorted(requested) == [40, 50, 60]  # the 50 are those of the picture grid


@pytest.mark.parametrize(("generations", "each"), [(24_999, 2), (4000, 2), (9999, 5), (0, 50_000)])
def test_a_plan_of_up_to_50000_fits_and_samplings_is_admitted(generations: int, each: int) -> None:
    check_stages(generations, each)


@pytest.mark.parametrize(
    ("generations", "each", "most"), [(25_000, 2, 24_999), (10_000, 5, 9999), (99_999_999_999, 2, 24_999)]
)
def test_a_longer_plan_is_refused_and_the_message_says_how_long_one_may_be(
    generations: int, each: int, most: int
) -> None:
    with pytest.raises(UserError, match=f"generations={generations} is .* give generations={most} or fewer"):
        check_stages(generations, each)
    check_stages(most, each)
