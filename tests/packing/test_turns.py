from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from collapse_lab.packing import turns
from collapse_lab.packing.turns import Turn, ask, clock, together, wait_until
from collapse_lab.storage.files import locked


@dataclass(frozen=True)
class Word:
    """A request that answers with its own text."""

    text: str

    def alone(self) -> str:
        return self.text


class Log:
    """What happened, in its order; whoever writes while another cell runs is found out."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._alone = threading.Lock()

    def say(self, line: str) -> None:
        assert self._alone.acquire(blocking=False)
        time.sleep(0.002)
        self.lines.append(line)
        self._alone.release()

    def serve(self, asking: Sequence[Turn]) -> None:
        texts = [turn.request.alone() for turn in asking if turn.request]
        self.say("+".join(texts))
        for turn, text in zip(asking, texts, strict=True):
            turn.answer(text.upper(), 0.0)


def cell(log: Log, name: str, requests: int) -> Callable[[], None]:
    def body() -> None:
        log.say(f"{name} begins")
        for number in range(requests):
            assert ask(Word(f"{name}{number}")) == f"{name}{number}".upper()
            log.say(f"{name} has {number}")

    return body


def test_cells_go_on_in_turn_and_meet_where_they_ask() -> None:
    log = Log()
    assert together([cell(log, "a", 2), cell(log, "b", 1)], 2, log.serve) == [None, None]
    assert log.lines == ["a begins", "b begins", "a0+b0", "a has 0", "b has 0", "a1", "a has 1"]


def test_the_next_cell_begins_when_one_has_ended() -> None:
    log = Log()
    together([cell(log, "a", 1), cell(log, "b", 2), cell(log, "c", 1)], 2, log.serve)
    assert [line for line in log.lines if line[1].isdigit()] == ["a0+b0", "b1+c0"]


def test_a_failure_is_its_own_cells() -> None:
    log = Log()

    def fails() -> None:
        ask(Word("x"))
        raise ValueError("by itself")

    def refuse(asking: Sequence[Turn]) -> None:
        for turn in asking:
            outcome = KeyError("by request") if turn.request == Word("a0") else "B0"
            turn.answer(outcome, 0.0)

    errors = together([cell(log, "a", 1), fails, cell(log, "b", 1)], 3, refuse)
    assert [type(error) for error in errors] == [KeyError, ValueError, type(None)]
    assert log.lines[-1] == "b has 0"


def test_outside_of_a_pack_all_is_done_at_once() -> None:
    assert ask(Word("now")) == "now"
    assert not wait_until(lambda: True, "nothing")
    before = time.perf_counter()
    assert before <= clock() <= time.perf_counter()


def test_a_lock_of_another_cell_is_waited_for_in_turn(tmp_path: Path) -> None:
    """Also where the one that waits comes first."""
    log = Log()

    def body(name: str, first: str) -> Callable[[], None]:
        def run() -> None:
            ask(Word(first))
            with locked(tmp_path / "lock", "a stage"):
                log.say(f"{name} in")
                ask(Word(f"{name}1"))
                log.say(f"{name} out")
            ask(Word(f"{name}2"))

        return run

    def serve(asking: Sequence[Turn]) -> None:
        # b first, so that a finds the lock taken
        first = max(asking, key=lambda turn: str(turn.request))
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

    def waits() -> None:
        with locked(tmp_path / "lock", "fit 1234"):
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

    def body(name: str) -> Callable[[], None]:
        def run() -> None:
            try:
                ask(Word(name))
            except KeyboardInterrupt:
                ended.append(name)
                raise

        return run

    def serve(asking: Sequence[Turn]) -> None:
        if where == "while one runs":
            asking[0].answer("", 0.0)
            asking[1]._running = True  # as it is found by a Ctrl-C that breaks into the wait for it
            asking[1]._back.release()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together([body("a"), body("b"), body("never")], 2, serve)
    assert ended == ["a", "b"]


def test_the_clock_of_a_cell_stands_still_while_it_is_parked() -> None:
    spent: list[float] = []

    def body() -> None:
        begun = clock()
        ask(Word(""))
        spent.append(clock() - begun)

    def serve(asking: Sequence[Turn]) -> None:
        time.sleep(0.05)
        for turn in asking:
            turn.answer("", 1000.0)  # its share of what a program took, by whatever clock

    together([body, body], 2, serve)
    for seconds in spent:
        assert seconds == pytest.approx(1000, abs=0.04)
