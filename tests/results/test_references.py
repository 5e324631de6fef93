"""Numbers that are measured against generation 0 say so, and are never compared with those against real rows."""

from __future__ import annotations

from typing import Any

import pytest

from collapse_lab.errors import UserError
from collapse_lab.report import classes, curves, summary, tables
from collapse_lab.results.collect import Collection, gathered
from collapse_lab.results.comparable import comparable_groups, require_comparable
from tests.results.memory_runs import PRINT, run

DRIFT = {**PRINT, "unseen": {"n": 600, "reference": "generation 0"}}
FID, SCORE = "unseen/classifier/fid", "unseen/classifier/clip_score"
VALUES: dict[str, Any] = {
    "seen/classifier/fid": [3.0, 4.0],
    "seen/classifier/fid_floor": [1.0, 1.0],
    FID: [None, 2.0],
    f"{FID}_floor": [None, 0.5],
    SCORE: [30.0, 20.0],
    f"{SCORE}_floor": [30.0, 30.0],
}


@pytest.fixture(scope="module")
def collection() -> Collection:
    return gathered([run(VALUES, 0, {"classifier": DRIFT})])


def test_names_say_what_they_are_against(collection: Collection) -> None:
    said = {name.key: (name.where, name.floor_of[0]) for name in collection.names}
    assert said == {
        "seen/classifier/fid": ("seen prompts", "floor: real against real"),
        FID: ("unseen prompts against generation 0", "floor: generation 0, drawn twice"),
        SCORE: ("unseen prompts", "floor: real against real"),
    }


def test_pages_say_it_too(collection: Collection) -> None:
    section = tables.runs(collection)
    assert {"FID seen", "FID unseen against generation 0"} <= set(section.context["header"])
    assert section.context["foot"][0] == "floor: real against real | floor: generation 0, drawn twice"
    key = curves.key_section(collection) or curves.first_section(collection)
    assert key is not None
    (drawn,) = [plot for plot in key.plots if plot.caption.where == "unseen prompts against generation 0"]
    assert "floor: generation 0, drawn twice" in drawn.svg
    alone = gathered([run({FID: [None, 2.0, 3.0], f"{FID}_floor": [None, 0.5, 0.5]}, 0, {"classifier": DRIFT})])
    (sentence,) = summary.headline(alone)
    assert sentence.startswith("FID on unseen prompts against generation 0 rose from 2 to 3")
    assert sentence.endswith("(floor, two draws of generation 0: 0.5).")


def test_numbers_of_the_two_kinds_are_not_compared() -> None:
    runs = [run(VALUES, 0), run(VALUES, 1, {"classifier": DRIFT})]
    assert len(comparable_groups(runs)) == 2
    with pytest.raises(UserError, match="with real rows here and with generation 0 there for unseen prompts"):
        require_comparable(runs, FID)


def test_groups_have_one_heat_map_and_no_curves_of_their_own() -> None:
    prints = {**PRINT, "unseen": {"n": 600, "groups": ["a hen", "a cow"]}}
    recalls = {f"unseen/classifier/group_recall_{g}": [0.8, 0.8 - 0.5 * g] for g in (0, 1)}
    others = {"unseen/classifier/group_kid_0": [0.0, 0.1], "unseen/classifier/groups_surviving": [1.0, 0.5]}
    both = gathered([run({**recalls, **others}, 0, {"classifier": prints})])
    section = classes.section_of_groups(both)
    assert section is not None
    (drawn,) = section.plots
    assert drawn.caption.title == "Recall of each group"
    assert all(word in drawn.svg for word in ("a hen", "a cow", "0.30"))
    assert classes.section(both) is None
    rest = curves.other_section(both) or curves.first_section(both)
    assert rest is not None
    assert not any("group-" in plot.stem for plot in rest.plots)
