"""Keep a run going when a mirror of it fails, because the ledger has everything."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")

log = logging.getLogger(__name__)


class Mirror(Protocol):
    """Be a sink that turns itself off when it fails.

    Attributes:
        title: what warnings call it.
        failed: whether it is off.
    """

    title: ClassVar[str]
    failed: bool

    def abandon(self) -> None:
        """End what is open."""
        ...


M = TypeVar("M", bound=Mirror)


def harmless(method: Callable[Concatenate[M, P], None]) -> Callable[Concatenate[M, P], None]:
    """Return the method in a form that never raises: its first failure is a warning and turns the sink off.

    Args:
        method: a method of a mirror.

    Returns:
        The guarded method, of the same signature.
    """

    @functools.wraps(method)
    def guarded(self: M, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.failed:
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.failed = True
            with suppress(Exception):
                self.abandon()
            log.warning("%s is off for the rest of this run (%s: %s)", self.title, type(error).__name__, error)

    return guarded
