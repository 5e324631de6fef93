"""Refuse the network that does not fit into the memory, before its tensors are allocated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from collapse_lab.memory import require

# The functions of torch by which a constructor allocates
NAMES = ("empty", "zeros", "ones", "full", "rand", "randn", "randint", "randperm", "arange", "linspace", "eye")
FACTORIES = frozenset(getattr(torch, name) for name in NAMES)


@contextmanager
def bounded(what: str, remedy: str) -> Iterator[None]:
    """Refuse the first tensor inside the block that, together with those before it, does not fit into the memory.

    Args:
        what: what is built in the block, as messages name it.
        remedy: what to do about it.

    Raises:
        UserError: a tensor is too large. It is not allocated.
    """
    with _Adding(what, remedy):
        yield


class _Adding(TorchFunctionMode):
    """Add up the bytes that the factories of torch allocate, before they do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__()
        self._what, self._remedy = what, remedy
        self.total = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func in FACTORIES:
            plain = {key: value for key, value in given.items() if key not in ("generator", "out", "pin_memory")}
            try:
                self.total += int(func(*args, **{**plain, "device": "meta"}).nbytes)
            except (RuntimeError, OverflowError, TypeError) as error:
                if "overflow" not in str(error).lower():
                    return func(*args, **given)  # because the arguments are wrong in another way
                self.total = 2**63  # because the size is beyond int64
            require(self.total, self._what, self._remedy)
        return func(*args, **given)
