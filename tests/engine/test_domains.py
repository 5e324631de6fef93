"""Populations whose members have private rows, through planner, loop and ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collapse_lab.engine.domains import NOBODY, check_domains, owners_of
from collapse_lab.engine.population import Population
from collapse_lab.errors import UserError
from collapse_lab.mixing.accumulate import Accumulate
from collapse_lab.mixing.base import Policy
from collapse_lab.mixing.contaminate import Contaminate
from collapse_lab.mixing.interacting import Interacting
from collapse_lab.mixing.replace import Replace
from tests.standins import DIGITS, Chain, Gaussian, StopAt

PAIR: dict[str, dict[str, Any]] = {"a": {"mark": 10}, "b": {"mark": 20}}
SETS = {"low": [0, 1, 2], "high": [3, 4, 5], "rest": [6, 7]}
PRIVATE: dict[str, Any] = {
    "private": {"a": "low", "b": "high"},
    "public": "rest",
    "generates": {"a": "low", "b": "high"},
}


def masks() -> dict[str, np.ndarray]:
    labels = DIGITS.load().train.labels
    return {name: np.isin(labels, numbers) for name, numbers in SETS.items()}


def test_rows_are_owned_by_the_member_whose_prompt_set_they_belong_to() -> None:
    labels = DIGITS.load().train.labels
    owners = owners_of(Population(members=PAIR, **PRIVATE), masks(), len(labels))
    assert owners is not None
    assert [set(owners[np.isin(labels, part)]) for part in ([0, 1, 2], [3, 4, 5], [6, 7], [8, 9])] == [
        {1},
        {2},
        {0},
        {-1},
    ]
    without = owners_of(Population(members=PAIR, private={"a": "low"}), masks(), len(labels))
    assert without is not None
    assert NOBODY not in without
    assert owners_of(Population(members=PAIR), {}, 3) is None


def test_a_row_of_two_owners_is_refused() -> None:
    for changes in ({"private": {"a": "low", "b": "low"}}, {"private": {"a": "low"}, "public": "low"}):
        population = Population(members=PAIR, **changes)
        with pytest.raises(UserError, match=r"are the prompt set 'low', and .* rows belong to another member already"):
            owners_of(population, masks(), len(masks()["low"]))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match=r"population.private names no member: 'c'"):
        Population(members=PAIR, private={"c": "low"})
    with pytest.raises(UserError, match=r"population.generates names no member: 'c'"):
        Population(members=PAIR, generates={"c": "low"})
    with pytest.raises(UserError, match=r"population.public=rest sets rows apart .* population.private is empty"):
        Population(members=PAIR, public="rest")
    with pytest.raises(UserError, match=r"population.private.b names no prompt set: 'hihg'; did you mean 'high'"):
        check_domains(Population(members=PAIR, private={"a": "low", "b": "hihg"}), SETS)


@pytest.fixture
def training_sets(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[int, str], np.ndarray]:
    """Collect the labels of the training set of each generation and member."""
    fitted: dict[tuple[int, str], np.ndarray] = {}
    fit = Gaussian.fit

    def recording_fit(self: Gaussian, data: Any, budget: Any, seeds: Any, progress: Any) -> None:
        fitted[seeds.generation, seeds.model] = data.labels
        fit(self, data, budget, seeds, progress)

    monkeypatch.setattr(Gaussian, "fit", recording_fit)
    return fitted


def test_a_member_trains_on_its_private_rows_on_public_ones_and_on_what_all_generate(
    tmp_path: Path, training_sets: dict[tuple[int, str], np.ndarray]
) -> None:
    chain = Chain(tmp_path, Interacting(0.5, 0.5), PAIR, exposure="complete", sets=SETS, generations=2, **PRIVATE)
    assert chain.run() == "ok"
    assert chain.records[0].counts == {
        "real": 40, "synthetic": 0, "private": 20, "public": 20, "from_a": 0, "from_b": 0
    }  # fmt: skip
    for member, own, other in (("a", "low", "high"), ("b", "high", "low")):
        first, later = training_sets[0, member], training_sets[2, member]
        assert set(first) <= {*SETS[own], *SETS["rest"]}
        of = {name: int(np.isin(later, numbers).sum()) for name, numbers in SETS.items()}
        assert of == {own: 20, other: 10, "rest": 10}
        assert chain.trained_on(2, member) == {0: 20, 10: 10, 20: 10}
    counts = {"real": 20, "synthetic": 20, "private": 10, "public": 10, "from_a": 10, "from_b": 10}
    assert [record.counts for record in chain.records if record.generation == 2] == [counts, counts]


@pytest.mark.parametrize(
    "policy", [Contaminate(0.5), Accumulate(), Replace()], ids=lambda policy: type(policy).__name__
)
def test_no_policy_gives_a_member_the_private_rows_of_another(
    policy: Policy, tmp_path: Path, training_sets: dict[tuple[int, str], np.ndarray]
) -> None:
    Chain(tmp_path, policy, PAIR, sets=SETS, generations=1, **PRIVATE).run()
    for generation in (0, 1):
        assert not np.isin(training_sets[generation, "a"], SETS["high"]).any()
        assert not np.isin(training_sets[generation, "b"], SETS["low"]).any()


def test_public_rows_without_a_name_are_those_that_are_retrained(
    tmp_path: Path, training_sets: dict[tuple[int, str], np.ndarray]
) -> None:
    sets = {"low": [3, 4]}
    Chain(
        tmp_path, Contaminate(0, "all"), PAIR, sets=sets, retrain=[0, 1], generations=1, private={"a": "low"}, n=60
    ).run()
    assert set(training_sets[0, "b"]) == {0, 1, 2, 5, 6, 7, 8, 9}
    assert set(training_sets[1, "a"]) == {0, 1, 3, 4}
    assert set(training_sets[1, "b"]) == {0, 1}


def test_an_exposure_may_change_over_the_generations(tmp_path: Path) -> None:
    exposure = {"by_generation": ["own", "own", [[0, 1], [1, 0]]]}
    chain = Chain(tmp_path, Replace(), PAIR, exposure=exposure, generations=3)
    chain.run()
    assert [list(chain.trained_on(g, "a")) for g in (1, 2, 3)] == [[10], [20], [20]]
    assert [record.counts["from_b"] for record in chain.records if record.model == "a"] == [0, 0, 40, 40]


def test_families_that_cannot_weigh_rows_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    chain = Chain(tmp_path, Interacting(0.5, by="weights"), PAIR, exposure="complete", sets=SETS, **PRIVATE)
    with pytest.raises(UserError, match=r"the family of 'a' cannot weigh rows; give mixing.by=rows"):
        chain.plan()
    assert not (tmp_path / "store").exists()


def test_stopped_and_started_again_it_ends_the_same(tmp_path: Path) -> None:
    def chain(name: str) -> Chain:
        policy = Interacting(0.5, draw="own")
        return Chain(tmp_path / name, policy, PAIR, exposure="ring", sets=SETS, generations=2, **PRIVATE)

    assert chain("whole").run() == "ok"
    with pytest.raises(KeyboardInterrupt):
        chain("stopped").run(StopAt(1, "sample low"))
    assert chain("stopped").run() == "ok"
    assert chain("stopped").records == chain("whole").records
