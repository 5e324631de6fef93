from __future__ import annotations

import json
from pathlib import Path

import pytest

from collapse_lab.engine.outcome import GOOD, Outcome, failure
from collapse_lab.errors import Diverged, UserError


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("runs/a", "ok", "", 1.5),
        Outcome("", "failed", 'a "reason" of two\nlines, with an é', 0.0),
        Outcome("runs/a", "interrupted"),
    ],
)
def test_an_outcome_is_read_back_as_it_was_written(tmp_path: Path, outcome: Outcome) -> None:
    path = tmp_path / "status.json"
    Outcome("runs/other", "lost").write(path)
    outcome.write(path)
    assert Outcome.read(path) == outcome
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


def test_the_fields_of_the_file_are_the_public_format(tmp_path: Path) -> None:
    Outcome("runs/a", "ok", "", 1.5).write(tmp_path / "status.json")
    assert json.loads((tmp_path / "status.json").read_text()) == {
        "run": "runs/a",
        "status": "ok",
        "reason": "",
        "seconds": 1.5,
    }


def test_a_process_that_left_no_file_is_lost(tmp_path: Path) -> None:
    outcome = Outcome.read(tmp_path / "status.json")
    assert (outcome.run, outcome.status) == ("", "lost")
    assert "killed" in outcome.reason


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (UserError("give another number"), "failed"),
        (MemoryError("too much"), "failed"),
        (SystemExit(3), "failed"),
        (Diverged("of a model"), "failed"),  # the loop records it; one that gets out of the loop is an error
    ],
)
def test_ctrl_c_interrupts_a_run_and_every_other_exception_fails_it(error: BaseException, status: str) -> None:
    assert failure(error, "runs/a", 2.0) == Outcome("runs/a", status, str(error), 2.0)  # type: ignore[arg-type]


def test_a_job_that_is_queued_again_is_interrupted() -> None:
    assert failure(SystemExit(-1), "runs/a", 2.0).status == "interrupted"


def test_a_run_that_diverges_ends_well() -> None:
    assert set(GOOD) == {"ok", "diverged"}
