from __future__ import annotations

import pytest

from collapse_lab.config.binding import bind
from collapse_lab.engine.population import Population
from collapse_lab.errors import UserError


def test_without_exposure_each_model_trains_on_its_own_output() -> None:
    single = Population()
    assert (single.names, single.lineage, single.sources(0)) == (["model"], "previous", {1: 1.0})
    pair = Population(members={"bold": {"guidance_scale": 4}, "plain": {}})
    assert pair.names == ["bold", "plain"]
    assert [pair.sources(i) for i in (0, 1)] == [{1: 1.0, 2: 0.0}, {1: 0.0, 2: 1.0}]
    assert pair.members["bold"] == {"guidance_scale": 4}


def test_a_row_of_exposure_holds_the_shares_of_one_member() -> None:
    population = Population(members={"a": {}, "b": {}}, exposure=[[0.25, 0.75], [1, 0]])
    assert population.sources(0) == {1: 0.25, 2: 0.75}
    assert population.sources(1) == {1: 1.0, 2: 0.0}


def test_shares_may_miss_one_by_the_rounding_of_floats() -> None:
    row = [0.7, 0.2, 0.1]
    assert sum(row) != 1
    Population(members={"a": {}, "b": {}, "c": {}}, exposure=[row] * 3)


@pytest.mark.parametrize(
    ("exposure", "message"),
    [
        ([[0.5, 0.5]], "2 x 2"),
        ([[1], [1]], "2 x 2"),
        ([[1, 0], [0, 1], [0, 1]], "2 x 2"),
        ([[1, 0], [0.5, 0.4]], "row 1 of"),
        ([[1.5, -0.5], [0, 1]], "row 0 of"),
        ([[float("nan"), 1], [0, 1]], "row 0 of"),
    ],
)
def test_an_exposure_that_is_not_row_stochastic_is_refused(exposure: list[list[float]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Population(members={"a": {}, "b": {}}, exposure=exposure)


def test_an_unknown_lineage_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'previous'"):
        bind({"_target_": f"{Population.__module__}.Population", "lineage": "prevoius"}, "population")
