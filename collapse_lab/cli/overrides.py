"""Read the overrides of a command line as Hydra reads them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from collapse_lab.errors import UserError
from collapse_lab.sinks.lines import Lines

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def add_run_options(parser: ArgumentParser) -> None:
    """Let a command take the options of a run and of a sweep, so that the same line can be given to it."""
    parser.add_argument("-m", "--multirun", action="store_true", help="of a sweep; says nothing here, and may be given")
    parser.add_argument("--config-dir", "-cd", metavar="FOLDER", help="a folder of further yaml files, as of the run")


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Return the overrides of a sweep, of which each has one value or several.

    Args:
        overrides: the command line, without `-m`.

    Raises:
        UserError: an override cannot be read.
    """
    # Because Hydra takes longer to import than --help may take
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise UserError(f"{' '.join(str(error).split())}; write KEY=VALUE, or KEY=A,B,C of a sweep") from error


def cells_of(overrides: Sequence[str]) -> list[list[str]]:
    """Return the command line of each cell of a sweep: `ratio=0,1` gives two.

    Args:
        overrides: the command line of the sweep, without `-m`.

    Raises:
        UserError: an override cannot be read.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    (cells,) = BasicSweeper.split_arguments(parsed(overrides), None)
    return [list(line) for line in cells]


def told(cells: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield the cells, and tell on stderr how many of them are read, because a cell takes most of a second."""
    terminal = Console(stderr=True)
    if terminal.is_terminal:
        yield from track(cells, "reading cells", console=terminal, transient=True)
        return
    lines = Lines(partial(print, file=sys.stderr))
    lines.start("reading cells", len(cells))
    for cell in cells:
        yield cell
        lines.advance(1)
