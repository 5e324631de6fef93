from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import collapse_lab
from collapse_lab.cli.sweep import Cell, name_run
from collapse_lab.errors import UserError
from collapse_lab.results.collect import collect, gathered
from collapse_lab.results.names import Name
from collapse_lab.results.paired import paired
from collapse_lab.results.settings import joined, short, shown
from tests.report.run_folders import write_run
from tests.results.memory_runs import METRIC, run


def test_a_copy_of_a_run_does_not_count_as_a_second_seed(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / f"a/s{seed}", ratio=1.0, seed=seed)
        write_run(tmp_path / f"a/c{seed}", ratio=0.0, seed=seed)
    shutil.copytree(tmp_path / "a/s0", tmp_path / "b/s0")
    write_run(tmp_path / "b/s1", ratio=1.0, seed=1, last=2)
    alone, both = collect([tmp_path / "a"]), collect([tmp_path / "b", tmp_path / "a"])
    assert len(both.runs) == 4
    assert {run.last for run in both.runs} == {5}
    means = [
        [
            paired(group.runs, collection.seed_groups[0].runs, "seen/classifier/fid").mean
            for group in collection.seed_groups
        ]
        for collection in (alone, both)
    ]
    assert means[0] == means[1]


def test_a_setting_that_changes_together_with_the_seed_is_a_knob() -> None:
    runs = [run({METRIC: [1, 2]}, seed, ratio=float(seed), leaf={"seed": seed}) for seed in (0, 1)]
    assert [(group.label, len(group.runs)) for group in gathered(runs).seed_groups] == [("ratio 0", 1), ("ratio 1", 1)]
    assert gathered([run({METRIC: [1, 2]}, seed, leaf={"seed": seed}) for seed in (3, 4)]).knobs == ()


def test_a_setting_that_a_run_does_not_have_is_named_in_its_label() -> None:
    runs = [run({METRIC: [1, 2]}, 0, **settings) for settings in ({"name": "a"}, {"name": "b", "scale": 2})]
    runs.append(run({METRIC: [1, 2]}, 0, name="b", scale=3))
    assert [group.label for group in gathered(runs).seed_groups] == ["a, no scale", "b, scale 2", "b, scale 3"]


def test_a_swept_class_is_shown_by_its_name() -> None:
    assert short("curation._target_") == "curation"
    assert shown("collapse_lab.curation.histogram.MatchHistogram") == "MatchHistogram"
    assert shown("a.b") == "a.b"


def test_words_are_joined_to_a_list_in_a_sentence() -> None:
    assert [joined(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def test_metrics_have_a_title_a_direction_and_a_range() -> None:
    share = Name.of("seen/classifier/class_share_3")
    assert share.is_class_share
    assert (share.title, share.top, share.better) == ("Share of class 3", 1.0, "")
    for metric, better in (
        ("fd_infinity", "lower"),
        ("cmmd", "lower"),
        ("vendi", "higher"),
        ("authenticity", "higher"),
        ("near_copies", "lower"),
        ("mode_coverage", "higher"),
        ("class_entropy", "higher"),
        ("clip_score", "higher"),
        ("pairwise_distance", "higher"),
    ):
        name = Name.of(f"seen/classifier/{metric}")
        assert name.better == better
        assert name.title != metric.replace("_", " ").capitalize() or metric == "authenticity"
        assert not name.is_class_share
    assert Name.of("seen/classifier/mode_coverage").top == 1.0
    assert Name.of("seen/denoising_loss").better == "lower"
    assert Name.of("seen/classifier/fd_infinity").short == "FD∞"


def test_the_folder_of_a_sweep_stands_for_the_runs_of_its_cells(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    first, second, other = (
        write_run(runs / "nepotistic" / name, ratio=0.1, seed=seed, grids=False)
        for seed, name in enumerate(("aaa", "bbb", "ccc"))
    )
    sweep = runs / "sweeps" / "one"
    for number, run_folder in enumerate((first, second)):
        cell = Cell(sweep, number, (f"seed={number}",))
        cell.begin()
        name_run(cell, run_folder)
        cell.finish("ok")
    Cell(sweep, 2, ("seed=2",)).queue()
    assert [one.folder for one in collect([sweep]).runs] == [first, second]
    assert len(collect([runs]).runs) == 3
    assert len(collapse_lab.means(sweep)["generation"].unique()) == 6
    # Runs that were moved are found beside the sweep
    moved = (tmp_path / "elsewhere").resolve()
    runs.rename(moved)
    found = [one.folder for one in collect([moved / "sweeps" / "one"]).runs]
    assert found == [moved / "nepotistic" / "aaa", moved / "nepotistic" / "bbb"]
    assert other.name == "ccc"


def test_a_sweep_without_a_record_says_what_it_is(tmp_path: Path) -> None:
    Cell(tmp_path / "sweeps" / "one", 0, ("seed=0",)).queue()
    with pytest.raises(UserError, match="has a run finished a generation"):
        collect([tmp_path / "sweeps" / "one"])
