"""Rows in batches."""

from __future__ import annotations


def spans(n: int, size: int) -> list[slice]:
    """Slices of `size` rows, the last one of what is left, that are n rows together."""
    return [slice(lo, min(lo + size, n)) for lo in range(0, n, size)]
