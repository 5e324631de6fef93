"""Batches of consecutive rows."""

from __future__ import annotations


def spans(n: int, size: int) -> list[slice]:
    """Return consecutive slices that cover n rows, `size` rows each; the last slice holds the remainder."""
    return [slice(lo, min(lo + size, n)) for lo in range(0, n, size)]
