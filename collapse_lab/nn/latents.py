"""Normal noise of many rows, drawn a span at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.nn.spans import spans

GROUP = 16  # numbers that torch draws together; fewer are drawn one by one, and come out otherwise


def normal(
    n: int, shape: Sequence[int], size: int, generator: torch.Generator
) -> Iterator[Float[Tensor, rows * shape]]:
    """Yield standard normal noise of the rows of each span, equal to that of one `torch.randn(n, *shape)`.

    All of it at once would take four times the memory of the images that come out of it. The generator is left where
    the one call would leave it.

    Args:
        n: the number of rows.
        shape: the shape of a row.
        size: the rows of a span; the last span holds the remainder.
        generator: the generator of the noise, on the CPU.
    """
    numbers, chunk = math.prod(shape), -(-size // GROUP) * GROUP
    left, held = n, torch.empty(0, *shape)
    for span in spans(n, size):
        wanted = span.stop - span.start
        while len(held) < wanted:
            rows = chunk if (left - chunk) * numbers >= GROUP else left
            drawn = torch.randn(rows, *shape, generator=generator)
            held, left = torch.cat([held, drawn]) if len(held) else drawn, left - rows
        yield held[:wanted]
        held = held[wanted:]
