"""Run cells of one sweep: fits and samplings that are alike run as one program."""

from __future__ import annotations

from collections.abc import Sequence

from collapse_lab.packing.groups import Server
from collapse_lab.packing.turns import Body, together


def run_packed(cells: Sequence[Body], pack: int) -> list[BaseException | None]:
    """Run cells, up to `pack` of them as one program, and return the exception that ended each; None for a good end.

    Args:
        cells: each is called with the executor that its run is prepared with.
        pack: how many cells run side by side, 1 or more.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C, and every cell has ended.
    """
    return together(cells, pack, Server().serve)
