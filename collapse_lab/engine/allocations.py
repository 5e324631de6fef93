"""Refuse the network that does not fit into the memory, before its tensors are allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from collapse_lab.memory import require

T = TypeVar("T")

# The functions of torch by which a constructor allocates
NAMES = ("empty", "zeros", "ones", "full", "rand", "randn", "randint", "randperm", "arange", "linspace", "eye")
FACTORIES = frozenset(getattr(torch, name) for name in NAMES)


def built_in_memory(build: Callable[[], T], what: str, remedy: str, dry: bool) -> T:
    """Return what a function builds, if its tensors fit into the memory.

    Args:
        build: builds a network.
        what: what is built, as messages name it.
        remedy: what to do about it.
        dry: whether it is built first on torch's meta device, which allocates nothing: so not even the tensors before
            the one that is too large are allocated.

    Raises:
        UserError: the tensors do not fit into the memory.
    """
    sizes = _Adding(what, remedy)
    if dry:
        # Whatever else is wrong is said the second time: a constructor may read values, and the meta device has none
        with suppress(Exception), sizes, torch.device("meta"):
            build()
        require(sizes.total, what, remedy)
    with bounded(what, remedy):
        return build()


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
