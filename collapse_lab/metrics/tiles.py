"""Walk all pairs of rows of two sets once, tile by tile, and show each tile to every metric that reads pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from collapse_lab.metrics.clouds import Cloud, beside, clouds
from collapse_lab.metrics.validation import validated
from collapse_lab.types import Estimate, Task

TILE = 1024  # the most rows of one tile
LEAST = 128  # the rows of a tile, within one set, below which products are slow

Known = Mapping[str, Tensor] | None  # what a metric's `of_real` returned for the real rows, or None


@dataclass(frozen=True)
class Tile:
    """Hold the inner products of some rows of one cloud with some rows of another, or of the same one.

    Attributes:
        a: the cloud of the rows.
        b: the cloud of the columns; the same object as `a` where pairs are of one set.
        rows: which rows of a.
        columns: which rows of b. Within one set they begin at the first row of the tile, so that every pair of
            different rows occurs once, except in the square at the left, which holds both orders.
        products: a.near_i · b.near_j, (t, m). Readers must not change it.
    """

    a: Cloud
    b: Cloud
    rows: slice
    columns: slice
    products: Float[Tensor, "t m"]

    @cached_property
    def distances(self) -> Float[Tensor, "t m"]:
        """Return |a_i - b_j|² in units of the squared scale; infinity for a row with itself. Do not change it."""
        distances = torch.add(self.b.norms[self.columns], self.products, alpha=-2)
        distances.add_(self.a.norms[self.rows, None])
        return distances.fill_diagonal_(torch.inf) if self.a is self.b else distances


TileReader = Callable[[Tile], None]


@dataclass(frozen=True)
class Reader:
    """Hold what one metric does with tiles. A kind of pairs that it does not read is None, and costs nothing.

    Attributes:
        finish: returns the estimates, after all tiles.
        of_generated: is given every tile of pairs of generated rows.
        of_real: is given every tile of pairs of real rows.
        of_both: is given every tile of a generated with a real row, after those of the first two kinds.
    """

    finish: Callable[[], Mapping[str, Estimate]]
    of_generated: TileReader | None = None
    of_real: TileReader | None = None
    of_both: TileReader | None = None


def walk(a: Cloud, b: Cloud, readers: Iterable[TileReader | None]) -> None:
    """Show the tiles of two clouds, or of the pairs within one, to readers; the tiles take O(TILE n) memory."""
    present = [reader for reader in readers if reader is not None]
    # Because the square at the left of a tile holds its pairs twice, tiles within one small set are lower
    height = min(TILE, max(LEAST, len(a) // 8)) if a is b else TILE
    for start in range(0, len(a) if present else 0, height):
        rows = slice(start, min(start + height, len(a)))
        columns = slice(start if a is b else 0, len(b))
        tile = Tile(a, b, rows, columns, a.near[rows] @ b.near[columns].T)
        for reader in present:
            reader(tile)


def read(generated: Cloud, real: Cloud, readers: Sequence[Reader]) -> None:
    """Show every kind of tile to the readers that want it."""
    walk(real, real, [reader.of_real for reader in readers])
    walk(generated, generated, [reader.of_generated for reader in readers])
    walk(generated, real, [reader.of_both for reader in readers])


def in_one_pass(tasks: Sequence[Task]) -> list[Mapping[str, Estimate]]:
    """Return the estimates of metrics that have a method `reader`; those of the same sets share their tiles.

    Such a method has the signature `reader(generated: Cloud, real: Cloud, rng, known) -> Reader`. It is given
    `known`, what the metric's `of_real` returned for these real rows.
    """
    found: dict[int, Mapping[str, Estimate]] = {}
    with torch.inference_mode():
        for places in _of_the_same_sets(tasks):
            first = tasks[places[0]]
            generated, real = pair(first.generated.values, first.real.values)
            readers = {i: _reader(tasks[i], generated, real) for i in places}
            read(generated, real, list(readers.values()))
            found |= {i: reader.finish() for i, reader in readers.items()}
    return [found[i] for i in range(len(tasks))]


def _reader(task: Task, generated: Cloud, real: Cloud) -> Reader:
    device = real.near.device
    known = None if task.known is None else {name: values.to(device) for name, values in task.known.items()}
    reader: Reader = task.metric.reader(generated, real, task.rng, known)
    return reader


def pair(generated: Float[Tensor, "*x_shape"], real: Float[Tensor, "*y_shape"]) -> tuple[Cloud, Cloud]:
    """Return clouds of both sets around the mean of the real rows, so that nothing real depends on generated rows.

    Raises:
        UserError: as `validated`.
    """
    generated, real = validated(generated, real)
    (cloud,) = clouds(real)
    return beside(cloud, generated), cloud


def _of_the_same_sets(tasks: Sequence[Task]) -> list[list[int]]:
    groups: dict[tuple[int, int], list[int]] = {}
    for i, task in enumerate(tasks):
        groups.setdefault((id(task.generated.values), id(task.real.values)), []).append(i)
    return list(groups.values())
