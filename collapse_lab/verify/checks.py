"""Checks of what a claims file says: keys, seeds, statistics with their arguments, and ranges."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from collapse_lab.config.binding import check_type
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.verify import statistics
from collapse_lab.verify.measured import Needed
from collapse_lab.verify.statistics import GroupName, MetricName

_NEEDED = ("at_least", "at_most", "between")


def check_keys(entry: Any, required: Sequence[str], where: str, optional: Sequence[str] = ()) -> None:
    """Refuse what is no mapping, an unknown key, and a required key that is missing.

    Raises:
        UserError: One of these.
    """
    known = (*required, *optional)
    if not isinstance(entry, dict):
        raise UserError(f"{where} should be a mapping with {', '.join(required)}; got {type(entry).__name__}")
    for key in entry:
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), known)}")
    missing = [key for key in required if key not in entry]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")


def check_seeds(seeds: Any, where: str) -> None:
    """Refuse seeds that are no list of whole numbers.

    Raises:
        UserError: They are none.
    """
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise UserError(f"{where}: 'seeds' should be a list of whole numbers; got {seeds!r}")


def check_test(statistic: Any, arguments: Any, groups: Mapping[str, Any], where: str) -> None:
    """Refuse a statistic that there is not, and arguments that it does not take.

    Args:
        statistic: The name of the statistic.
        arguments: Its arguments.
        groups: The groups of the claim, by name.
        where: What messages call the claim.

    Raises:
        UserError: The message names the key, what was expected and what was given.
    """
    known = statistics.known()
    if statistic not in known:
        raise UserError(f"{where}: there is no statistic '{statistic}'; {did_you_mean(str(statistic), known)}")
    _, *signature = inspect.signature(known[statistic]).parameters.items()  # the first parameter takes the groups
    parameters = dict(signature)
    hints = typing.get_type_hints(known[statistic])
    if not isinstance(arguments, dict):
        raise UserError(f"{where}: 'arguments' should be a mapping; {statistic} takes {', '.join(parameters)}")
    for name, value in arguments.items():
        if name not in parameters:
            raise UserError(f"{where}: {statistic} has no argument '{name}'; {did_you_mean(str(name), parameters)}")
        if hints[name] is GroupName and value not in groups:
            raise UserError(f"{where}: {name} '{value}' is not one of its groups; {did_you_mean(str(value), groups)}")
        if hints[name] is MetricName:
            _check_metric(value, f"{where}: {name}")
        elif hints[name] is not GroupName:
            check_type(f"{where}: {name}", value, hints[name])
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in arguments]
    if missing:
        raise UserError(f"{where}: {statistic} needs {', '.join(missing)}")


def check_needed(needed: Any, where: str) -> Needed:
    """Return the range of `at_least: x`, `at_most: x` or `between: [x, y]`.

    Raises:
        UserError: It is none of these.
    """
    kind, value = next(iter(needed.items())) if isinstance(needed, dict) and len(needed) == 1 else (None, None)
    ends = value if isinstance(value, list) else [value]
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if kind not in _NEEDED or not numbers or len(ends) != (2 if kind == "between" else 1) or ends != sorted(ends):
        raise UserError(f"{where}: 'needed' should be one of at_least: x, at_most: x, between: [x, y]; got {needed!r}")
    return {
        "at_least": lambda: Needed(low=float(ends[0])),
        "at_most": lambda: Needed(high=float(ends[0])),
        "between": lambda: Needed(*map(float, ends)),
    }[kind]()


def _check_metric(value: Any, where: str) -> None:
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f"{where} should be <subset>/<features>/<metric> or <subset>/<probe>; got {value!r}")
