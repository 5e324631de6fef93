from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from collapse_lab.engine.outcome import Outcome
from collapse_lab.engine.run import Session, lay_out, recording, records_of
from collapse_lab.engine.silent import Silent
from collapse_lab.errors import UserError
from collapse_lab.storage.formats import CONFIG, ENVIRONMENT, STATUS
from collapse_lab.storage.ledger import LEDGER, Ledger
from collapse_lab.types import Record, RunInfo
from tests.standins import Chain

TEXT = "format: 2\nname: a\n"


class Mirror:
    """Keep what a sink is told, in order, and note which files exist when it is closed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.folder = Path()

    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        self.folder = run.folder
        self.calls.append(("open", list(past)))

    def record(self, record: Record) -> None:
        self.calls.append(("record", record))

    def grid(self, generation: int, model: str, subset: str, path: Path) -> None:
        self.calls.append(("grid", path))

    def close(self, status: str) -> None:
        self.calls.append(("close", (status, (self.folder / STATUS).exists())))


class Refusing(Mirror):
    """Fail when it is opened."""

    def open(self, run: RunInfo, past: Sequence[Record]) -> None:
        raise KeyboardInterrupt


def info(folder: Path) -> RunInfo:
    folder.mkdir(exist_ok=True)
    return RunInfo("a", "0" * 12, folder, {"paths": {"runs": str(folder.parent)}, "device": "cpu"})


def record(generation: int, model: str = "model", status: Any = "ok") -> Record:
    return Record(generation, model, {"real": 1}, {}, {}, status, {}, {})


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def status_of(folder: Path) -> Outcome:
    return Outcome.read(folder / STATUS)


PAIR: Mapping[str, Mapping[str, Any]] = {"a": {"mark": 10}, "b": {"mark": 20}}


@pytest.mark.parametrize(
    ("records", "finished"),
    [
        ([], False),
        ([record(g, m) for g in range(2) for m in ("a", "b")], True),
        ([record(0, "a"), record(0, "b"), record(1, "a")], False),
        ([record(0, "a"), record(0, "b"), record(1, "b")], False),
        ([record(g, "a") for g in range(5)], False),
        ([record(0, "a", "diverged")], True),
        ([record(0, "a"), record(0, "b", "diverged")], True),
    ],
)
def test_a_run_is_finished_with_every_generation_of_every_model_or_a_divergence(
    tmp_path: Path, records: list[Record], finished: bool
) -> None:
    layout = Chain(tmp_path, members=PAIR, generations=1).layout()
    assert layout.is_finished(records) is finished


def test_a_layout_lists_every_stage_once_and_shared_ones_first(tmp_path: Path) -> None:
    layout = Chain(tmp_path, generations=2).layout()
    kinds = [stage.kind for stage in layout.stages]
    # Real features of both splits, what FID knows of them, and the floor; then, of each generation, fit, samples, a
    # grid and features
    assert kinds == ["features", "features", "known", "floor", *["fit", "sample", "sample", "features"] * 3]
    assert len({stage.key for stage in layout.stages}) == len(kinds)
    assert not (tmp_path / "store").exists()


def test_stages_of_a_layout_are_the_stages_that_a_run_stores(tmp_path: Path) -> None:
    chain = Chain(tmp_path, generations=1)
    chain.run()
    for kind in ("fit", "sample", "features", "known", "floor"):
        assert {stage.key for stage in chain.layout().stages if stage.kind == kind} == chain.stored(kind)
    assert all(stage.ready for stage in chain.layout().stages)


def test_a_run_that_cannot_draw_its_rows_is_refused_while_it_is_laid_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="5000 real rows are asked for and there are 1258"):
        lay_out(Chain(tmp_path, n=5000).lab(), Silent())


@pytest.mark.parametrize("names", [[], [LEDGER], [CONFIG]])
def test_a_folder_without_a_ledger_and_a_configuration_has_no_records(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("not read")
    assert records_of(tmp_path) == []


def test_records_are_those_of_the_ledger(tmp_path: Path) -> None:
    with recording(info(tmp_path / "run"), [], TEXT) as session:
        session.ledger.append(record(0))
    assert records_of(tmp_path / "run") == [record(0)]


def test_configuration_and_environment_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = info(tmp_path / "run")
    with recording(run, [], TEXT):
        # They are there before anything is computed, so that a killed run can be continued
        assert (run.folder / CONFIG).read_text() == TEXT
        environment = (run.folder / ENVIRONMENT).read_bytes()
    assert json.loads(environment)["paths"] == run.config["paths"]
    assert {"commit", "packages", "machine", "command", "started"} <= json.loads(environment).keys()
    monkeypatch.setattr("sys.argv", ["another command"])
    with recording(run, [], "another text"):
        pass
    assert (run.folder / CONFIG).read_text() == TEXT
    assert (run.folder / ENVIRONMENT).read_bytes() == environment


def test_the_configuration_is_written_last_so_that_with_it_the_environment_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = info(tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setattr("collapse_lab.engine.run.describe_environment", lambda paths, device: 1 / 0)
        with pytest.raises(ZeroDivisionError), recording(run, [], TEXT):
            raise AssertionError("the block begins without an environment")
    assert not (run.folder / CONFIG).exists()
    with recording(run, [], TEXT):
        pass
    assert (run.folder / ENVIRONMENT).exists()


ENDS: list[tuple[Any, type[BaseException] | None, str, str]] = [
    ("ok", None, "ok", ""),
    ("diverged", None, "diverged", ""),
    (ValueError("two words"), ValueError, "failed", "two words"),
    (UserError("give another number"), UserError, "failed", "give another number"),
    (KeyboardInterrupt(), KeyboardInterrupt, "interrupted", ""),
    (SystemExit(3), SystemExit, "failed", "3"),
    (OSError(errno.EIO, "Input/output error"), OSError, "failed", "Input/output error"),
]


@pytest.mark.parametrize(("end", "raised", "status", "reason"), ENDS, ids=lambda value: str(value))
def test_the_status_says_how_a_run_ended_and_sinks_are_closed_with_it(
    tmp_path: Path, end: Any, raised: type[BaseException] | None, status: str, reason: str
) -> None:
    run, mirrors = info(tmp_path / "run"), [Mirror(), Mirror()]

    def body() -> None:
        with recording(run, mirrors, TEXT) as session:
            assert not (run.folder / STATUS).exists()
            session.ledger.append(record(0))
            if isinstance(end, BaseException):
                raise end
            session.status = end

    if raised is None:
        body()
    else:
        with pytest.raises(raised) as caught:
            body()
        assert caught.value is end
    outcome = status_of(run.folder)
    assert (outcome.run, outcome.status) == (str(run.folder), status)
    assert reason in outcome.reason
    assert 0 < outcome.seconds < 60
    for mirror in mirrors:
        # The status is on disk before a sink, which may take long, is closed
        assert mirror.calls == [("open", []), ("close", (status, True))]
    assert records_of(run.folder) == [record(0)]


def test_a_block_that_sets_no_status_has_failed(tmp_path: Path) -> None:
    with recording(info(tmp_path / "run"), [], TEXT) as session:
        assert isinstance(session, Session)
    assert status_of(tmp_path / "run").status == "failed"


def test_sinks_are_opened_with_the_records_of_an_earlier_process(tmp_path: Path) -> None:
    run = info(tmp_path / "run")
    with recording(run, [], TEXT) as session:
        session.ledger.append(record(0))
        session.ledger.append(record(1))
    mirror = Mirror()
    with recording(run, [mirror], TEXT) as session:
        session.status = "ok"
    assert mirror.calls == [("open", [record(0), record(1)]), ("close", ("ok", True))]


def test_ctrl_c_while_sinks_open_is_an_interrupted_run_and_closes_the_sinks_that_are_open(tmp_path: Path) -> None:
    run, first, last = info(tmp_path / "run"), Mirror(), Mirror()
    with pytest.raises(KeyboardInterrupt), recording(run, [first, Refusing(), last], TEXT):
        raise AssertionError("the block begins without its sinks")
    assert status_of(run.folder).status == "interrupted"
    assert first.calls == [("open", []), ("close", ("interrupted", True))]
    assert last.calls == []


def test_a_new_end_replaces_the_status_of_an_earlier_one(tmp_path: Path) -> None:
    run = info(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), recording(run, [], TEXT):
        raise KeyboardInterrupt
    with recording(run, [], TEXT) as session:
        session.status = "ok"
    assert status_of(run.folder).status == "ok"


@pytest.mark.parametrize("when", ["at the first file", "in the block", "in the block and at its end"])
def test_a_full_disk_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    run, mirror = info(tmp_path / "run"), Mirror()
    before = Ledger(run.folder / LEDGER)
    before.append(record(0))

    def body(patched: pytest.MonkeyPatch) -> None:
        with recording(run, [mirror], TEXT) as session:
            if when == "in the block and at its end":
                patched.setattr(Path, "write_bytes", full)
            patched.setattr(os, "write", full)
            session.ledger.append(record(1))

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        if when == "at the first file":
            patched.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match=r"the disk of .*run is full\. What is in the ledger is whole: make room"):
            body(patched)
    if when == "in the block":
        assert status_of(run.folder).status == "failed"
        assert "run is full. What is in the ledger is whole" in status_of(run.folder).reason
        assert caplog.records == []
    else:
        assert not (run.folder / STATUS).exists()
        assert [entry.getMessage() for entry in caplog.records] == [
            f"{run.folder / STATUS} cannot be written (No space left on device); the run ended as failed"
        ]
    assert [name for name, _ in mirror.calls] == ([] if when == "at the first file" else ["open", "close"])
    assert before.records() == [record(0)]
    with recording(run, [], TEXT) as session:
        session.ledger.append(record(1))
        session.status = "ok"
    assert records_of(run.folder) == [record(0), record(1)]
    assert status_of(run.folder).status == "ok"
