"""The two ways in which a run ends early on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can mend: what was expected, what was given, how to mend it (exit code 2)."""


class Diverged(Exception):
    """A model whose loss or samples are no longer finite numbers, or have left every reasonable bound."""


def did_you_mean(given: str, options: Iterable[str]) -> str:
    """A clause that names the nearest of `options`, or lists a few of them when none is near."""
    known = sorted(set(options))
    near = get_close_matches(given, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(known[:20])}" if known else "nothing may be given here"
