"""Run cells of one process in turns: each has a thread of its own, and one thread runs at a time.

Because global generators, progress bars and Lightning are not made for threads, a cell runs by itself until it parks.
It parks where it needs a fit or samples, which can be computed together with those of other cells; where another holds
a lock that it needs; and at its end. While all cells are parked, the thread that started them fulfils their requests.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from collapse_lab.types import Executor, FitRequest, SampleRequest, Samples

log = logging.getLogger(__name__)

POLL = 0.1  # seconds between two attempts to get a lock that another process holds

Body = Callable[[Executor], None]
Serve = Callable[[Sequence["Turn"]], None]


class Turn:
    """Be the executor of one cell, whose body runs in a thread of its own.

    Args:
        body: the cell, which is given this executor.

    Attributes:
        request: what the cell is parked for, None where it can go on.
        waiting: the work whose lock the cell is parked for, None where there is none.
        announced: the work that the user was last told that the cell waits for.
        error: the exception that ended the cell, None before its end and for a good end.
        done: whether the cell has ended.
        idle: seconds that the cell was parked, less its share of the programs that it took part in.
    """

    def __init__(self, body: Body) -> None:
        self.request: FitRequest | SampleRequest | None = None
        self.waiting: str | None = None
        self.announced: str | None = None
        self.error: BaseException | None = None
        self.done, self.idle = False, 0.0
        self._stopped, self._running = False, False
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._outcome: Any = None
        self._thread = threading.Thread(target=self._run, args=(body,), daemon=True)

    def fit(self, request: FitRequest) -> None:
        """Park until the model is fitted, in place."""
        self._ask(request)

    def sample(self, request: SampleRequest) -> Samples:
        """Park until the model is sampled, and return the samples."""
        samples: Samples = self._ask(request)
        return samples

    def clock(self) -> float:
        """Return seconds of this cell's own work; only differences of two readings have a meaning.

        They are the wall time, less the time that the cell was parked, plus, for each program that it took part in,
        the program's wall time divided by its members.
        """
        return time.perf_counter() - self.idle

    def wait(self, attempt: Callable[[float], bool], work: str) -> None:
        """Try again after each turn of the other cells, until an attempt succeeds."""
        while not attempt(0):
            self.waiting = work
            self._park()
        self.waiting = None

    def resume(self) -> None:
        """Let the cell run until it parks or ends. The thread that started the cells calls it."""
        self._running = True
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()
        self._running = False

    def answer(self, outcome: Any, seconds: float) -> None:
        """Give the cell the outcome of its request.

        Args:
            outcome: what the request returns; an exception is raised in the cell.
            seconds: the cell's share of the wall time.
        """
        self.request, self._outcome = None, outcome
        self.idle -= seconds

    def stop(self) -> None:
        """End the cell where it is parked, as Ctrl-C would."""
        self._stopped = True
        if self._running:
            self._back.acquire()
        if self._thread.ident is not None and not self.done:
            self.resume()

    def _ask(self, request: FitRequest | SampleRequest) -> Any:
        self.request = request
        self._park()
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _park(self) -> None:
        """Let the thread that started the cells run, until it resumes this cell.

        Raises:
            KeyboardInterrupt: the cell was told to stop.
        """
        begun = time.perf_counter()
        if not self._stopped:
            self._back.release()
            self._go.acquire()
        if self._stopped:
            raise KeyboardInterrupt
        self.idle += time.perf_counter() - begun

    def _run(self, body: Body) -> None:
        try:
            body(self)
        except BaseException as error:  # because `together` returns it, in the thread that started the cells
            self.error = error
        finally:
            self.done = True
            self._back.release()


def together(bodies: Sequence[Body], at_once: int, serve: Serve) -> list[BaseException | None]:
    """Run cells side by side, and return the exception that ended each of them, None for a good end.

    Args:
        bodies: the cells; each is called with its executor.
        at_once: how many run side by side, 1 or more; the next one starts as soon as one has ended.
        serve: called with cells that are all parked with a request; it answers one or more of them.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C, and every cell has ended. A second Ctrl-C does not wait for them.
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


def _settle(live: Sequence[Turn]) -> None:
    """Let cells run until each has ended, has made a request, or waits for a lock that no other cell releases."""
    moved = True
    while moved:
        moved = False
        for turn in live:
            if turn.request is None and not turn.done:
                before = turn.waiting
                turn.resume()
                moved |= turn.waiting is None or turn.waiting != before


def _wait(live: Sequence[Turn]) -> None:
    """Tell the user, once for each piece of work, what the cells wait for; then sleep until the next attempt."""
    for turn in live:
        if turn.waiting != turn.announced:
            log.warning("waiting for another process that is computing %s", turn.waiting)
            turn.announced = turn.waiting
    time.sleep(POLL)
