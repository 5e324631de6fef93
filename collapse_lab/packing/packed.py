"""Run cells of one sweep so that what is alike is fitted and sampled as one program."""

from __future__ import annotations

from collections.abc import Sequence

from collapse_lab.packing.groups import Server
from collapse_lab.packing.turns import Body, together


def run_packed(cells: Sequence[Body], pack: int) -> list[BaseException | None]:
    """Run cells, up to `pack` of them as one program, and return what ended each of them.

    Args:
        cells: each is called with the executor that its run is to be prepared with.
        pack: how many go together, 1 or more.
    """
    return together(cells, pack, Server().serve)
