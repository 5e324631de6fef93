"""Groups of prompt sets: labels, or prompts where a prompt has no label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from collapse_lab.engine.checks import check_run
from collapse_lab.engine.groups import Groups
from collapse_lab.engine.lab import Lab, PromptSets
from collapse_lab.engine.ruler import Ruler
from collapse_lab.errors import UserError
from collapse_lab.metrics.by_group import ByGroup
from collapse_lab.prompts import Everything, Template
from collapse_lab.types import PromptSet
from tests.engine.cases import Flat, Recorder, lab_with, laid_out, no_model
from tests.standins import DIGITS, Gaussian

NEW = Template(["a purple {n}"], {"n": ["hen", "cow"]})
MIXED = Template(["a handwritten {n}"], {"n": ["two", "one", "blot"]})  # no digit is a blot


@dataclass
class Grouped(Recorder):
    """Record its calls, and ask for groups."""

    grouped: ClassVar[bool] = True


def lab_of(folder: Path, metric: Any, retrain: str = "all", **sets: PromptSet) -> Lab:
    lab = lab_with(folder, {"flat": Flat()}, {"metric": metric})
    return replace(lab, prompts=PromptSets({"all": Everything(), **sets}, retrain))


def test_groups_are_labels_unless_a_prompt_has_none(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, Grouped(), new=NEW, mixed=MIXED)
    found = {name: Groups(lab, name, 40) for name in lab.prompts.sets}
    assert {name: (groups.prompts, groups.count) for name, groups in found.items()} == {
        "all": ((), 10),
        "new": (NEW.prompts, 2),
        "mixed": (MIXED.prompts, 3),
    }
    assert [bool(groups.digest) for groups in found.values()] == [False, True, True]


def test_rows_of_both_sides_belong_to_the_prompts_that_they_carry(tmp_path: Path) -> None:
    metric = Grouped()
    ruler, steps = laid_out(lab_of(tmp_path, metric, mixed=MIXED))
    reading = ruler.measure(steps[1], no_model, steps[0])
    assert reading.features["flat"]["mixed"]["groups"] == list(MIXED.prompts)
    assert reading.features["flat"]["all"]["groups"][:2] == ["zero", "one"]  # the words of the labels
    of_mixed = [pair for pair in metric.calls if pair[0].groups is not None]
    assert len(of_mixed) == 2  # samples, and the floor
    for generated, real in of_mixed:
        assert generated.groups is not None
        assert real.groups is not None
        labels = {0: 2, 1: 1, 2: -1}  # the group of a prompt -> its label
        assert {labels[int(g)] for g in real.groups.tolist()} == {1, 2}
        assert [labels[int(g)] for g in real.groups.tolist()] == real.labels.tolist()
        assert [labels[int(g)] for g in generated.groups.tolist()] == generated.labels.tolist()


def test_generation_0_has_the_groups_of_its_prompts(tmp_path: Path) -> None:
    metric = Grouped()
    ruler, steps = laid_out(lab_of(tmp_path, metric, new=NEW))
    ruler.measure(steps[1], no_model, steps[0])
    for rows in (rows for pair in metric.calls for rows in pair if len(rows) == 40 and (rows.labels < 0).all()):
        assert rows.groups is not None
        assert rows.groups.tolist() == [0, 1] * 20


def test_a_metric_that_does_not_ask_is_given_none(tmp_path: Path) -> None:
    metric = Recorder()
    ruler, steps = laid_out(lab_of(tmp_path, metric, new=NEW))
    reading = ruler.measure(steps[1], no_model, steps[0])
    assert all(rows.groups is None for pair in metric.calls for rows in pair)
    assert "groups" not in reading.features["flat"]["new"]


def floors(ruler: Ruler) -> set[str]:
    return {stage.key for stage in ruler.stages if stage.kind == "floor"}


def test_a_floor_depends_on_the_numbers_of_the_prompts_only_where_they_are_groups(tmp_path: Path) -> None:
    turned = Template(["a handwritten {n}"], {"n": ["one", "two", "blot"]})
    for metric, same in ((Recorder(), True), (Grouped(), False)):
        one, other = (floors(laid_out(lab_of(tmp_path, metric, mixed=sets))[0]) for sets in (MIXED, turned))
        assert (one == other) is same


@dataclass
class Extended(Grouped):
    """Ask for groups, and have been given further numbers."""

    additions: ClassVar[int] = 1


def test_floors_of_a_metric_with_further_numbers_are_computed_anew_and_its_runs_stay_the_same(tmp_path: Path) -> None:
    before, after = (lab_of(tmp_path, metric, new=NEW) for metric in (Grouped(), Extended()))
    assert before.metrics["metric"][1] == after.metrics["metric"][1]  # the identity, by which runs are signed
    (one, steps), (other, _) = laid_out(before), laid_out(after)
    assert floors(one)
    assert not floors(one) & floors(other)

    def of_generation_0(ruler: Ruler) -> set[str]:
        return {stage.key for stage in ruler.features_of(steps[0]) if stage.kind == "floor"}

    assert of_generation_0(one)
    assert not of_generation_0(one) & of_generation_0(other)


def test_by_group_is_measured_in_a_run_and_too_many_groups_are_refused(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, ByGroup(bootstrap=2), new=NEW)
    ruler, steps = laid_out(lab)
    first, second = (ruler.measure(step, no_model, steps[0]).metrics for step in steps[:2])
    assert {f"new/flat/group_recall_{group}{end}" for group in (0, 1) for end in ("", "_lo", "_hi", "_floor")} <= set(
        second
    )
    assert not any(name.startswith("new/") for name in first)
    assert {"all/flat/groups_surviving", "all/flat/groups_surviving_floor"} <= set(first)
    assert {f"all/flat/group_{of}_sd{end}" for of in ("recall", "kid") for end in ("", "_lo", "_hi", "_floor")} <= set(
        first
    )
    assert {f"all/flat/group_kid_{group}" for group in range(10)} <= set(first)
    with pytest.raises(UserError, match=r"^metrics\.metric of prompt set 'all': 40 samples of 10 groups are 4 a group"):
        check_run(lab_of(tmp_path, ByGroup(k=4), new=NEW), {"model": Gaussian(DIGITS.spec)})
