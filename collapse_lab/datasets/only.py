"""Choice of some classes of a data set by their words or numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from collapse_lab.errors import UserError, did_you_mean


def check_only(only: Sequence[int | str] | None) -> None:
    """Check the argument `only`.

    Raises:
        UserError: when it is one word instead of a list, is empty or names a class twice.
    """
    if only is None:
        return
    if isinstance(only, str) or not only:
        raise UserError(f"only must be a list of classes to keep, or null for all, got {only!r}: write only=[bird]")
    if len(set(only)) != len(only):
        raise UserError(f"only must name each class once, got {list(only)}: remove the repeated ones")


def numbers_of(only: Sequence[int | str] | None, classes: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the classes to keep.

    Args:
        only: classes by their words or numbers; None keeps all.
        classes: the word of each label.

    Returns:
        Class numbers, in the order of `only`.

    Raises:
        UserError: when a class does not exist or is named twice, or the data set has no classes.
    """
    if only is None:
        return tuple(range(len(classes)))
    if not classes:
        raise UserError(f"only={list(only)} chooses classes, and this data set has none: set only to null")
    numbers = tuple(_number(name, classes) for name in only)
    if len(set(numbers)) != len(numbers):
        raise UserError(f"only={list(only)} names a class by its word and by its number: remove one of them")
    return numbers


def renumbered(labels: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Return every label as its place in `numbers`.

    Args:
        labels: (n,), each one of `numbers`.
        numbers: class numbers that are kept.

    Returns:
        (n,) int64 in [0, len(numbers)).
    """
    new_label = np.full(max(numbers) + 1, -1, np.int64)
    new_label[list(numbers)] = np.arange(len(numbers))
    return np.asarray(new_label[labels])


def _number(name: int | str, classes: Sequence[str]) -> int:
    if isinstance(name, str):
        if name not in classes:
            raise UserError(f"only: no class is called '{name}': {did_you_mean(name, classes)}")
        return list(classes).index(name)
    if not 0 <= name < len(classes):
        raise UserError(f"only: classes are numbered from 0 to {len(classes) - 1}, got {name}: give one of them")
    return name
