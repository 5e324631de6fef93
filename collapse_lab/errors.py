"""Name the two ways in which a run ends early on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Report what the user can mend: what was expected, what was given, how to mend it (exit code 2)."""


class UnknownArgument(UserError):
    """Report an argument that a class does not have.

    Attributes:
        place: the dotted name of the argument in the configuration.
    """

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place

    def __reduce__(self) -> tuple[type[UnknownArgument], tuple[str, str]]:
        return type(self), (self.place, str(self))  # because a worker of a launcher hands it over


class Diverged(Exception):
    """Report a model whose loss or samples are no longer finite numbers, or are beyond a bound."""


def did_you_mean(given: str, options: Iterable[str]) -> str:
    """Return the end of a message: the option nearest to what was given, or up to 20 options where none is near.

    Args:
        given: what the user gave.
        options: what may be given.
    """
    known = sorted(set(options))
    near = get_close_matches(given, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(known[:20])}" if known else "nothing may be given here"
