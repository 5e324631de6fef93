"""Read the overrides of a command line as Hydra reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from collapse_lab.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


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
