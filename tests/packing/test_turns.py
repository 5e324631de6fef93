from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from collapse_lab.engine.silent import Silent
from collapse_lab.packing import turns
from collapse_lab.packing.turns import Body, Turn, together
from collapse_lab.seeds import Seeds
from collapse_lab.storage.files import locked
from collapse_lab.types import Executor, FitRequest, SampleRequest

NONE: Any = None


def ask(executor: Executor, text: str) -> Any:
    """Make a request that holds a text alone, and return the answer."""
    return executor.sample(SampleRequest(NONE, {}, {}, 0, NONE, Seeds(0, 0, "model", text), Silent()))


def text_of(turn: Turn) -> str:
    """Return the text of the request that a cell is parked for."""
    assert turn.request is not None
    return turn.request.seeds.role


class Log:
    """Collect lines in the order in which they are said. Two cells that run at once are found out."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._alone = threading.Lock()

    def say(self, line: str) -> None:
        assert self._alone.acquire(blocking=False)
        time.sleep(0.002)
        self.lines.append(line)
        self._alone.release()

    def serve(self, asking: Sequence[Turn]) -> None:
        """Answer each request with its text in capitals."""
        texts = [text_of(turn) for turn in asking]
        self.say("+".join(texts))
        for turn, text in zip(asking, texts, strict=True):
            turn.answer(text.upper(), 0.0)


def cell(log: Log, name: str, requests: int) -> Body:
    """Return a cell that makes requests one after another."""

    def body(executor: Executor) -> None:
        log.say(f"{name} begins")
        for number in range(requests):
            assert ask(executor, f"{name}{number}") == f"{name}{number}".upper()
            log.say(f"{name} has {number}")

    return body


def test_cells_run_in_turn_and_meet_where_they_make_requests() -> None:
    log = Log()
    assert together([cell(log, "a", 2), cell(log, "b", 1)], 2, log.serve) == [None, None]
    assert log.lines == ["a begins", "b begins", "a0+b0", "a has 0", "b has 0", "a1", "a has 1"]


def test_the_next_cell_begins_when_one_has_ended() -> None:
    log = Log()
    together([cell(log, "a", 1), cell(log, "b", 2), cell(log, "c", 1)], 2, log.serve)
    assert [line for line in log.lines if line[1].isdigit()] == ["a0+b0", "b1+c0"]


def test_the_executor_of_a_cell_is_its_turn_and_gets_its_requests() -> None:
    given: list[Executor] = []
    requests: list[Any] = []
    fit = FitRequest(NONE, {}, NONE, NONE, Seeds(0, 0, "model", "fit"), Silent())

    def body(executor: Executor) -> None:
        given.append(executor)
        executor.fit(fit)
        assert ask(executor, "sample") == 7

    def serve(asking: Sequence[Turn]) -> None:
        assert list(asking) == given
        requests.append(asking[0].request)
        asking[0].answer(None if asking[0].request is fit else 7, 0.0)

    assert together([body], 1, serve) == [None]
    assert requests[0] is fit
    assert isinstance(requests[1], SampleRequest)
    assert len(requests) == 2


def test_a_failure_ends_its_own_cell_alone() -> None:
    log = Log()

    def fails(executor: Executor) -> None:
        ask(executor, "x")
        raise ValueError("by itself")

    def refuse(asking: Sequence[Turn]) -> None:
        for turn in asking:
            outcome = KeyError("by request") if text_of(turn) == "a0" else "B0"
            turn.answer(outcome, 0.0)

    errors = together([cell(log, "a", 1), fails, cell(log, "b", 1)], 3, refuse)
    assert [type(error) for error in errors] == [KeyError, ValueError, type(None)]
    assert log.lines[-1] == "b has 0"


def test_a_cell_waits_in_turn_for_a_lock_of_another_cell(tmp_path: Path) -> None:
    """The cell that waits comes first."""
    log = Log()

    def body(name: str, first: str) -> Body:
        def run(executor: Executor) -> None:
            ask(executor, first)
            with locked(tmp_path / "lock", "a stage", executor):
                log.say(f"{name} in")
                ask(executor, f"{name}1")
                log.say(f"{name} out")
            ask(executor, f"{name}2")

        return run

    def serve(asking: Sequence[Turn]) -> None:
        # b first, so that a finds the lock taken
        first = max(asking, key=text_of)
        log.serve([first] if log.lines == [] else asking)

    together([body("a", "x"), body("b", "y")], 2, serve)
    assert log.lines == ["y", "b in", "x+b1", "b out", "a in", "a1+b2", "a out", "a2"]


def test_a_lock_of_another_process_holds_up_no_other_cell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, lock = Log(), FileLock(tmp_path / "lock", thread_local=False)
    looks: list[int] = []
    lock.acquire()  # by a thread that takes no turns, which is as good as another process

    def look(seconds: float) -> None:
        looks.append(len(log.lines))
        if len(looks) == 2:
            lock.release()

    def waits(executor: Executor) -> None:
        with locked(tmp_path / "lock", "fit 1234", executor):
            log.say("at last")

    monkeypatch.setattr(turns, "time", SimpleNamespace(sleep=look, perf_counter=time.perf_counter))
    with caplog.at_level(logging.WARNING):
        together([waits, cell(log, "b", 2)], 2, log.serve)
    assert log.lines == ["b begins", "b0", "b has 0", "b1", "b has 1", "at last"]
    assert [record.message for record in caplog.records] == ["waiting for another process that is computing fit 1234"]
    assert set(looks) == {5}


@pytest.mark.parametrize("where", ["while they are served", "while one runs"])
def test_ctrl_c_ends_every_cell_where_it_is(where: str) -> None:
    ended: list[str] = []

    def body(name: str) -> Body:
        def run(executor: Executor) -> None:
            try:
                ask(executor, name)
            except KeyboardInterrupt:
                ended.append(name)
                raise

        return run

    def serve(asking: Sequence[Turn]) -> None:
        if where == "while one runs":
            asking[0].answer("", 0.0)
            asking[1]._running = True  # as a Ctrl-C that breaks into the wait for the cell finds it
            asking[1]._back.release()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together([body("a"), body("b"), body("never")], 2, serve)
    assert ended == ["a", "b"]


def test_the_clock_of_a_cell_stands_still_while_it_is_parked() -> None:
    spent: list[float] = []

    def body(executor: Executor) -> None:
        begun = executor.clock()
        ask(executor, "")
        spent.append(executor.clock() - begun)

    def serve(asking: Sequence[Turn]) -> None:
        time.sleep(0.05)
        for turn in asking:
            turn.answer("", 1000.0)  # its share of what a program took, by whatever clock

    together([body, body], 2, serve)
    for seconds in spent:
        assert seconds == pytest.approx(1000, abs=0.04)


def test_a_lock_that_is_free_parks_no_cell() -> None:
    log = Log()

    def body(executor: Executor) -> None:
        executor.wait(lambda seconds: seconds == 0, "nothing")
        log.say("on")

    turn = Turn(body)
    turn.resume()
    assert (turn.done, turn.waiting, turn.error, log.lines) == (True, None, None, ["on"])
    assert turn.idle == 0
