"""The end of a sweep: what cannot be written or read hides no first error, and costs no report."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from collapse_lab.cli import sweep
from collapse_lab.cli.run import exit_codes
from collapse_lab.engine.outcome import Outcome
from collapse_lab.errors import UserError
from collapse_lab.verify import __main__ as verify
from tests.report.run_folders import write_run
from tests.verify.made import claim, claims_file
from tests.verify.made import sweep as claim_sweep


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this process have launched a sweep."""
    monkeypatch.setattr(sweep.SweepStart, "folder", tmp_path / "sweeps" / "a")
    return tmp_path / "sweeps" / "a"


def end_cell(folder: Path, number: int, run: Path, outcome: Outcome | None = None) -> None:
    cell = sweep.Cell(folder, number, (f"seed={number}",))
    cell.begin()
    (outcome or Outcome(str(run), "ok")).write(cell.file)


def test_a_corrupt_ledger_is_named_and_the_report_is_written_from_the_others(
    tmp_path: Path, swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write_run(tmp_path / "runs" / str(seed), seed=seed, generations=1, grids=False) for seed in range(3)]
    for seed, run in enumerate(runs):
        end_cell(swept, seed, run)
    (runs[1] / "ledger.jsonl").write_text("nonsense\n")
    assert sweep.close() == ""
    said = capsys.readouterr()
    assert f"report of 2 cells: {swept / 'report.html'}" in said.out
    assert "not in the report: " in said.err
    assert f"{runs[1] / 'ledger.jsonl'}, line 1 is not a record" in said.err
    assert "line 1 is not a record" in (swept / "report.html").read_text()


def test_a_corrupt_ledger_is_named_and_the_claims_are_judged_from_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = claim_sweep(tmp_path / "runs", {0: [1.0, 1.05, 0.95, 1.0], 1: [4.1, 4.2, 3.7, 4.0]})
    file = claims_file(tmp_path / "mine.yaml", claim())
    damaged = max(runs.rglob("ledger.jsonl"))
    damaged.write_text("nonsense\n")
    assert verify.main([str(runs), "--claims", str(file)]) == 1
    said = capsys.readouterr()
    assert f"left out: {damaged}, line 1 is not a record" in said.err
    assert "1 reproduced" in said.out


def test_an_outcome_that_cannot_be_read_is_a_lost_cell(
    tmp_path: Path, swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end_cell(swept, 0, write_run(tmp_path / "runs" / "0", generations=1, grids=False))
    end_cell(swept, 1, tmp_path)
    (swept / "cells" / "0001.json").write_text("{")
    assert sweep.close() == ""
    said = capsys.readouterr()
    assert "lost: seed=1: " in said.err
    assert "report of 1 cells" in said.out


def test_the_first_error_of_a_cell_is_raised_where_its_outcome_cannot_be_written(
    swept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        with monkeypatch.context() as patched, sweep.recorded(sweep.Cell(swept, 0, ("seed=0",))):
            patched.setattr(Path, "write_bytes", full)
            raise UserError("the first error")

    with pytest.raises(UserError, match="the first error"):
        fail()
    assert "0000.json cannot be written (No space left on device); the run ended as failed" in caplog.text
    assert list((swept / "cells").iterdir()) == [swept / "cells" / "0000.line"]  # no draft takes room


def test_a_cell_that_cannot_begin_on_a_full_disk_says_so(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"the disk of .*sweeps/a is full"), sweep.recorded(sweep.Cell(swept, 0, ())):
        raise AssertionError("the cell began")


def test_a_report_that_cannot_be_written_hides_no_first_error(
    tmp_path: Path, swept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end_cell(swept, 0, write_run(tmp_path / "runs" / "0", generations=1, grids=False))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SystemExit) as end, exit_codes():
        raise UserError("the first error")
    assert end.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "collapse_lab: the first error"
    assert said[1].startswith("collapse_lab: the report cannot be written")
    with pytest.raises(ZeroDivisionError), exit_codes():
        raise ZeroDivisionError


def test_a_report_that_cannot_be_written_is_a_failure_of_its_own(
    tmp_path: Path, swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_cell(swept, 0, write_run(tmp_path / "runs" / "0", generations=1, grids=False))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SystemExit) as end, exit_codes():
        pass
    assert end.value.code == 2


def test_a_full_disk_met_by_hydra_is_one_line(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, exit_codes():
        full()
    assert end.value.code == 2
    assert f"collapse_lab: the disk of {swept} is full." in capsys.readouterr().err


def test_a_job_of_a_cluster_that_is_killed_is_one_line(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submitit = pytest.importorskip("submitit")
    with pytest.raises(SystemExit) as end, exit_codes():
        raise submitit.core.utils.UncompletedJobError("Job 1 (task: 0) with path job.pkl\nhas not produced any output")
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("collapse_lab: a job of the cluster ended without a result")
