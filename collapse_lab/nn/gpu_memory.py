"""Say what to lower where the memory of a GPU is too small for what stands beside training and sampling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from collapse_lab.memory import GPU_FREED, gpu_too_small


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
    with _explained(f"encode {together}", "lower model.encoding_batch" if rows > 1 else GPU_FREED):
        yield


@contextmanager
def holding_networks() -> Iterator[None]:
    """Explain an error of memory inside the block, where networks are moved to the GPU.

    Raises:
        UserError: the memory of the GPU is too small for them.
    """
    with _explained("hold the networks of the model", GPU_FREED):
        yield


@contextmanager
def _explained(failed: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise gpu_too_small(failed, remedy) from error
