"""The spread of sampled points over chains, and the steps of parameters from generation to generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collapse_lab import compose, prepare
from collapse_lab.datasets.categories import Categories
from collapse_lab.datasets.mixture import Mixture
from collapse_lab.datasets.normal import Normal
from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.models.discrete import Discrete
from collapse_lab.models.gaussian import Gaussian
from collapse_lab.probes.sampled import Sampled
from collapse_lab.probes.steps import Steps
from collapse_lab.types import Prospect, Samples, Spec, Subject
from tests.e2e import command
from tests.models.points import fitted, normal
from tests.probes.cases import RNG, look, process


def test_the_sampled_variance_is_about_the_real_mean() -> None:
    rows = normal(40, 30, 2) * 0.7 + 0.4
    truth = Normal(dimension=2, std=[1.0, 3.0], rows=40)
    estimates = look(Sampled(truth, process(n=40)), fitted(Gaussian, rows, estimator="unbiased"), rows)
    assert estimates["sampled_variance"].value == pytest.approx(float((rows**2).mean()))
    # The trace of diag(1, 9), over two axes, times 1 + 1/M
    assert estimates["sampled_variance_theory"].value == pytest.approx(5 * (1 + 1 / 40))
    accumulated = look(Sampled(truth, process(Accumulate(), n=40)), fitted(Gaussian, rows), rows)
    assert accumulated["sampled_variance_theory"].value == pytest.approx(5)


def test_a_sampled_variance_has_theory_only_where_there_is_one() -> None:
    rows = normal(40, 3, 2)
    model = fitted(Gaussian, rows)
    assert set(look(Sampled(Mixture(), process()), model, rows)) == {"sampled_variance"}
    assert set(look(Sampled(Normal(dimension=2), process(Contaminate(0.5))), model, rows)) == {"sampled_variance"}


def test_steps_are_squared_distances_from_the_model_before() -> None:
    rows, before = normal(50, 20, 2) * 2 + 1, normal(50, 20, 2, seed=1)
    model, previous = fitted(Gaussian, rows), fitted(Gaussian, before)
    samples = Samples(rows, np.full(len(rows), -1))
    estimates = Steps()(Subject(model, lambda: previous, samples, samples, previous=lambda: previous), RNG)
    means, means_before = rows.mean(0).numpy(), before.mean(0).numpy()
    widths, widths_before = (np.sqrt(x.numpy().var(0).mean(-1)) for x in (rows, before))
    assert estimates["mean_step"].value == pytest.approx(((means - means_before) ** 2).sum(1).mean())
    assert estimates["std_step"].value == pytest.approx(((widths - widths_before) ** 2).mean())
    assert look(Steps(), model, rows) == {}  # generation 0 has no model before it


def test_other_data_sets_and_families_are_refused() -> None:
    with pytest.raises(UserError, match="give dataset=normal or dataset=mixture"):
        Sampled(Categories(), process())
    model: Any = fitted(Discrete, normal(4, 2) * 0)
    with pytest.raises(UserError, match="needs points; these samples are of modality 'image'"):
        Sampled(Normal(), process()).check_run(Prospect(Spec("image", (1, 8, 8)), model, 2, 2))
    with pytest.raises(UserError, match="Discrete has no moments"):
        Steps().check_run(Prospect(Spec("points", (1, 1)), model, 2, 2))


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, float]]]:
    """Run three policies at a small size; return the metrics of every generation."""
    out = {}
    for policy in ("replace", "accumulate", "accumulate_subsample"):
        folder: Path = tmp_path_factory.mktemp(policy)
        small = ["generations=20", "n_train=50", "model.replicas=400", "model.estimator=unbiased"]
        probed = ["probes=[steps,sampled]", "store=all", "sinks=[]", f"paths.runs={folder}"]
        prepare(compose("+experiment=recursive_gaussian", f"mixing={policy}", *small, *probed)).run()
        lines = command.ledger(command.only_run(folder, "recursive_gaussian"))
        out[policy] = [dict(line["metrics"]) for line in lines]
    return out


def test_pooling_all_data_quietens_the_parameters_and_a_subsample_lets_them_jump(
    chains: dict[str, list[dict[str, float]]],
) -> None:
    late = {policy: np.mean([line["all/mean_step"] for line in lines[15:]]) for policy, lines in chains.items()}
    assert "all/mean_step" not in chains["replace"][0]
    # By theory: 1/M under replace; 1/(M (g + 1)²), about 1/330 of it, where all is pooled; about 2/M of a subsample
    assert late["replace"] == pytest.approx(1 / 50, rel=0.1)
    assert late["accumulate"] < late["replace"] / 200
    assert late["accumulate_subsample"] > late["replace"]


def test_the_variance_of_a_sampled_point_grows_by_the_paper_s_law(chains: dict[str, list[dict[str, float]]]) -> None:
    for generation, line in enumerate(chains["replace"]):
        assert line["all/sampled_variance_theory"] == pytest.approx(1 + (generation + 1) / 50)
        half = (line["all/sampled_variance_hi"] - line["all/sampled_variance_lo"]) / 2
        assert abs(line["all/sampled_variance"] - line["all/sampled_variance_theory"]) < 4 / 1.96 * half
