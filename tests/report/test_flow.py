"""Whose rows each member of a population trains on, as the page stacks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collapse_lab.engine.population import Population
from collapse_lab.mixing.interacting import Interacting
from collapse_lab.report import flow
from collapse_lab.results.collect import collect
from collapse_lab.types import Record
from tests.report.test_members import write

pytestmark = pytest.mark.usefixtures("no_pdf")

POPULATION: dict[str, Any] = {
    "_target_": "collapse_lab.engine.population.Population",
    "members": {"a": {}, "b": {}},
    "exposure": [[0.25, 0.75], [1, 0]],
    "private": {"a": "novels", "b": "speeches"},
    "public": "public",
}
WEIGHTED = {"_target_": "collapse_lab.mixing.interacting.Interacting", "beta": 0.75, "by": "weights"}


def line(counts: dict[str, int], model: str = "a", generation: int = 1) -> Record:
    return Record(generation, model, counts, {}, {}, "ok", {}, {})


def test_rows_of_the_sources_are_stacked_to_one(tmp_path: Path) -> None:
    write(tmp_path / "runs" / "one")
    section = flow.section(collect([tmp_path]))
    assert section is not None
    assert [plot.caption.title for plot in section.plots] == ["Training rows of a", "Training rows of b"]
    assert [label for *_, label in section.context["legend"]] == ["private", "public", "from a", "from b"]
    assert section.note == flow.BY_ROWS


def test_a_member_that_learns_from_itself_alone_and_rows_without_an_owner_have_their_share() -> None:
    counts = {"real": 60, "synthetic": 40}
    assert flow._of_rows(line(counts | {"private": 45, "public": 15})) == {
        "private": 0.45,
        "public": 0.15,
        "from_a": 0.4,
    }
    assert flow._of_rows(line(counts | {"from_a": 10, "from_b": 30})) == {"real": 0.6, "from_a": 0.1, "from_b": 0.3}


def test_a_source_counts_by_its_weight_in_the_loss_and_not_by_its_rows(tmp_path: Path) -> None:
    for alpha in (0.1, 0.9):
        mixing = WEIGHTED | {"alpha": alpha}
        write(tmp_path / "runs" / f"{alpha}", ratio=alpha, mixing=mixing, population=POPULATION)
    groups = collect([tmp_path]).seed_groups
    known = [flow._weights(group) for group in groups]
    shares = [flow._flow(group, "a", weights) for group, weights in zip(groups, known, strict=True)]
    assert shares[0][0] == shares[1][0] == {"private": 0.75, "public": 0.25, "from_a": 0, "from_b": 0}
    for alpha, share in zip((0.1, 0.9), shares, strict=True):
        expected = [(1 - alpha) * 0.75, (1 - alpha) * 0.25, alpha * 0.25, alpha * 0.75]
        assert list(share[1].values()) == pytest.approx(expected)
    section = flow.section(collect([tmp_path]))
    assert section is not None
    assert [plot.caption.title for plot in section.plots][:2] == ["Loss of a by source", "Loss of b by source"]
    assert section.note == flow.BY_WEIGHTS


def test_rows_of_a_hidden_pool_weigh_the_same_whoever_made_them() -> None:
    population = Population(**{key: value for key, value in POPULATION.items() if key != "_target_"})
    hidden = Interacting(0.5, 0.5, by="weights", pool="hidden")
    counts = {"real": 20, "synthetic": 40, "private": 10, "public": 10, "from_a": 10, "from_b": 30}
    share = flow._of_weights(line(counts), hidden, population)
    assert share == pytest.approx({"private": 0.25, "public": 0.25, "from_a": 0.125, "from_b": 0.375})
    assert np.isclose(sum(share.values()), 1)


@pytest.mark.parametrize("mixing", [WEIGHTED | {"_target_": "my.Policy"}, WEIGHTED | {"unheard_of": 1}])
def test_weights_of_an_unknown_policy_are_said_to_be_unknown(tmp_path: Path, mixing: dict[str, Any]) -> None:
    write(tmp_path / "runs" / "one", mixing=mixing | {"alpha": 0.5}, population=POPULATION)
    section = flow.section(collect([tmp_path]))
    assert section is not None
    assert section.note == f"{flow.BY_ROWS} {flow.UNKNOWN}"
