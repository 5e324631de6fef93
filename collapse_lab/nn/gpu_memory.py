"""Say what to lower where the memory of a GPU is too small for what stands beside training and sampling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from collapse_lab.errors import UserError

OTHERWISE = "end what else computes on this GPU, or give device=cpu"


@contextmanager
def encoding(rows: int, what: str) -> Iterator[None]:
    """Explain an error of memory inside the block.

    Args:
        rows: How many are encoded at a time, as `model.encoding_batch` says.
        what: One of them, as messages name it.

    Raises:
        UserError: the memory of the GPU is too small for them.
    """
    together = f"{rows} {what}s at a time" if rows > 1 else f"one {what}"
    with _explained(f"encode {together}", "lower model.encoding_batch" if rows > 1 else OTHERWISE):
        yield


@contextmanager
def holding_networks() -> Iterator[None]:
    """Explain an error of memory inside the block, where networks are moved to the GPU.

    Raises:
        UserError: the memory of the GPU is too small for them.
    """
    with _explained("hold the networks of the model", OTHERWISE):
        yield


@contextmanager
def _explained(failed: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"the memory of the GPU is too small to {failed}; {remedy}. What is finished is kept"
        ) from error
