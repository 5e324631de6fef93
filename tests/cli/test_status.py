"""`collapse-lab status` reads folders of runs and of sweeps, and changes nothing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from collapse_lab.cli import sweep
from collapse_lab.cli.durations import duration
from collapse_lab.cli.standings import STOPPED
from collapse_lab.cli.status import main
from collapse_lab.cli.sweep import Cell, SweepStart, name_run, queue
from collapse_lab.engine.outcome import Outcome
from collapse_lab.engine.silent import Silent
from collapse_lab.sinks.noting import FILE, Noting, Standing
from tests.report.run_folders import write_run

SIGNATURE = "nepotistic"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with a sweep of six cells: complete, running, failed late, failed early, begun, queued."""
    folder = tmp_path / "sweeps" / "a1b2"
    queue(folder, 0, [[f"seed={number}", "hydra.launcher.gpus=1"] for number in range(6)])
    (folder / "command").write_text("collapse-lab -m seed=0,1,2,3,4,5")
    cells = [Cell(folder, number, (f"seed={number}",)) for number in range(5)]
    for cell in cells:
        cell.begin()
    for number, last in ((0, 5), (1, 3), (2, 1)):
        name_run(cells[number], write_run(tmp_path / SIGNATURE / f"s{number}", seed=number, last=last, grids=False))
    cells[0].finish("ok")
    note = Standing(4, "model", "fit", 30, 120, 6.0)
    (tmp_path / SIGNATURE / "s1" / FILE).write_text(json.dumps(vars(note)))
    cells[2].fail(MemoryError("no room"))
    Outcome(cells[2].run, "failed", "no room").write(tmp_path / SIGNATURE / "s2" / "status.json")
    cells[3].fail(ValueError("ratio is wrong"))
    write_run(tmp_path / SIGNATURE / "alone", grids=False)
    return tmp_path


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the size and the time of change of every file and folder below a folder."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(folder.rglob("*"))}


def test_every_cell_has_its_line_and_what_failed_its_command(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(runs)
    assert main([str(runs)]) == 1
    assert files(runs) == before
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "or", "cell", "generation", "phase", "last", "metric", "left", "state"]
    rows = {name: next(line for line in lines if name in line) for name in ["alone", *(f"seed={n}" for n in range(6))]}
    assert rows["alone"].split()[:4] == ["nepotistic/alone", "5", "of", "5"]
    assert rows["seed=0"].endswith("complete")
    assert "seen/classifier/fid" in rows["seed=0"]
    # Two generations of 18 seconds are left, of which 6 seconds have passed
    assert "3 of 5" in rows["seed=1"]
    assert "g4 fit 25 %" in rows["seed=1"]
    assert "30 s" in rows["seed=1"]
    assert rows["seed=1"].endswith("unfinished (3 of 5): it is running")
    assert rows["seed=2"].endswith("failed: no room")
    assert rows["seed=3"].endswith("failed: ratio is wrong")
    assert rows["seed=4"].endswith("begun: it runs, or its process was killed")
    assert rows["seed=5"].endswith("not started")
    assert lines[-2] == "7 runs and cells, 5 of them not at their end, 2 of them failed or stopped"
    assert lines[-1] == (
        "sweep a1b2: 2 of 6 cells failed, 1 of 6 cells running, 1 of 6 cells begun, of which it is not known whether "
        "they run, 1 of 6 cells not started; when its process has ended, this computes what is missing then: "
        "COLLAPSE_LAB_ONLY=failed collapse-lab -m seed=0,1,2,3,4,5"
    )


def test_what_is_at_its_end_is_well_and_a_folder_that_is_missing_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(runs / SIGNATURE / "alone")]) == 0
    assert main([str(runs / "nowhere")]) == 2
    assert "is not there" in capsys.readouterr().err


