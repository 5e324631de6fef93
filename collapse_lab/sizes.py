"""How many rows each generation trains on or samples: one number for all generations, or a schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lab.errors import UserError

Sizes = int | tuple[int, ...]  # M of every generation, or M_0, M_1, …
ConfiguredSizes = int | Mapping[str, Any]  # sizes as a configuration writes them: a number or a schedule

SCHEDULE = "by_generation"  # the key under which a setting lists a value for each generation
POWER = ("first", "exponent")  # the keys of a schedule that grows as a power
LARGEST = 2**31  # sizes that grow have to stay below it
STEP = 3000  # bytes, at least, that the plan of a run holds for each generation of each member
MOST_STAGES = 50_000  # fits and samplings of a run, whose plan is made before it starts: a millisecond for each


def read_sizes(name: str, configured: ConfiguredSizes, generations: int, least: int = 1) -> Sizes:
    """Return M as configured, or the sizes M_0, …, M_{G+1} of a schedule: of G + 1 training sets and the last samples.

    A schedule has one of two forms:
    {first: M_0, exponent: p} means M_g = ⌈M_0 (g + 1)^p⌉.
    {by_generation: [M_0, …, M_G]} lists a size for each generation. Nothing is trained on the samples of the last
    generation: it samples the number that follows in the list, or M_G if the list ends there.

    Args:
        name: What the sizes are called in the configuration.
        configured: The number or the schedule.
        generations: G, the last generation.
        least: The smallest size that is allowed.

    Raises:
        UserError: The form is another one, a size is below `least`, or the list has too few sizes for the generations.
    """
    if isinstance(configured, int) and not isinstance(configured, bool):
        return _checked(name, configured, least)
    if not isinstance(configured, Mapping) or set(map(str, configured)) not in ({SCHEDULE}, set(POWER)):
        raise UserError(
            f"{name} takes int, or a schedule: {{first: 100, exponent: 2}} or {{{SCHEDULE}: [100, 400, 900]}}; got "
            f"{dict(configured) if isinstance(configured, Mapping) else configured!r}"
        )
    if SCHEDULE in configured:
        return _listed(name, configured[SCHEDULE], generations, least)
    return _grown(name, configured["first"], configured["exponent"], generations, least)


def check_stages(generations: int, each: int) -> None:
    """Refuse a run whose plan alone would take minutes.

    Args:
        generations: G, the last generation.
        each: fits and samplings of one generation, at least.

    Raises:
        UserError: the run has more than 50,000 fits and samplings.
    """
    if (generations + 1) * each > MOST_STAGES:
        raise UserError(
            f"generations={generations} is {(generations + 1) * each} fits and samplings or more, and a run has at "
            f"most {MOST_STAGES}; give generations={MOST_STAGES // each - 1} or fewer"
        )


def first_size(configured: ConfiguredSizes) -> Any:
    """Return M_0, the number of real rows that sizes begin with.

    Args:
        configured: The number or the schedule. For a form that `read_sizes` refuses the result has no meaning.
    """
    if not isinstance(configured, Mapping):
        return configured
    listed = configured.get(SCHEDULE)
    return listed[0] if isinstance(listed, Sequence) and listed else configured.get("first", 0)


def size_at(sizes: Sizes, generation: int) -> int:
    """Return M_g, the size of one generation."""
    return sizes if isinstance(sizes, int) else sizes[generation]


def _listed(name: str, sizes: Any, generations: int, least: int) -> tuple[int, ...]:
    if not isinstance(sizes, list) or not sizes:
        raise UserError(f"{name}.{SCHEDULE} should be a list of sizes, one for each generation; got {sizes!r}")
    if len(sizes) <= generations:
        raise UserError(
            f"{name}.{SCHEDULE} ends at generation {len(sizes) - 1}, and generations={generations}; lengthen the list "
            f"to {generations + 1} sizes, or give generations={len(sizes) - 1}"
        )
    checked = [_checked(f"{name}.{SCHEDULE}", size, least) for size in sizes]
    return tuple([*checked, checked[-1]][: generations + 2])


def _grown(name: str, first: Any, exponent: Any, generations: int, least: int) -> tuple[int, ...]:
    # Because NumPy and SciPy take long to import, only schedules import them
    import numpy as np

    from collapse_lab.theory.schedules import power_schedule

    start = _checked(f"{name}.first", first, max(least, 1))
    if not isinstance(exponent, int | float) or isinstance(exponent, bool) or not math.isfinite(exponent):
        raise UserError(f"{name}.exponent should be the power by which sizes grow, such as 0, 1 or 2; got {exponent!r}")
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
