"""How many rows each generation trains on: the same number in all of them, or a schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lab.errors import UserError

Sizes = int | tuple[int, ...]  # M of every generation, or M_0, M_1, …
Given = int | Mapping[str, Any]  # as a configuration writes them

SCHEDULE = "by_generation"  # the key under which something has a value per generation
POWER = ("first", "exponent")
LARGEST = 2**31


def read_sizes(name: str, given: Given, generations: int, least: int = 1) -> Sizes:
    """M as given, or M_0, …, M_{G+1} of a schedule: G + 1 training sets, and the samples of the last generation.

    {first: M_0, exponent: p}: M_g = ⌈M_0 (g + 1)^p⌉.
    {by_generation: [M_0, …, M_G]}: a size for each generation. Nothing is trained on the samples of the last one; it
        samples as many as the list goes on to say, or else M_G.

    name: what the sizes are called in the configuration.

    Raises:
        UserError: another form, a size below `least`, or more generations than the list has.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        return _checked(name, given, least)
    if not isinstance(given, Mapping) or set(map(str, given)) not in ({SCHEDULE}, set(POWER)):
        raise UserError(
            f"{name} takes int, or a schedule: {{first: 100, exponent: 2}} or {{{SCHEDULE}: [100, 400, 900]}}; got "
            f"{dict(given) if isinstance(given, Mapping) else given!r}"
        )
    if SCHEDULE in given:
        return _listed(name, given[SCHEDULE], generations, least)
    return _grown(name, given["first"], given["exponent"], generations, least)


def first_size(given: Given) -> Any:
    """M_0, the real rows that sizes begin with; of sizes that `read_sizes` refuses, whatever."""
    if not isinstance(given, Mapping):
        return given
    listed = given.get(SCHEDULE)
    return listed[0] if isinstance(listed, Sequence) and listed else given.get("first", 0)


def size_at(sizes: Sizes, generation: int) -> int:
    """M_g."""
    return sizes if isinstance(sizes, int) else sizes[generation]


def _listed(name: str, sizes: Any, generations: int, least: int) -> tuple[int, ...]:
    if not isinstance(sizes, list) or not sizes:
        raise UserError(f"{name}.{SCHEDULE} is a list of sizes, one for each generation; got {sizes!r}")
    if len(sizes) <= generations:
        raise UserError(
            f"{name}.{SCHEDULE} ends at generation {len(sizes) - 1}, and generations={generations}; lengthen the list "
            f"to {generations + 1} sizes, or give generations={len(sizes) - 1}"
        )
    checked = [_checked(f"{name}.{SCHEDULE}", size, least) for size in sizes]
    return tuple([*checked, checked[-1]][: generations + 2])


def _grown(name: str, first: Any, exponent: Any, generations: int, least: int) -> tuple[int, ...]:
    # NumPy and SciPy take longer to import than most lines need
    import numpy as np

    from collapse_lab.theory.schedules import power_schedule

    start = _checked(f"{name}.first", first, max(least, 1))
    if not isinstance(exponent, int | float) or isinstance(exponent, bool) or not math.isfinite(exponent):
        raise UserError(f"{name}.exponent is the power by which sizes grow, such as 0, 1 or 2; got {exponent!r}")
    if math.log(start) + exponent * math.log(generations + 2) >= math.log(LARGEST):
        raise UserError(
            f"{name} grows beyond {LARGEST} rows within {generations} generations; lower {name}.exponent, "
            f"{name}.first or generations"
        )
    sizes = power_schedule(np.arange(generations + 2), start, float(exponent))
    return tuple(_checked(name, size, least) for size in sizes.tolist())


def _checked(name: str, size: Any, least: int) -> int:
    if not isinstance(size, int) or isinstance(size, bool):
        raise UserError(f"{name} takes int; got {size!r}")
    if size < least:
        raise UserError(f"{name} is {least} or more; got {size}")
    return size
