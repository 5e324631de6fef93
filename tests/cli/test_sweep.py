"""The cells of a sweep: each leaves how it ended, and the launching process tells of it and writes the report."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from collapse_lab.cli import status, sweep
from collapse_lab.cli.standings import STOPPED
from collapse_lab.cli.sweep import Cell, SweepStart, differences, name_run, recorded
from collapse_lab.engine.outcome import Outcome
from tests.cli.test_run import NAME, TINY
from tests.e2e.command import ledger
from tests.nursery import Nursery
from tests.report.run_folders import write_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a sweep that this process has launched."""
    monkeypatch.setattr(SweepStart, "folder", tmp_path / "sweeps" / "a1b2")
    return tmp_path / "sweeps" / "a1b2"


def cell(folder: Path, number: int, *overrides: str) -> Cell:
    return Cell(folder, number, ("+experiment=nepotistic", *overrides))


def end(one: Cell, error: BaseException, run: Path | None = None) -> None:
    """End a cell with an error, before or after its run is known."""
    with recorded(one):
        if run is not None:
            name_run(one, run)
        raise error


def outcome(one: Cell) -> Outcome:
    return Outcome.read(one.file)


def test_a_cell_that_ends_well_leaves_its_status_and_its_run(folder: Path) -> None:
    one = cell(folder, 0, "seed=0")
    with recorded(one):
        assert one.file.with_suffix(".line").read_text() == "+experiment=nepotistic\nseed=0"
        name_run(one, Path("runs/x"))
        one.finish("diverged")
    assert (outcome(one).status, outcome(one).run, outcome(one).reason) == ("diverged", "runs/x", "")
    assert outcome(one).seconds >= 0


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("the reason"), "failed"), (KeyboardInterrupt("the reason"), "interrupted")]
)
def test_what_ends_a_cell_is_left_and_raised_again(folder: Path, error: BaseException, status: str) -> None:
    one = cell(folder, 3)
    with pytest.raises(type(error)):
        end(one, error, Path("runs/x"))
    assert (outcome(one).status, outcome(one).reason, outcome(one).run) == (status, "the reason", "runs/x")


def test_outside_a_sweep_nothing_is_recorded(tmp_path: Path) -> None:
    with recorded(None):
        name_run(None, tmp_path)
    with pytest.raises(ValueError, match="as it is"), recorded(None):
        raise ValueError("as it is")
    assert not any(tmp_path.iterdir())


def test_a_new_launch_forgets_the_outcomes_of_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SweepStart, "folder", None)
    one = cell(tmp_path / "sweep", 0)
    with recorded(one):
        one.finish("ok")
    SweepStart().on_multirun_start(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / "sweep")}}}))
    assert SweepStart.folder == tmp_path / "sweep"
    assert not one.file.exists()


def test_the_overrides_that_tell_a_cell_from_the_others_are_named() -> None:
    lines = [["a=1", "b=1"], ["a=1", "b=2"]]
    assert differences([["a=1", "b=2"]], lines) == ["b=2"]
    assert differences([["a=1", "b=1"]], [["a=1", "b=1"]]) == ["a=1 b=1"]


def test_the_end_of_a_sweep_names_what_did_not_end_well_and_reports_the_rest(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / "nepotistic" / name, grids=False) for name in ("one", "two", "half")]
    cells = [cell(folder, number, f"seed={number}") for number in range(6)]
    for one, run in zip(cells[:2], runs[:2], strict=True):
        with recorded(one):
            name_run(one, run)
            one.finish("ok")
    with pytest.raises(RuntimeError):
        end(cells[2], RuntimeError("ratio is wrong"))
    with pytest.raises(KeyboardInterrupt):
        end(cells[3], KeyboardInterrupt(), runs[2])  # it has recorded generations before it was stopped
    cells[4].begin()  # and its process is killed
    cells[5].begin()
    cells[5].postpone()  # it waits to be packed, and so it is not lost
    sweep.close()
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[:2] == ["failed: seed=2: ratio is wrong", "interrupted: seed=3: "]
    assert lines[2].startswith("lost: seed=4: its process ended without a word")
    assert len(lines) == 3
    page = folder / "report.html"
    assert printed.out.splitlines()[-1] == f"report of 3 cells: {page}"
    text = page.read_text()
    assert all(run.name in text for run in runs)


