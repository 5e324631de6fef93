"""Cells of one process that take turns: a thread each, of which one runs at a time.

Global generators, progress bars and Lightning are not made for threads. A cell therefore runs alone until it parks:
where it asks for work that can be done together with that of others, where another holds a lock, and at its end. What
is asked for is done by the thread that started them all, while every cell is parked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

log = logging.getLogger(__name__)

POLL = 0.1  # seconds between two looks at a lock that another process holds

_here = threading.local()


class Request(Protocol):
    """Work that a cell asks for. `alone` does it, and gives or raises what comes of it."""

    def alone(self) -> Any: ...


class Turn:
    """The thread of one cell.

    request: what it is parked for, None where it can go on.
    waiting: the work whose lock it is parked for.  told: the one of them that the user was told of.
    idle: seconds that were not its own.
    """

    def __init__(self, body: Callable[[], None]) -> None:
        self.request: Request | None = None
        self.waiting: str | None = None
        self.told: str | None = None
        self.error: BaseException | None = None
        self.done, self.idle = False, 0.0
        self._stopped, self._running = False, False
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._outcome: Any = None
        self._thread = threading.Thread(target=self._run, args=(body,), daemon=True)

    def resume(self) -> None:
        """Lets the cell run until it parks or ends."""
        self._running = True
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()
        self._running = False

    def answer(self, outcome: Any, seconds: float) -> None:
        """What came of its request, to be given or, if it is an exception, raised; and what it cost the cell."""
        self.request, self._outcome = None, outcome
        self.idle -= seconds

    def stop(self) -> None:
        """Ends the cell where it parks, as Ctrl-C would."""
        self._stopped = True
        if self._running:
            self._back.acquire()
        if self._thread.ident is not None and not self.done:
            self.resume()

    def ask(self, request: Request) -> Any:
        """Called by the cell: parks until the request is answered."""
        self.request = request
        self.park()
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def park(self) -> None:
        """Called by the cell: hands over until it is resumed.

        Raises:
            KeyboardInterrupt: the cells are to end.
        """
        begun = time.perf_counter()
        if not self._stopped:
            self._back.release()
            self._go.acquire()
        if self._stopped:
            raise KeyboardInterrupt
        self.idle += time.perf_counter() - begun

    def _run(self, body: Callable[[], None]) -> None:
        _here.turn = self
        try:
            body()
        except BaseException as error:  # its caller's business, in his own thread
            self.error = error
        finally:
            self.done = True
            self._back.release()


def together(
    bodies: Sequence[Callable[[], None]], at_once: int, serve: Callable[[Sequence[Turn]], None]
) -> list[BaseException | None]:
    """Runs cells, `at_once` of them side by side, the next as soon as one has ended; their failures in their order.

    serve: answers one or more of the cells, all of which are parked with a request.

    Raises:
        KeyboardInterrupt: Ctrl-C, once every cell has ended. (A second one does not wait for them.)
    """
    turns = [Turn(body) for body in bodies]
    try:
        while live := [turn for turn in turns if not turn.done][:at_once]:
            _settle(live)
            asking = [turn for turn in live if turn.request is not None]
            if any(turn.done for turn in live):
                continue
            if asking:
                serve(asking)
            else:
                _wait(live)
    except BaseException:
        for turn in turns:
            turn.stop()
        raise
    return [turn.error for turn in turns]


def ask(request: Request) -> Any:
    """What comes of a request: done here and now, or, in a cell that takes turns, together with those of others."""
    turn = _current()
    return request.alone() if turn is None else turn.ask(request)


def wait_until(attempt: Callable[[], bool], work: str) -> bool:
    """Tries again after each turn of the other cells, until it succeeds; False at once where there are none.

    work: what is waited for, as it is said where another process holds everything up.
    """
    turn = _current()
    if turn is None:
        return False
    while not attempt():
        turn.waiting = work
        turn.park()
    turn.waiting = None
    return True


def clock() -> float:
    """Seconds that only differences of mean something: how long this cell has worked.

    That is the wall time; where cells take turns, less the time that it was parked, plus, for each program that it
    took part in, the program's wall time divided by its members.
    """
    turn = _current()
    return time.perf_counter() - (0.0 if turn is None else turn.idle)


def _current() -> Turn | None:
    return getattr(_here, "turn", None)


def _settle(live: Sequence[Turn]) -> None:
    """Lets cells run until each has ended, asks, or waits for a lock that none of the others lets go of."""
    moved = True
    while moved:
        moved = False
        for turn in live:
            if turn.request is None and not turn.done:
                before = turn.waiting
                turn.resume()
                moved |= turn.waiting is None or turn.waiting != before


def _wait(live: Sequence[Turn]) -> None:
    for turn in live:
        if turn.waiting != turn.told:
            log.warning("waiting for another process that is computing %s", turn.waiting)
            turn.told = turn.waiting
    time.sleep(POLL)
