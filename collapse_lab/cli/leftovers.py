"""Say what stopped runs have left in their stores, and the commands that remove it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from collapse_lab.errors import UserError
from collapse_lab.memory import readable
from collapse_lab.sharing.folders import store_of
from collapse_lab.storage.ledger import runs_below
from collapse_lab.storage.leftovers import Leftover, leftovers


def said_of_leftovers(paths: Sequence[Path]) -> Iterator[str]:
    """Yield a line for the drafts and one for the checkpoints that lie in the stores of runs; none where all is tidy.

    Args:
        paths: run folders, or folders of runs.

    Raises:
        UserError: a path is missing.
    """
    for store in _stores_of(paths):
        left = leftovers(store)
        drafts = [one for one in left if not one.is_checkpoint]
        checkpoints = [one for one in left if one.is_checkpoint]
        if drafts:
            what = _counted("draft", drafts)
            yield f"store {store}: {what}, which killed processes have left and nothing reads; {_removal(drafts)}"
        if checkpoints:
            what = _counted("checkpoint", checkpoints)
            yield (
                f"store {store}: {what} of fits that were stopped more than a day ago; the commands of their runs go "
                f"on from there. If none of them is going to be given again, {_removal(checkpoints)}"
            )


def _stores_of(paths: Sequence[Path]) -> list[Path]:
    """Return the stores that lie at some paths, and those of the runs below them."""
    stores: dict[Path, None] = {}
    for path in paths:
        stores[(path / ".store").resolve()] = None
        for run in runs_below(path):
            try:
                stores[store_of(run).resolve()] = None
            except UserError:  # because its file that says so is missing
                continue
    return list(stores)


def _counted(what: str, left: Sequence[Leftover]) -> str:
    number = f"1 {what}" if len(left) == 1 else f"{len(left)} {what}s"
    return f"{number} ({readable(sum(one.bytes for one in left))})"


def _removal(left: Sequence[Leftover]) -> str:
    return "this frees the room: " + shlex.join(["rm", "-r", *(str(one.path) for one in left)])
