"""Ranges of numbers that constructors declare; `config.binding` checks them before anything is built."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt


class Infinite:
    """Mark an annotated number that may be infinite; every other number of a configuration has to be finite."""


Count = Annotated[int, Ge(1)]
Natural = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
ProperShare = Annotated[float, Ge(0), Lt(1)]
Extended = Annotated[float, Infinite()]
