"""Runs that must not be compared, and ledgers that are empty or damaged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from collapse_lab.report import write_report
from collapse_lab.report.__main__ import main
from collapse_lab.report.page import compose
from collapse_lab.results.collect import collect
from tests.report.run_folders import write_plane, write_run

pytestmark = pytest.mark.usefixtures("no_pdf")


def test_runs_that_must_not_be_compared_are_in_separate_groups(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / f"a{seed}", 1.0, seed, 2, grids=False)
        write_run(tmp_path / f"b{seed}", 0.5, seed, 2, grids=False, weights="9a8b7c", name="other")
    groups = compose(collect([tmp_path]))
    assert [{run.name for run in group.collection.runs} for group in groups] == [{"nepotistic"}, {"other"}]
    assert [group.collection.knobs for group in groups] == [(), ()]
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "2 groups of runs that must not be compared" in text
    assert "unlike group 1: the weights of classifier features are 9a8b7c here and 1f2e3d there" in text
    assert text.count("<article ") == 2
    assert re.findall(r'href="#(group-\d)"', text) == re.findall(r'id="(group-\d)"', text)
    assert text.count("FID on seen prompts rose from") == 2


def test_experiments_with_the_same_features_share_a_group(tmp_path: Path) -> None:
    for name in ("nepotistic", "fresh"):
        write_run(tmp_path / name, 1.0, generations=2, grids=False, name=name)
    (group,) = compose(collect([tmp_path]))
    assert group.collection.knobs == ("name",)
    assert "<article" not in write_report([tmp_path], tmp_path / "report.html").read_text()


def test_each_group_has_a_folder_of_figures(tmp_path: Path) -> None:
    for name, weights in (("a", "1f2e3d"), ("b", "9a8b7c")):
        write_run(tmp_path / "runs" / name, 1.0, generations=1, grids=False, weights=weights, name=name)
    assert main([str(tmp_path / "runs"), "--figures", str(tmp_path / "figures")]) == 0
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == ["group-1", "group-2"]


def test_knobs_are_searched_in_every_group(tmp_path: Path) -> None:
    write_plane(tmp_path / "runs" / "plane", ratios=(0, 1), scales=(1, 2))
    write_run(tmp_path / "runs" / "alone", generations=1, grids=False, weights="9a8b7c", name="alone")
    page = ["--out", str(tmp_path / "page.html")]
    assert main([str(tmp_path / "runs"), *page, "--knobs", "guidance_scale,ratio"]) == 0
    assert "phase-model-guidance-scale-ratio" in (tmp_path / "page.html").read_text()
    assert main([str(tmp_path / "runs"), *page, "--knobs", "ratio,steps"]) == 2


def test_a_run_without_records_or_metrics_is_kept_with_a_warning(tmp_path: Path) -> None:
    write_run(tmp_path / "complete", 1.0, generations=2, grids=False)
    empty = write_run(tmp_path / "empty", 0.5, generations=2, grids=False) / "ledger.jsonl"
    empty.write_text("")
    bare = write_run(tmp_path / "bare", 0.1, generations=2, grids=False) / "ledger.jsonl"
    bare.write_text(re.sub(r'"(metrics|features)": \{.*?\}(?=, "(seconds|\}))', r'"\1": {}', bare.read_text()))
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "nepotistic empty is unfinished (0 of 2)" in text
    assert "<article" not in text
    assert main([str(tmp_path)]) == 1


def test_an_incomplete_last_line_is_left_out(tmp_path: Path) -> None:
    ledger = write_run(tmp_path / "run", 1.0, generations=3, grids=False) / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-40])
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "nepotistic run is unfinished (2 of 3)" in text
    assert "over 2 generations" in text


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_refused(
    tmp_path: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = write_run(tmp_path / "run", generations=1, grids=False) / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    record = json.loads(lines[1])
    record["metrics"] = dict.fromkeys(record["metrics"], "@")
    ledger.write_text(f"{lines[0]}\n{json.dumps(record)}\n".replace('"@"', number))
    assert main([str(tmp_path)]) == 2
    assert f"line 2 is not a record: {number}" in capsys.readouterr().err
