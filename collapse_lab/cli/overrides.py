"""Read the overrides of a command line as Hydra reads them."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING

from collapse_lab.errors import UserError

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
