"""Prompts that no real row carries are compared with what generation 0 made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from collapse_lab.engine.checks import check_run
from collapse_lab.engine.lab import Lab, PromptSets
from collapse_lab.engine.payloads import features_of
from collapse_lab.errors import UserError
from collapse_lab.prompts import Everything, Template
from collapse_lab.types import Comparison, PromptSet, Split
from tests.engine.cases import Flat, Recorder, lab_with, laid_out, no_model
from tests.engine.test_ruler import Informed, rows
from tests.standins import DIGITS, Chain, Gaussian, StopAt

NEW = Template(["a purple {n}"], {"n": ["cow", "hen"]})  # captions that no digit has
OLD = Template(["a handwritten {n}"], {"n": ["one", "two"]})
SIZES = {"n": 40, "n_reference": 40, "n_floor": 40, "reference": "generation 0"}


@dataclass
class Alone(Recorder):
    """Record its calls, and say nothing of the rows that it is compared with."""

    compares: ClassVar[bool] = False


@dataclass
class Choosy(Recorder):
    """Record the sizes that it is asked for, and refuse more than 50 rows to compare with."""

    asked: list[Comparison] = field(default_factory=list)

    def check_run(self, comparison: Comparison) -> None:
        self.asked.append(comparison)
        if comparison.real > 50:
            raise UserError("too many")


def with_sets(lab: Lab, **sets: PromptSet) -> Lab:
    return replace(lab, prompts=PromptSets({"all": Everything(), **sets}, "all"))


def lab_of(folder: Path, metric: Any, **sets: PromptSet) -> Lab:
    return with_sets(lab_with(folder, {"flat": Flat()}, {"metric": metric}), **sets)


def test_samples_are_compared_with_those_of_generation_0(tmp_path: Path) -> None:
    metric = Recorder()
    lab = lab_of(tmp_path, metric, new=NEW)
    ruler, steps = laid_out(lab)
    ruler.prepare()
    readings = [ruler.measure(step, no_model, steps[0]) for step in steps]
    first, *later = [rows(features_of(ruler.features_of(step)[1].value())) for step in steps]
    assert [name for name in readings[0].metrics if name.startswith("new/")] == []
    for number, reading in enumerate(readings[1:]):
        generated, compared = next(call for call in metric.calls if rows(call[0]) == later[number])
        assert rows(compared) == first
        assert reading.metrics["new/flat/mean"] == float(generated.values.double().mean())
        assert reading.metrics["new/flat/mean_floor"] == readings[1].metrics["new/flat/mean_floor"]
    assert {tuple(rows(real)) for _, real in metric.calls if len(real) == 40} == {tuple(first)}
    assert all(reading.features["flat"]["new"] == SIZES for reading in readings)
    assert "reference" not in readings[0].features["flat"]["all"]


def test_the_floor_is_between_two_draws_of_generation_0(tmp_path: Path) -> None:
    metric = Recorder()
    ruler, steps = laid_out(lab_of(tmp_path, metric, new=NEW))
    assert list(steps[0].again) == ["new"]
    assert not any(step.again for step in steps[1:])
    reading = ruler.measure(steps[1], no_model, steps[0])
    again, first = [call for call in metric.calls if len(call[1]) == 40][-1]  # behind that of the samples
    assert rows(first) == rows(features_of(ruler.features_of(steps[0])[1].value()))
    assert len(again) == 40
    assert not set(rows(again)) & set(rows(first))
    assert reading.metrics["new/flat/mean_floor"] == float(again.values.double().mean())
    # Another seed of the run has another floor, because its generation 0 is another one
    other = replace(lab_of(tmp_path, metric, new=NEW), seed=1)
    ruler, steps = laid_out(other)
    assert (
        ruler.measure(steps[1], no_model, steps[0]).metrics["new/flat/mean_floor"]
        != reading.metrics["new/flat/mean_floor"]
    )


def test_a_metric_that_does_not_compare_has_a_value_in_generation_0(tmp_path: Path) -> None:
    ruler, steps = laid_out(lab_of(tmp_path, Alone(), new=NEW))
    values = [ruler.measure(step, no_model, steps[0]).metrics for step in steps]
    assert all({"new/flat/mean", "new/flat/mean_floor"} <= metrics.keys() for metrics in values)


def test_a_metric_against_training_rows_stays_against_them(tmp_path: Path) -> None:
    against: Split = "train"
    metric = Recorder(against=against)
    ruler, steps = laid_out(lab_of(tmp_path, metric, new=NEW))
    reading = ruler.measure(steps[0], no_model, steps[0])
    assert {"new/flat/mean", "new/flat/mean_floor"} <= reading.metrics.keys()
    assert not any(step.again for step in steps)
    assert {len(real) for _, real in metric.calls} == {len(DIGITS.load().train)}


def test_what_a_metric_knows_of_generation_0_is_computed_once(tmp_path: Path) -> None:
    metric = Informed()
    ruler, steps = laid_out(lab_of(tmp_path, metric, new=NEW))
    readings = [ruler.measure(step, no_model, steps[0]).metrics for step in steps]
    mean = float(features_of(ruler.features_of(steps[0])[1].value()).values.double().mean())
    assert [reading["new/flat/real"] for reading in readings[1:]] == [pytest.approx(mean)] * 2
    assert sorted(metric.looks) == [40, len(DIGITS.load().reference)]


def test_prompts_of_real_rows_and_those_that_are_trained_on_keep_their_real_rows(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, {"flat": Flat()}, {"metric": Recorder()})
    sets: dict[str, PromptSet] = {"old": OLD, "new": NEW}
    assert [name for name in ("all", *sets) if with_sets(lab, **sets).drifts(name)] == ["new"]
    assert not replace(lab, prompts=PromptSets(sets, "new")).drifts("new")
    based = replace(lab, prompts=PromptSets({"all": Everything(), **sets}, "all", base="new"))
    assert not based.drifts("new")


def test_without_such_prompts_the_plan_has_the_stages_that_it_had(tmp_path: Path) -> None:
    lab = lab_with(tmp_path, {"flat": Flat()}, {"metric": Recorder()})
    plain, both = laid_out(with_sets(lab)), laid_out(with_sets(lab, new=NEW))
    assert all(not step.again for step in plain[1])
    kept = {stage.key for stage in plain[0].stages}
    assert kept <= {stage.key for stage in both[0].stages}
    # Real rows that nothing is compared with are not embedded
    assert {stage.kind for stage in both[0].stages} == {stage.kind for stage in plain[0].stages}
    assert len(both[0].stages) == len(plain[0].stages)


def test_a_metric_is_asked_for_the_sizes_of_generation_0(tmp_path: Path) -> None:
    metric = Choosy()
    lab = lab_with(tmp_path, {"flat": Flat()}, {"metric": metric})
    lab = replace(lab, prompts=PromptSets({"new": NEW, "new2": Template(["a cow"])}, "new2"))
    with pytest.raises(UserError, match=r"^metrics\.metric of prompt set 'new2': too many"):
        check_run(lab, {"model": Gaussian(DIGITS.spec)})
    assert metric.asked[0] == Comparison(40, 40, varied=True)


@dataclass
class Drifting(Chain):
    """A chain with prompts that no real row carries."""

    def lab(self) -> Lab:
        return with_sets(super().lab(), new=NEW)


def test_each_member_is_compared_with_its_own_generation_0(tmp_path: Path) -> None:
    chain = Drifting(tmp_path, generations=1, members={"dark": {"mark": 1}, "light": {"mark": 200}})
    chain.run()
    last = {record.model: record.metrics for record in chain.records if record.generation == 1}
    alone = Drifting(tmp_path / "alone", generations=1, members={"dark": {"mark": 1}})
    alone.run()
    assert last["dark"]["new/pixels/fid_floor"] == alone.records[1].metrics["new/pixels/fid_floor"]
    assert last["dark"]["new/pixels/fid_floor"] != last["light"]["new/pixels/fid_floor"]


@pytest.mark.parametrize("keep", ["all", "metrics"])
def test_interrupted_equals_uninterrupted(tmp_path: Path, keep: str) -> None:
    whole, halves = (Drifting(tmp_path / name, keep=keep, every=2) for name in ("whole", "halves"))
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        halves.run(StopAt(2, "fit"))
    halves.run()
    assert halves.records == whole.records
    names = {name for name in whole.records[-1].metrics if name.startswith("new/")}
    assert names == {f"new/pixels/fid{end}" for end in ("", "_lo", "_hi", "_floor")}
    assert all(np.isfinite(value) for value in whole.records[-1].metrics.values())