def test_a_sweep_in_which_no_cell_recorded_anything_has_no_report(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "run"
    empty.mkdir()
    (empty / "ledger.jsonl").touch()  # because generation 0 has not ended
    one = cell(folder, 0)
    with pytest.raises(RuntimeError):
        end(one, RuntimeError("early"), empty)
    sweep.close()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "failed: +experiment=nepotistic: early\n"
    assert not (folder / "report.html").exists()


def test_outside_a_sweep_there_is_nothing_to_close(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(SweepStart, "folder", None)
    sweep.close()
    assert capsys.readouterr() == ("", "")


def test_a_failed_cell_stops_no_other(nursery: Nursery, tmp_path: Path) -> None:
    ended = nursery.run(["-m", *TINY, f"paths.runs={tmp_path}", "model.replicas=0,2,3"])
    assert ended.code == 2
    assert "Traceback" not in ended.err
    (line,) = (line for line in ended.err.splitlines() if line.startswith("failed:"))
    assert line == "failed: model.replicas=0: model.replicas is 1 or more; got 0"
    done = [ledger(folder) for folder in (tmp_path / NAME).iterdir()]
    assert [len(lines) for lines in done] == [2, 2]
    cells = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("sweeps/*/cells/*.json"))]
    assert [one["status"] for one in cells] == ["failed", "ok", "ok"]
    assert cells[0]["run"] == ""
    assert {Path(one["run"]).name for one in cells[1:]} == {folder.name for folder in (tmp_path / NAME).iterdir()}
    (page,) = tmp_path.glob("sweeps/*/report.html")
    assert f"report of 2 cells: {page}" in ended.out


def test_the_same_sweep_again_tells_of_the_failed_cell_again_and_computes_nothing(
    nursery: Nursery, tmp_path: Path
) -> None:
    line = ["-m", *TINY, f"paths.runs={tmp_path / 'runs'}", "model.replicas=0,2"]
    assert nursery.run(line, stages=tmp_path / "first").code == 2
    again = nursery.run(line, stages=tmp_path / "second")
    assert again.code == 2
    assert again.out.count("already complete") == 1
    assert sum(line.startswith("failed: model.replicas=0:") for line in again.err.splitlines()) == 1
    assert (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()


def test_more_gpus_than_there_are_are_refused_before_a_cell_begins(nursery: Nursery, tmp_path: Path) -> None:
    line = ["-m", *TINY, "seed=0,1", "hydra/launcher=local", "hydra.launcher.gpus=9", f"paths.runs={tmp_path}"]
    ended = nursery.run(line, CUDA_VISIBLE_DEVICES="0,1")
    assert ended.code == 2
    assert ended.err == (
        "collapse_lab: hydra.launcher.gpus=9 asks for more GPUs than there are: this machine has 2 (0, 1); give fewer\n"
    )
    assert not list(tmp_path.glob("sweeps/*/cells/*"))


def test_a_sweep_that_is_killed_is_said_so_at_once_and_its_line_finishes_it(
    nursery: Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["-m", *TINY, "seed=0,1,2", f"paths.runs={tmp_path}"]
    assert nursery.run(line, signal_at=(signal.SIGKILL, "measure", 1)).code == -signal.SIGKILL
    assert status.main([str(tmp_path)]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    (killed,) = [row for row in lines if "seed=0" in row]
    assert killed.endswith(STOPPED)
    assert [row.split("seed=")[1].split()[0] for row in lines if row.endswith("  not started")] == ["1", "2"]
    words, command = last.split("; this finishes it: ")
    assert words.endswith(": 1 of 3 cells killed or stopped, 2 of 3 cells not started")
    assert nursery.run(shlex.split(command)[1:]).code == 0
    assert status.main([str(tmp_path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "3 runs and cells, 0 of them not at their end, 0 of them failed or stopped"
