"""Ranges of numbers that constructors declare; `config.binding` checks them before anything is built.

Whole numbers have an upper end too, far above what anyone needs: a typing error of some zeros is refused at once and
does not run until the memory or the user's patience ends.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt


class Infinite:
    """Mark an annotated number that may be infinite; every other number of a configuration has to be finite."""


LARGEST = 2**31 - 1  # of a setting: no machine does so many steps or holds so many rows

Count = Annotated[int, Ge(1), Le(LARGEST)]
Natural = Annotated[int, Ge(0), Le(LARGEST)]
Whole = Annotated[int, Ge(0)]  # of any size: a seed, or what is bounded by arithmetic
Width = Annotated[int, Ge(1), Le(65_536)]  # of a layer, whose weights grow with the square
Layers = Annotated[int, Ge(1), Le(1000)]  # of a network, whose construction takes a while for each
Times = Annotated[int, Ge(1), Le(100_000)]  # of a diffusion process
Side = Annotated[int, Ge(1), Le(10_000)]  # of a picture, in pixels
Resamplings = Annotated[int, Ge(0), Le(10_000)]  # behind an interval; all of them are held at once
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
ProperShare = Annotated[float, Ge(0), Lt(1)]
Extended = Annotated[float, Infinite()]
AUTO: Literal["auto"] = "auto"
Batch = Count | Literal["auto"]  # rows at a time; `auto` depends on the device (`nn.batches`)
