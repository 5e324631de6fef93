"""How many rows a model samples at a time: a number, or as many as the memory of a GPU holds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.memory import GPU_FREED, gpu_too_small
from collapse_lab.nn.spans import spans
from collapse_lab.types import AUTO, Batch

GPU_ROWS = 1024  # what `auto` begins with on a GPU; more rows would keep no GPU busier


def given_or_usual(batch: Batch, usual: int) -> int:
    """Return a configured number of rows at a time, and for `auto` what is usual on a CPU."""
    return usual if batch == AUTO else int(batch)


class Halving:
    """Compute batches of rows. On a GPU, those of `auto` are halved until its memory holds one, and stay so.

    Args:
        batch: the configured number of rows at a time, or `auto`.
        usual: what `auto` is on a CPU, where larger batches leave the cache and are slower.
        device: where the rows are computed.
        divides: whether the result of a row does not depend on the rows beside it. Else `auto` is `usual` everywhere.

    Attributes:
        rows: the rows of a batch.
    """

    def __init__(self, batch: Batch, usual: int, device: torch.device, divides: bool = True) -> None:
        self._auto = batch == AUTO and divides
        large = self._auto and device.type != "cpu"
        self.rows = self._most = GPU_ROWS if large else given_or_usual(batch, usual)

    def compute(self, batch: slice, part: Callable[[slice], Tensor]) -> Tensor:
        """Return what is computed of the n rows of a batch, (n, …).

        Args:
            batch: which rows of all: n is `rows`, or less in the last batch.
            part: computes the rows of a slice of it.

        Raises:
            UserError: the memory of the GPU is too small for the configured number, or for one row.
        """
        n = batch.stop - batch.start
        while True:
            try:
                parts = spans(n, min(n, self._most))
                return torch.cat([part(slice(batch.start + at.start, batch.start + at.stop)) for at in parts])
            except torch.OutOfMemoryError as error:
                if not self._auto or self._most == 1:
                    raise self._too_small(min(n, self._most)) from error
            # Outside the except block, because the error holds the tensors of the failed attempt
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._most = (min(n, self._most) + 1) // 2

    def _too_small(self, rows: int) -> UserError:
        if self._auto:
            return gpu_too_small("sample one row", GPU_FREED)
        return gpu_too_small(f"sample {rows} rows at a time", "lower model.sampling_batch")
