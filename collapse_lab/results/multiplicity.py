"""What is left of the p values of a table when it is read as a whole: Holm's method."""

from __future__ import annotations

from collections.abc import Sequence

ERROR = 0.05  # how often one claim, and by Holm's method the whole table, may have a false verdict


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values after Holm's method, which keeps the chance of any false verdict in a table below 5 %.

    The i-th smallest of m p values becomes max over j ≤ i of min(1, (m - j + 1) p_j). A verdict whose new p value is at
    most 0.05 stands. The p values may depend on each other.

    Args:
        p_values: The p value of each claim or comparison, in [0, 1]; None where there is none, which does not count.

    Returns:
        The new p values in the same order, each in [0, 1].

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted
