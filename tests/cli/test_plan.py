"""`collapse-lab plan`: what a sweep would compute, what it shares, and how long that takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from collapse_lab import compose, prepare
from collapse_lab.cli.overrides import cells_of
from collapse_lab.cli.plan import Kind, count, main, summary
from collapse_lab.cli.planned import PlannedCell, PlannedStage, label_of, planned, planned_cells
from collapse_lab.config.searchpath import CONF
from collapse_lab.engine.drift import REFERENCE
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.keys import FloorKey, KnownKey
from collapse_lab.engine.stages import Stage
from collapse_lab.errors import UserError
from collapse_lab.storage.store import Payload, Size, Store
from tests.sharing.runs import DIGITS, NET, TEXT, computed

LINE = [*DIGITS, *NET, *TEXT, "generations=1", "n_samples=8"]


def test_a_sweep_is_split_into_its_cells_as_hydra_does() -> None:
    cells = cells_of(["+experiment=nepotistic", "ratio=0,1", "seed=range(0,2)", "model.channels=[8,16]"])
    assert [line[1:3] for line in cells] == [[f"ratio={r}", f"seed={s}"] for r in (0, 1) for s in (0, 1)]
    assert all(line[3] == "model.channels=[8,16]" for line in cells)
    with pytest.raises(UserError, match="write KEY=VALUE"):
        cells_of(["ratio=[0,"])


def test_stages_are_counted_once_and_their_time_comes_from_those_in_the_store(tmp_path: Path) -> None:
    paths = [f"paths.runs={tmp_path / 'runs'}"]
    done = computed(tmp_path / "runs", *LINE)
    experiments = [prepare(compose(*LINE, *paths, f"ratio={ratio}")) for ratio in (0.5, 1)]
    first, second = ({(s.kind, s.key) for s in e.layout.stages} for e in experiments)
    cells = [planned(experiment) for experiment in experiments]
    assert [cell.complete for cell in cells] == [True, False]
    kinds = count(cells)
    assert sum(kind.stages for kind in kinds.values()) == len(first | second)
    assert sum(kind.shared for kind in kinds.values()) == len(first & second)
    assert sum(kind.to_do for kind in kinds.values()) == len(second - first) > 0
    # Generation 0 takes 3 steps and is shared; generation 1 takes 2, one cell has it already
    assert (kinds["fit of 3 steps"].stages, kinds["fit of 3 steps"].to_do) == (1, 0)
    assert (kinds["fit of 2 steps"].stages, kinds["fit of 2 steps"].to_do) == (2, 1)
    (size,) = kinds["fit of 2 steps"].measured
    assert kinds["fit of 2 steps"].seconds == size.seconds > 0
    assert size.bytes > 1000
    assert done.exists()


def test_kinds_of_stages_have_names_that_say_what_they_are(tmp_path: Path) -> None:
    store, metric = Store(tmp_path, Alone()), {"class": "x", "version": 1, "arguments": {}}
    keys = [FloorKey(metric, ("a", "b"), 8), FloorKey(metric, (REFERENCE,), 8), KnownKey(metric, "a")]
    assert [label_of(Stage(store, key, Payload)) for key in keys] == [
        "floor (real against real)",
        "floor (generation 0, drawn twice)",
        "reference rows, known to metrics",
    ]


def test_cells_are_read_in_several_processes_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["+experiment=recursive_gaussian", "generations=1", "sinks=[]", f"paths.runs={tmp_path / 'runs'}"]
    lines = [[*line, f"seed={seed}"] for seed in range(2)]
    alone = planned_cells(lines, None)
    monkeypatch.setattr("collapse_lab.cli.planned.LEAST_CELLS", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert planned_cells(lines, None) == alone
    assert alone[0].stages.keys() != alone[1].stages.keys()
    with pytest.raises(UserError, match="ratio was given, and nothing"):
        planned_cells([lines[0], [*line, "ratio=2"]], None)


def test_a_stage_that_cells_share_is_counted_once() -> None:
    shared, own = PlannedStage("fit", Size(2.0, 10)), PlannedStage("fit", None)
    cells = [PlannedCell(False, {("fit", "a"): shared}), PlannedCell(False, {("fit", "a"): shared, ("fit", "b"): own})]
    kind = count(cells)["fit"]
    assert (kind.stages, kind.shared, kind.ready, kind.seconds) == (2, 1, 1, 2.0)


def test_what_complete_cells_no_longer_keep_is_not_to_do(tmp_path: Path) -> None:
    computed(tmp_path / "runs", *LINE)
    experiment = prepare(compose(*LINE, f"paths.runs={tmp_path / 'runs'}"))
    gone = next(stage for stage in experiment.layout.stages if stage.kind == "fit")
    gone.forget()
    cell = planned(experiment)
    assert cell.complete
    assert sum(kind.to_do for kind in count([cell]).values()) == 0
    assert sum(kind.to_do for kind in count([replace(cell, complete=False)]).values()) == 1


def test_the_summary_says_what_is_not_known() -> None:
    known, unknown = Kind(10, 2, 4, [Size(60.0, 10**6)] * 4), Kind(3, 0, 0)
    words = summary({"fit": known, "sample": unknown}, 6, 1)
    assert words.startswith("6 cells, 1 complete; 9 of 13 stages to do, about 6 min on the machine")
    assert "6.0 MB; 3 of a kind of which the store holds none" in words


def test_the_command_prints_a_table_and_refuses_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LINE, f"paths.runs={tmp_path / 'runs'}", "ratio=0,1"]) == 0
    said = capsys.readouterr().out
    assert "fit of 3 steps" in said
    assert "2 cells, 0 complete" in said
    assert not (tmp_path / "runs").exists()
    assert main(["+experiment=nepotistic", "ratioo=1"]) == 2
    assert "ratio" in capsys.readouterr().err


def test_the_command_takes_the_line_of_the_sweep_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine/dataset").mkdir(parents=True)
    (tmp_path / "mine/dataset/own_digits.yaml").write_text((CONF / "dataset/digits.yaml").read_text())
    line = [*(word for word in LINE if not word.startswith("dataset=")), "dataset=own_digits", "hydra/launcher=slurm"]
    folder = ["--config-dir", str(tmp_path / "mine")]
    for given in (["-m", *folder, *line], [*line[:2], "--multirun", *folder, *line[2:]]):
        assert main([*given, f"paths.runs={tmp_path / 'runs'}", "ratio=0,1"]) == 0
        assert "2 cells, 0 complete" in capsys.readouterr().out
