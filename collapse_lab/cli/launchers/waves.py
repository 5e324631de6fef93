"""Which stages several cells of a sweep share, and in which order jobs compute them before the cells begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Place = tuple[str, str]  # kind and key of a stage


@dataclass(frozen=True)
class Ancestor:
    """Hold a job that computes stages which the same cells share.

    Attributes:
        cells: the positions of these cells in the sweep.
        stages: what the job computes, in this order.
        after: the positions of the jobs that compute what more cells share, which have to end before it.
    """

    cells: frozenset[int]
    stages: tuple[Place, ...]
    after: tuple[int, ...]


def ancestors(cells: Sequence[Sequence[Place]]) -> list[Ancestor]:
    """Return the jobs that compute what cells share, those of the most cells first.

    Stages that the same cells share are computed by one job. It comes after the jobs whose stages all its cells share
    with further ones, because it may read their stages: no job waits for the lock of another.

    Args:
        cells: for each cell the stages that it needs and the store does not hold, in the order of their computing.
    """
    owners: dict[Place, set[int]] = {}
    for number, places in enumerate(cells):
        for place in places:
            owners.setdefault(place, set()).add(number)
    groups: dict[frozenset[int], list[Place]] = {}
    for place, numbers in owners.items():
        if len(numbers) > 1:
            groups.setdefault(frozenset(numbers), []).append(place)
    ordered = sorted(groups, key=lambda numbers: (-len(numbers), sorted(numbers)))
    return [
        Ancestor(
            numbers,
            tuple(groups[numbers]),
            tuple(place for place, other in enumerate(ordered[:position]) if numbers < other),
        )
        for position, numbers in enumerate(ordered)
    ]


def after(jobs: Sequence[Ancestor], cells: int) -> Mapping[tuple[int, ...], list[int]]:
    """Return the cells by the jobs after which they may begin: those that compute something of theirs.

    Args:
        jobs: what `ancestors` returned.
        cells: how many cells there are.
    """
    waiting: dict[tuple[int, ...], list[int]] = {}
    for number in range(cells):
        own = tuple(place for place, job in enumerate(jobs) if number in job.cells)
        waiting.setdefault(own, []).append(number)
    return waiting
