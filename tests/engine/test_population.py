from __future__ import annotations

from typing import Any

import pytest

from collapse_lab.config.binding import bind
from collapse_lab.engine.population import Population
from collapse_lab.errors import UserError


def test_without_exposure_each_model_trains_on_its_own_output() -> None:
    single = Population()
    assert (single.names, single.lineages, single.sources(0)) == (["model"], {"model": "previous"}, {1: 1.0})
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
    for lineage in ("prevoius", {"a": "prevoius"}):
        with pytest.raises(UserError, match=r"population\.lineage.*previous.*prevoius|did you mean 'previous'"):
            bind({"_target_": f"{Population.__module__}.Population", "lineage": lineage}, "population")


def test_each_member_may_have_a_lineage_of_its_own() -> None:
    members: dict[str, Any] = {"a": {}, "b": {}, "c": {}}
    assert set(Population("first", members).lineages.values()) == {"first"}
    assert Population({"b": "scratch"}, members).lineages == {"a": "previous", "b": "scratch", "c": "previous"}
    with pytest.raises(UserError, match=r"population\.lineage names no member: 'd'"):
        Population({"d": "scratch"}, members)


def test_under_a_name_members_learn_from_those_that_drew_in_the_generation_before() -> None:
    present: dict[str, list[int | None]] = {"b": [2, 3]}
    population = Population(members={"a": {}, "b": {}, "c": {}}, exposure="complete", present=present)
    assert [population.is_present(1, g) for g in range(5)] == [False, False, True, True, False]
    assert population.sources(0, 2) == {1: 0.5, 2: 0.0, 3: 0.5}
    for generation in (3, 4):  # what b drew in generation 3 is trained on in generation 4
        assert population.sources(0, generation) == pytest.approx({1: 1 / 3, 2: 1 / 3, 3: 1 / 3})
    assert population.sources(0, 5) == {1: 0.5, 2: 0.0, 3: 0.5}


@pytest.mark.parametrize("exposure", [[[0.5, 0.5], [0.5, 0.5]], "one_way"], ids=str)
def test_a_member_that_leaves_while_another_still_learns_from_it_is_refused(exposure: Any) -> None:
    population = Population(members={"a": {}, "b": {}}, exposure=exposure, present={"a": [0, 1]})
    population.sources(1, 2)
    with pytest.raises(UserError, match="in generation 3 'b' would learn from a, who drew nothing in generation 2"):
        population.sources(1, 3)


@pytest.mark.parametrize(
    ("present", "message"),
    [
        ({"d": [0, 1]}, "population.present names no member: 'd'"),
        ({"a": [0]}, "a first and a last generation, such as"),
        ({"a": [-1, None]}, "a first and a last generation, such as"),
        ({"a": [None, 3]}, "a first and a last generation, such as"),
        ({"a": [3, 2]}, "population.present.a ends in generation 2, before it begins in 3"),
    ],
)
def test_generations_that_are_no_span_are_refused(present: dict[str, list[int | None]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Population(members={"a": {}, "b": {}}, present=present)
