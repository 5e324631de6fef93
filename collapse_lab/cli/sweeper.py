"""Hydra's sweeper of all combinations, with a check that does not grow with the number of seeds and ratios."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.plugins import Plugins

# Because Hydra executes the module of its sweeper again when it looks for plug-ins, let it look before the import
Plugins.instance()
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # noqa: E402

NUMBER = re.compile(r"(?P<key>(?!hydra)[^=@/]+)=[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)


class AlikeSweeper(BasicSweeper):
    """Compose one cell of those that differ in numbers alone before a sweep is launched, and not every cell.

    Hydra composes every cell once in the process that launches it, to find a line that does not compose, and again in
    the process that computes it. The first takes 0.08 s of one core a cell, before any cell starts
    (`tests.benchmarks.bench_driver`). Whether a line composes does not depend on a number in it: ranges are checked by
    `config.composing.compose`, of every cell.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose the last cell of each kind, and raise Hydra's error where it does not compose."""
        kinds = {tuple(map(_kind, cell)): cell for cell in batch}
        super().validate_batch_is_legal(list(kinds.values()))


def _kind(override: str) -> str:
    """Return an override without its value where this is a number that chooses no option of a group."""
    number = NUMBER.fullmatch(override)
    return f"{number['key']}=" if number else override
