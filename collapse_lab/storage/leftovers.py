"""Find what stopped processes have left in a store. Nothing is removed: who stopped a run may go on with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from collapse_lab.storage.files import is_held
from collapse_lab.storage.snapshots import DRAFT
from collapse_lab.storage.store import CHECKPOINTS, SUFFIX

DAY = 86400.0  # seconds without a change from which on something counts as left


@dataclass(frozen=True)
class Leftover:
    """Hold one file or folder that no process of this machine works on.

    Attributes:
        path: where it lies.
        bytes: its size.
        is_checkpoint: whether a fit goes on from it when its command is given again. Nothing reads the others: a
            process that was killed while it wrote has left them.
    """

    path: Path
    bytes: int
    is_checkpoint: bool


def leftovers(root: Path) -> list[Leftover]:
    """Return the checkpoints and the drafts of a store that nothing has changed for a day and no process works on.

    A day, because on a file system that machines share the processes of the others cannot be seen, and because a fit
    that was stopped today will often be gone on with.

    Args:
        root: the folder of the store; where there is none, nothing is left.

    Raises:
        UserError: COLLAPSE_LAB_LOCKS says what it cannot say.
    """
    return [made for path, stage in _candidates(root) if (made := _looked_at(path, root / ".locks" / stage))]


def _candidates(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield what may be left, with the name of the lock that is held while it is written."""
    for path in sorted((root / CHECKPOINTS).glob("*")):
        yield path, path.name.removesuffix(DRAFT).removesuffix(SUFFIX)
    for path in sorted((root / ".tmp").glob("*-*")):
        yield path, "-".join(path.name.removeprefix("forgotten-").split("-")[:2])


def _looked_at(path: Path, lock: Path) -> Leftover | None:
    """Return what is left at a path; None where it is worked on, may be, or has gone meanwhile."""
    try:
        stats = [file.stat() for file in (path, *path.glob("*"))]
    except FileNotFoundError:
        return None
    if time.time() - max(stat.st_mtime for stat in stats) < DAY or is_held(lock):
        return None
    return Leftover(path, sum(stat.st_size for stat in stats), path.name.endswith(SUFFIX))
