"""The rule that judges claims, alone and from ledgers: every verdict depends on numbers only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from collapse_lab.results.collect import collect
from collapse_lab.verify.claims import read
from collapse_lab.verify.judgement import Judgement, judge_claim
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
def test_the_verdict_follows_from_interval_and_needed_range(
    interval: tuple[float | None, float | None], needed: Needed, verdict: str
) -> None:
    assert judge(Measured(99.0, *interval, 3), needed)[0] == verdict


@pytest.mark.parametrize(
    ("n", "reason"), [(1, "one seed: a verdict needs 3 or more"), (2, "2 seeds: a verdict needs 3 or more")]
)
def test_fewer_than_three_seeds_give_no_verdict_however_narrow_their_interval(n: int, reason: str) -> None:
    assert judge(Measured(4.0, 3.99, 4.01, n), Needed(low=1.5)) == ("inconclusive", reason)


def test_a_claim_without_a_value_is_not_run() -> None:
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
    return judge_claim(only, collect([tmp_path / "runs"]).runs)


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
def test_each_verdict_can_come_from_ledgers(tmp_path: Path, ends: list[float], verdict: str) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.05, 0.95], 1: ends})
    judged = judgement(tmp_path)
    assert judged.verdict == verdict
    assert judged.measured.n == len(ends)
    if verdict == "not run":
        assert judged.reason == "no run of the group dosed at the setting of the claim"
        assert judged.commands == ["python -m collapse_lab -m +experiment=nepotistic ratio=1,0 seed=0,1,2"]
    if ends == [4.0]:
        assert judged.reason == "one seed: a verdict needs 3 or more"
        assert judged.measured.note == "2 runs left out"


def test_a_generation_without_a_record_is_not_run(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1], 1: [4.0, 4.1]})
    arguments = {"metric": FID, "group": "dosed", "control": "control", "generation": 5}
    judged = judgement(tmp_path, arguments=arguments)
    assert judged.verdict == "not run"
    assert judged.reason == f"no pair of runs has {FID} at generation 5"


def test_a_judgement_says_what_its_numbers_are_against(tmp_path: Path) -> None:
    prints = {**PRINT, "seen": {"n": 600, "reference": "generation 0"}}
    sweep(tmp_path / "runs", {0: [1.0, 1.05, 0.95], 1: [4.0, 4.2, 3.9]}, prints=prints)
    assert judgement(tmp_path).measured.note == "against generation 0"


def test_runs_with_different_features_are_inconclusive_and_the_reason_names_the_difference(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0]})
    sweep(tmp_path / "runs", {1: [4.0, 4.1, 4.0]}, prints={**PRINT, "weights": "9a8b7c6d5e4f3a2b"})
    judged = judgement(tmp_path)
    assert judged.verdict == "inconclusive"
    assert "the weights of classifier features are 9a8b7c… here and 1f2e3d… there" in judged.reason
    assert judged.measured.value is None


def test_runs_at_another_setting_are_reported_and_never_decide(tmp_path: Path) -> None:
    tiny = {**PRINT, "seen": {"n": 200}}
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [1.0, 1.1, 1.1]}, "+scale=tiny", prints=tiny)
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [2.0, 2.1, 2.0]}, "model.guidance_scale=4")
    alone = judgement(tmp_path)
    assert (alone.verdict, len(alone.others)) == ("not run", 2)
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [4.0, 4.1, 4.0]})
    judged = judgement(tmp_path)
    assert (judged.verdict, judged.setting, judged.measured.n) == ("reproduced", (), 3)
    assert judged.others[0].setting == ("guidance_scale 4 instead of 2",)
    assert judged.others[0].verdict == "reproduced"
    assert judged.others[1].verdict == "not reproduced"
    assert "n_samples 200 instead of 600" in judged.others[1].setting


@pytest.mark.parametrize(
    "other",
    [
        "dataset=mnist",
        "dataset.image_size=6",
        "population.lineage=scratch",
        "model.pretrained=stories15m",
        "trainer.epochs=3",
        "trainer.finetune_steps=7",
        "model.optimisation.lr=0.1",
        "n_train=300",
        "metrics.prdc.k=3",
    ],
)
def test_a_cell_pins_whatever_the_claim_depends_on(tmp_path: Path, other: str) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [4.0, 4.1, 4.0]}, other)
    judged = judgement(tmp_path)
    assert judged.verdict == "not run"
    assert judged.others[0].verdict == "reproduced"


@pytest.mark.parametrize(
    "other", ["metrics.fid.bootstrap=7", "model.sampling_batch=16", "metrics=[fid]", "features=[classifier]"]
)
def test_what_changes_no_number_may_differ(tmp_path: Path, other: str) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [4.0, 4.1, 4.0]}, other)
    assert judgement(tmp_path).verdict == "reproduced"


@pytest.mark.parametrize(
    ("key", "verdict"),
    [("trainer.arithmetic", "reproduced"), ("model.pixels", "reproduced"), ("model.freeze", "not run")],
)
def test_a_setting_that_runs_of_an_earlier_version_lack_counts_as_its_default(
    tmp_path: Path, key: str, verdict: str
) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0], 1: [4.0, 4.1, 4.0]})
    group, name = key.split(".")
    for path in tmp_path.rglob("config.yaml"):
        config = OmegaConf.load(path)
        assert isinstance(config, DictConfig)
        del config[group][name]
        OmegaConf.save(config, path)
    assert judgement(tmp_path).verdict == verdict


def test_runs_of_another_policy_or_curation_are_no_other_size_of_a_claim(tmp_path: Path) -> None:
    for other in ("mixing=fresh", "curation=histogram"):
        sweep(tmp_path / "runs", {1: [4.0, 4.1, 4.0]}, other)
    changes = {"groups": {"dosed": {"n_train": 600}}, "statistic": "level"}
    judged = judgement(tmp_path, **changes, arguments={"metric": FID, "group": "dosed", "generation": 1})
    assert (judged.verdict, judged.others) == ("not run", ())


def test_groups_with_different_settings_are_not_compared(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0]})
    sweep(tmp_path / "runs", {1: [4.0, 4.1, 4.0]}, "+scale=tiny")
    judged = judgement(tmp_path)
    assert (judged.verdict, judged.reason) == ("not run", "no run of the group dosed at the setting of the claim")
    assert judged.others == ()


def test_an_option_that_a_group_names_must_be_the_one_that_ran(tmp_path: Path) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.1, 1.0]})
    sweep(tmp_path / "runs", {1: [4.0, 4.1, 4.0]}, "curation=drop_worst")
    groups: dict[str, dict[str, Any]] = {"dosed": {"ratio": 1, "curation": "histogram"}, "control": {"ratio": 0}}
    assert "no run of the group dosed" in judgement(tmp_path, groups=groups).reason
    groups["dosed"]["curation"] = "drop_worst"
    assert judgement(tmp_path, groups=groups).verdict == "reproduced"
    # A group that names the default option does not take runs of another option
    groups = {"dosed": {"ratio": 1, "curation": "none"}, "control": {"ratio": 0, "curation": "none"}}
    assert "no run of the group dosed" in judgement(tmp_path, groups=groups).reason


@pytest.mark.parametrize(
    ("statistic", "arguments", "value"),
    [
        ("difference", {"control": "control", "generation": 1}, 3.0),
        ("ratio", {"control": "control"}, 4.0),
        ("least_ratio", {"group": "dosed"}, 4.0),
        ("change", {"since": 0, "until": 1}, 3.0),
        ("growth", {"since": 0, "until": 1}, 4.0),
        ("times_excess", {"control": "control", "generation": 1}, 7.0),
        ("least_times_excess", {"control": "control"}, 7.0),
        ("excess_growth", {"since": 0, "until": 1}, 7.0),
        ("least_excess_growth", {"since": 0, "until": 1}, 1.0),
        ("extra_loss", {"control": "control", "since": 0, "until": 1}, 6.0),
        ("difference_in_change", {"control": "control", "since": 0, "until": 1}, 3.0),
        ("times_floor", {}, 8.0),
        ("times_floor", {"generation": 0}, 2.0),
        ("rate", {}, 3.0),
        ("time_to_collapse", {"multiple": 4}, 1.0),
        ("half_life", {}, math.inf),
    ],
)
def test_every_statistic_of_a_simple_ledger_is_known_by_hand(
    tmp_path: Path, statistic: str, arguments: dict[str, Any], value: float
) -> None:
    sweep(tmp_path / "runs", {0: [1.0, 1.0, 1.0], 1: [4.0, 4.0, 4.0]}, floor=0.5)
    group = {} if statistic.startswith("least") else {"group": "dosed"}
    judged = judgement(tmp_path, statistic=statistic, arguments={"metric": FID, **group, **arguments})
    assert judged.measured.value == pytest.approx(value)
    assert judged.measured.n == 3


def test_runs_of_another_experiment_are_not_used(tmp_path: Path) -> None:
    for seed in (0, 1):
        write(tmp_path / "runs", ["+experiment=nepotistic", "ratio=1"], seed, [1.0, 4.0, 0.9])
    arguments = {"metric": FID, "group": "healed", "since": 1, "until": 2}
    changes = {"groups": {"healed": {"ratio": 1}}, "statistic": "growth", "arguments": arguments}
    assert judgement(tmp_path, experiment="nepotistic_healing", **changes).verdict == "not run"
    assert judgement(tmp_path, **changes).measured.n == 2


def test_settings_that_repeat_the_seed_or_the_generations_may_differ(tmp_path: Path) -> None:
    line, metric = ["+experiment=recursive_gaussian", "n_train=20"], "all/variance"
    for seed, longer in enumerate(([], ["generations=2"], ["generations=3"])):
        write(tmp_path / "runs", [*line, f"seed={seed}", *longer], seed, [1.0, 0.9, 0.4], metric)
    write(
        tmp_path / "runs", [*line, "dataset.seed=7"], 9, [1.0, 0.9, 0.8], metric
    )  # another setting: all of its runs have the same rows
    arguments = {"metric": metric, "group": "few", "since": 0, "until": 2}
    groups = {"few": {"n_train": 20, "generations": 2}}
    judged = judgement(
        tmp_path, experiment="recursive_gaussian", groups=groups, statistic="growth", arguments=arguments
    )
    assert (judged.measured.n, judged.setting) == (3, ())
    assert judged.measured.value == pytest.approx(0.4)
    (other,) = judged.others
    assert (other.measured.n, set(other.setting)) == (1, {"seed 7 instead of –"})
