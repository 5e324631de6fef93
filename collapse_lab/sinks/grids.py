"""Find the grids of samples that a run has drawn."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

_GRID = re.compile(r"(?P<model>.+)-g(?P<generation>\d+)\.png")


def grids_of(folder: Path) -> defaultdict[tuple[int, str], list[tuple[str, Path]]]:
    """Return (prompt set, path) of each grid in a run folder, by generation and model.

    A killed process may have left the grid of a generation that is not in the ledger. The engine draws that grid again,
    so a sink takes only the grids of recorded generations.
    """
    found = defaultdict(list)
    for path in sorted((folder / "grids").glob("*/*.png")):
        if match := _GRID.fullmatch(path.name):
            found[int(match["generation"]), match["model"]].append((path.parent.name, path))
    return found
