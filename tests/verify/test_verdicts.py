"""The one rule, alone and from ledgers: every verdict is reached by numbers, and by nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapse_lab.results.collect import collect
from collapse_lab.verify.claims import read
from collapse_lab.verify.judgement import Judgement, judged
from collapse_lab.verify.measured import Measured, Needed, judge
from tests.verify.made import FID, PRINT, claim, claims_file, sweep, write


@pytest.mark.parametrize(
    ("interval", "needed", "verdict"),
    [
        ((1.6, 2.0), Needed(low=1.5), "reproduced"),
        ((1.5, 2.0), Needed(low=1.5), "reproduced"),
        ((1.4, 2.0), Needed(low=1.5), "inconclusive"),
        ((1.0, 1.4), Needed(low=1.5), "not reproduced"),
        ((-0.4, -0.3), Needed(high=-0.25), "reproduced"),
        ((-0.3, 0.1), Needed(high=-0.25), "inconclusive"),
        ((0.0, 0.1), Needed(high=-0.25), "not reproduced"),
        ((-0.05, 0.09), Needed(-0.1, 0.1), "reproduced"),
        ((-0.2, 0.09), Needed(-0.1, 0.1), "inconclusive"),
        ((-0.2, 0.2), Needed(-0.1, 0.1), "inconclusive"),
        ((0.11, 0.2), Needed(-0.1, 0.1), "not reproduced"),
        ((3.0, math.inf), Needed(high=2.0), "not reproduced"),
        ((1.0, math.inf), Needed(high=2.0), "inconclusive"),
        ((None, None), Needed(low=1.5), "inconclusive"),
    ],
)
def test_the_rule(interval: tuple[float | None, float | None], needed: Needed, verdict: str) -> None:
    assert judge(Measured(99.0, *interval, 3), needed)[0] == verdict


def test_nothing_measured_is_not_run() -> None:
    assert judge(Measured(None, note="why"), Needed(low=1.0)) == ("not run", "why")


@given(*[st.floats(-10, 10)] * 4)
def test_a_claim_and_its_opposite_are_never_both_reproduced(a: float, b: float, c: float, d: float) -> None:
    measured = Measured((a + b) / 2, min(a, b), max(a, b), 3)
    verdicts = [judge(measured, needed)[0] for needed in (Needed(low=max(c, d) + 0.1), Needed(high=min(c, d)))]
    assert verdicts.count("reproduced") < 2
    if "reproduced" in verdicts:
        assert "not reproduced" in verdicts


def judgement(tmp_path: Path, **changes: Any) -> Judgement:
    (only,) = read(claims_file(tmp_path / "claims.yaml", claim(**changes)))
    return judged(only, collect([tmp_path / "runs"]).runs)


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ([4.0, 4.2, 3.8], "reproduced"),
        ([1.1, 1.1, 1.1], "not reproduced"),
        ([1.1, 1.6, 2.2], "inconclusive"),
        ([4.0], "inconclusive"),
        ([], "not run"),
    ],
)
def test_each_verdict_from_ledgers(tmp_path: Path, ends: list[float], verdict: str) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.05, 0.95], 1: ends})
    found = judgement(tmp_path)
    assert found.verdict == verdict
    assert found.measured.n == len(ends)
    if verdict == "not run":
        assert found.reason == "no run of the cell dosed"
        assert found.commands == ["python -m collapse_lab -m +experiment=nepotistic ratio=1,0 seed=0,1,2"]
    if ends == [4.0]:
        assert found.reason == "one seed gives no interval: run more"
        assert found.measured.note == "2 runs left out"


def test_a_generation_that_is_not_there_yet_is_not_run(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1], 1: [4.0, 4.1]})
    arguments = {"metric": FID, "cell": "dosed", "control": "control", "generation": 5}
    found = judgement(tmp_path, arguments=arguments)
    assert found.verdict == "not run"
    assert found.reason == f"no pair of runs has {FID} at generation 5"


def test_unlike_features_are_refused_with_what_differs(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0]})
    sweep(tmp_path / "runs", {1: [4.0, 4.1, 4.0]}, prints={**PRINT, "weights": "9a8b7c6d5e4f3a2b"})
    found = judgement(tmp_path)
    assert found.verdict == "inconclusive"
    assert "weights 9a8b7c… against 1f2e3d…" in found.reason
    assert found.measured.value is None


def test_of_several_scales_the_largest_is_judged_and_the_others_are_told(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [4.0, 4.1, 4.0]})
    tiny = {**PRINT, "seen": {"n": 64}}
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [1.0, 1.1, 1.1]}, "+scale=tiny", prints=tiny)
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [2.0, 2.1, 2.0]}, "model.guidance_scale=4")
    found = judgement(tmp_path)
    assert (found.verdict, found.setting, found.measured.n) == ("reproduced", (), 3)
    assert found.others[0].setting == ("guidance_scale 4 instead of 2",)
    assert found.others[0].verdict == "reproduced"
    assert found.others[1].verdict == "not reproduced"
    assert "n_samples 64 instead of 600" in found.others[1].setting


def test_cells_at_unlike_settings_are_not_brought_together(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0]})
    sweep(tmp_path / "runs", {1: [4.0, 4.1, 4.0]}, "+scale=tiny")
    found = judgement(tmp_path)
    assert (found.verdict, found.reason) == ("not run", "its cells were run, but with unlike settings")


def test_a_group_that_a_cell_names_must_be_the_one_that_ran(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0]})
    sweep(tmp_path / "runs", {1: [4.0, 4.1, 4.0]}, "curation=drop_worst")
    cells: dict[str, dict[str, Any]] = {"dosed": {"ratio": 1, "curation": "histogram"}, "control": {"ratio": 0}}
    assert judgement(tmp_path, cells=cells).reason == "no run of the cell dosed"
    cells["dosed"]["curation"] = "drop_worst"
    assert judgement(tmp_path, cells=cells).verdict == "reproduced"
    # A cell that names the default is not one that was run otherwise
    cells = {"dosed": {"ratio": 1, "curation": "none"}, "control": {"ratio": 0, "curation": "none"}}
    assert judgement(tmp_path, cells=cells).reason == "no run of the cell dosed"


@pytest.mark.parametrize(
    ("statistic", "arguments", "value"),
    [
        ("difference", {"control": "control", "generation": 1}, 3.0),
        ("ratio", {"control": "control"}, 4.0),
        ("change", {"since": 0, "until": 1}, 3.0),
        ("growth", {"since": 0, "until": 1}, 4.0),
        ("times_floor", {}, 8.0),
        ("times_floor", {"generation": 0}, 2.0),
        ("rate", {}, 3.0),
        ("time_to_collapse", {"multiple": 4}, 1.0),
        ("half_life", {}, math.inf),
    ],
)
def test_every_statistic_of_a_known_ledger(
    tmp_path: Path, statistic: str, arguments: dict[str, Any], value: float
) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.0, 1.0], 1: [4.0, 4.0, 4.0]}, floor=0.5)
    found = judgement(tmp_path, statistic=statistic, arguments={"metric": FID, "cell": "dosed", **arguments})
    assert found.measured.value == pytest.approx(value)
    assert found.measured.n == 3


def test_healing_is_another_experiment(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path / "runs", ["+experiment=nepotistic", "ratio=1"], seed, [1.0, 4.0, 0.9])
    arguments = {"metric": FID, "cell": "healed", "since": 1, "until": 2}
    changes = {"cells": {"healed": {"ratio": 1}}, "statistic": "growth", "arguments": arguments}
    assert judgement(tmp_path, experiment="nepotistic_healing", **changes).verdict == "not run"
    assert judgement(tmp_path, **changes).measured.n == 2


def test_leaves_that_repeat_the_seed_or_the_generations_are_no_other_setting(tmp_path: Path) -> None:
    line, metric = ["+experiment=recursive_gaussian", "n_train=20"], "all/variance"
    for seed, longer in enumerate(([], ["generations=2"], ["generations=3"])):
        write(tmp_path / "runs", [*line, f"seed={seed}", *longer], seed, [1.0, 0.9, 0.4], metric)
    write(tmp_path / "runs", [*line, "dataset.seed=7"], 9, [1.0, 0.9, 0.8], metric)  # the same rows for all: another
    arguments = {"metric": metric, "cell": "few", "since": 0, "until": 2}
    cells = {"few": {"n_train": 20, "generations": 2}}
    found = judgement(tmp_path, experiment="recursive_gaussian", cells=cells, statistic="growth", arguments=arguments)
    assert (found.measured.n, found.setting) == (3, ())
    assert found.measured.value == pytest.approx(0.4)
    (other,) = found.others
    assert (other.measured.n, set(other.setting)) == (1, {"seed 7 instead of 0"})
