"""The page shows groups in the order in which they vanish, and the generation in which each does."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from collapse_lab.report import classes, page, vanishing
from collapse_lab.results.collect import Collection, gathered
from tests.report.test_plots import texts
from tests.results.memory_runs import PRINT, run
from tests.results.test_sections import texts_of

GROUPS = ["old man", "young man", "old woman"]
PRINTS = {"classifier": {**PRINT, "seen": {"n": 600, "groups": GROUPS}}}
TIMES = ([None, 3, 1], [None, 3, 2], [None, None, 2])  # of each seed: when each group vanishes


def values(times: list[int | None], subset: str = "seen") -> dict[str, list[float]]:
    return {
        f"{subset}/classifier/group_recall_{g}": [0.8 if time is None or i < time else 0.05 for i in range(5)]
        for g, time in enumerate(times)
    }


def collection(seeds: int, **settings: Any) -> Collection:
    return gathered([run(values(TIMES[seed]), seed, PRINTS, **settings) for seed in range(seeds)])


def test_the_heat_map_has_the_group_that_vanishes_first_on_top() -> None:
    section = classes.section_of_groups(collection(3))
    assert section is not None
    (drawn,) = section.plots
    words = {"old woman · g2", "young man · g3", "old man"}
    nodes = ElementTree.fromstring(drawn.svg).iter("{http://www.w3.org/2000/svg}text")
    labels = [text for node in nodes if (text := "".join(node.itertext()).strip()) in words]
    assert labels == ["old man", "young man · g3", "old woman · g2"]  # rows are drawn from the bottom up
    assert "0.05" in texts(drawn.svg)
    assert "the first on top" in section.note


def test_the_table_names_the_generation_with_an_interval_over_seeds() -> None:
    section = vanishing.section(collection(3))
    assert section is not None
    assert texts_of(section) == [
        {"group": "old woman", "vanishes in generation": "2", "interval": "1 to 2 (75 %)", "runs": "3"},
        {"group": "young man", "vanishes in generation": "3", "interval": "3 to never (75 %)", "runs": "3"},
        {"group": "old man", "vanishes in generation": "never", "interval": "never (75 %)", "runs": "3"},
    ]
    assert "stays below 0.1" in section.note
    assert not section.folded
    assert vanishing.section in page.SECTIONS


def test_a_single_run_has_no_interval() -> None:
    section = vanishing.section(collection(1))
    assert section is not None
    assert [row["interval"] for row in texts_of(section)] == ["–"] * 3


def test_each_configuration_and_each_prompt_set_has_an_order_of_its_own() -> None:
    control = values([None, None, None]) | values([None, None, 4], "unseen")
    harmed = values([1, 2, None]) | values([None, 3, 2], "unseen")
    section = vanishing.section(gathered([run(control, ratio=0), run(harmed, ratio=1)]))
    assert section is not None
    shown = ("ratio", "prompts", "group", "vanishes in generation")
    assert [tuple(row[key] for key in shown) for row in texts_of(section)] == [
        *(("0", "seen", group, "never") for group in "012"),
        ("0", "unseen", "2", "4"),
        *(("0", "unseen", group, "never") for group in "01"),
        *(("1", "seen", *pair) for pair in (("0", "1"), ("1", "2"), ("2", "never"))),
        *(("1", "unseen", *pair) for pair in (("2", "2"), ("1", "3"), ("0", "never"))),
    ]


def test_pages_without_groups_or_later_generations_have_no_such_table() -> None:
    assert vanishing.section(gathered([run({"seen/classifier/fid": [1.0, 2.0]})])) is None
    assert vanishing.section(gathered([run({"seen/classifier/group_recall_0": [0.5]})])) is None


@pytest.mark.parametrize(("configurations", "folded", "listed"), [(13, False, 13), (14, True, 14), (81, True, 80)])
def test_a_long_table_is_folded_and_a_longer_one_leaves_configurations_out(
    configurations: int, folded: bool, listed: int
) -> None:
    section = vanishing.section(gathered([run(values(TIMES[0]), ratio=i) for i in range(configurations)]))
    assert section is not None
    assert section.folded is folded
    assert len({row["ratio"] for row in texts_of(section)}) == listed
    assert (f"{listed} of {configurations} configurations" in section.note) is (listed < configurations)