def test_a_run_that_has_said_nothing_for_long_is_silent(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = runs / SIGNATURE / "s1" / FILE
    os.utime(note, (time.time() - 600, time.time() - 600))
    assert main([str(runs / SIGNATURE / "s1")]) == 1
    assert "silent for 10 min" in capsys.readouterr().out


def test_a_run_whose_lock_nobody_holds_is_said_to_be_killed_at_once(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lock that this process holds stands for that of a run; its note is young where it was killed."""
    folder = runs / SIGNATURE / "s1"
    lock = FileLock(folder / ".lock")
    with lock:
        assert main([str(folder)]) == 1
        assert "unfinished (3 of 5): it is running" in capsys.readouterr().out
        os.utime(folder / FILE, (time.time() - 600, time.time() - 600))
        main([str(folder)])
        assert "silent for 10 min: it computes one long step\n" in capsys.readouterr().out
    os.utime(folder / FILE)
    before = files(folder)
    assert main([str(folder)]) == 1
    said = capsys.readouterr().out
    assert "unfinished (3 of 5): killed or stopped: no process works on it, and the same command goes on" in said
    assert "1 of them failed or stopped" in said
    assert files(folder) == before


def test_a_sweep_that_was_killed_names_the_line_that_finishes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One cell is complete, one was killed before its generation 0 ended, and two have not begun; nothing failed."""
    folder = tmp_path / "sweeps" / "a1b2"
    queue(folder, 0, [[f"seed={number}"] for number in range(4)])
    (folder / "command").write_text("collapse-lab -m seed=0,1,2,3")
    for number, last in ((0, 5), (1, -1)):
        cell = Cell(folder, number, (f"seed={number}",))
        cell.begin()
        name_run(cell, write_run(tmp_path / SIGNATURE / f"s{number}", seed=number, last=max(last, 0), grids=False))
    killed = tmp_path / SIGNATURE / "s1"
    (killed / "ledger.jsonl").unlink()
    (killed / ".lock").touch()
    Cell(folder, 0, ("seed=0",), str(tmp_path / SIGNATURE / "s0")).finish("ok")
    assert main([str(tmp_path)]) == 1
    *lines, last_line = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("  not started") for line in lines) == 2
    assert next(line for line in lines if "seed=1" in line).endswith("begun: " + STOPPED)
    assert last_line == (
        "sweep a1b2: 1 of 4 cells killed or stopped, 2 of 4 cells not started; this finishes it: "
        "collapse-lab -m seed=0,1,2,3"
    )
    (folder / "slurm").mkdir()
    main([str(tmp_path)])
    assert "; unless its jobs wait in the queue (squeue), this finishes it: " in capsys.readouterr().out


def test_only_what_failed_is_launched_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = runs / "sweeps" / "a1b2"
    monkeypatch.setattr(SweepStart, "folder", folder)
    monkeypatch.setattr(SweepStart, "forgets", "failed")
    monkeypatch.setenv("COLLAPSE_LAB_LINE", "collapse-lab -m seed=0,1,2,3,4,5")
    from omegaconf import OmegaConf

    SweepStart().on_multirun_start(OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}}))
    assert [path.name for path in sorted(folder.glob("cells/*.json"))] == ["0000.json"]
    assert [path.name for path in sorted(folder.glob("cells/*.line"))] == ["0000.line"]
    assert len(list(folder.glob("cells/*.queued"))) == 5
    assert sweep.count_bad() == (0, 1)


def test_where_a_run_stands_is_noted_every_few_seconds_and_forgotten_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    noting = Noting(Silent(), tmp_path)
    noting.start(2, "model", "fit", 10)
    noting.advance(3)
    assert Standing.read(tmp_path) is None  # because five seconds have not passed
    clock[0] += 6
    noting.advance(2)
    assert Standing.read(tmp_path) == Standing(2, "model", "fit", 5, 10, 6.0)
    clock[0] += 1
    noting.advance(5)
    standing = Standing.read(tmp_path)
    assert standing is not None
    assert standing.done == 5
    noting.close()
    assert list(tmp_path.iterdir()) == []
    noting.close()


def test_a_note_that_cannot_be_written_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noting = Noting(Silent(), tmp_path / "missing")
    monkeypatch.setattr("collapse_lab.sinks.noting.PERIOD", 0.0)
    noting._due = 0.0
    noting.start(0, "model", "fit", 1)
    assert Standing.read(tmp_path / "missing") is None


@pytest.mark.parametrize(("seconds", "text"), [(None, ""), (3.2, "3 s"), (150, "2 min"), (9000, "2.5 h")])
def test_a_duration_is_said_as_a_person_says_it(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_what_stopped_runs_have_left_in_the_store_is_listed_with_what_removes_it(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One run has its store elsewhere, as its environment.json says."""
    alone, elsewhere = runs / SIGNATURE / "alone", runs / "else where"
    (alone / "environment.json").write_text(json.dumps({"paths": {"runs": str(runs), "store": str(elsewhere)}}))
    checkpoint = runs / ".store" / ".checkpoints" / "fit-0a.safetensors"
    fresh, draft = checkpoint.with_name("fit-1a.safetensors"), elsewhere / ".checkpoints" / "fit-2a.safetensors.draft"
    for file in (checkpoint, fresh, draft):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(2_500_000))
        if file is not fresh:
            os.utime(file, (time.time() - 90_000, time.time() - 90_000))
    before = files(runs)
    main([str(runs)])
    assert files(runs) == before
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"store {runs / '.store'}: 1 checkpoint (2.5 MB) of fits that were stopped more than a day ago; the commands "
        "of their runs go on from there. If none of them is going to be given again, this frees the room: rm -r "
        f"{checkpoint}",
        f"store {elsewhere}: 1 draft (2.5 MB), which killed processes have left and nothing reads; this frees the "
        f"room: rm -r '{draft}'",
    ]
