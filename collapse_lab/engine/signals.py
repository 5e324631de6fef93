"""Let signals that end a process wait until a fit has come to a place where it can be stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class Signals:
    """Let SIGTERM, SIGINT and SIGUSR2 wait, and do later what they did before.

    SIGINT and SIGTERM end the fit by KeyboardInterrupt, and a handler that was there is called. A second SIGINT does
    not wait. Signals reach the main thread alone, so none waits in another thread.

    Attributes:
        waiting: the numbers of those that wait, the first one first.
    """

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self._before: dict[int, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let signals wait inside the block, from `hold` on."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in self._before.items():
                if handler is not None:  # because a handler that is not Python's cannot be put back
                    signal.signal(number, handler)
            self.deliver()

    def hold(self) -> None:
        """Let signals wait from here on."""
        for number, handler in self._before.items():
            if handler is not None:
                signal.signal(number, self._note)

    def deliver(self) -> None:
        """Do what the signals that wait did before the fit, the first one first.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM ends the fit.
        """
        while self.waiting:
            number = self.waiting.pop(0)
            handler = self._before[number]
            if callable(handler):
                handler(number, None)
            elif handler == signal.SIG_DFL and number == signal.SIGTERM:
                raise KeyboardInterrupt  # because Lightning by itself ends a fit in the same way
            elif handler == signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = number == signal.SIGINT and number in self.waiting
        self.waiting.append(number)
        if again:
            self.deliver()
