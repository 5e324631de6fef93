"""How much memory settings would take: refused by arithmetic, before anything is allocated.

The numbers are lower bounds. A run that passes may still need more, but a typing error of some zeros does not make the
machine swap until the kernel kills a process.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from collapse_lab.errors import UserError

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container
# The functions of torch by which a constructor allocates
FACTORIES = ("empty", "zeros", "ones", "full", "rand", "randn", "randint", "randperm", "arange", "linspace", "eye")


@cache
def installed() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its container's where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(LIMIT.read_text()))
    except (OSError, ValueError):  # because there is no container, or it has no limit
        return machine


def require(needed: float, what: str, remedy: str) -> None:
    """Refuse what does not fit into the memory.

    Args:
        needed: bytes, at least.
        what: what takes them, as messages name it.
        remedy: what to do about it.

    Raises:
        UserError: more bytes than are installed.
    """
    if needed > installed():
        raise UserError(
            f"{what} would take {readable(needed)} of memory or more, and this machine has {readable(installed())}; "
            f"{remedy}"
        )


def readable(size: float) -> str:
    """Return a number of bytes with two or three digits and a unit, such as 1.5 GB."""
    power = min(len(UNITS) - 1, max(0, int(math.log10(max(size, 1)) / 3)))
    number = size / 1000**power
    return f"{number:.3g} {UNITS[power]}" if number < 1000 else f"{number:.0e} {UNITS[power]}"


@contextmanager
def bounded(what: str, remedy: str) -> Iterator[None]:
    """Refuse the first tensor inside the block that, together with those before it, does not fit into the memory.

    Args:
        what: what is built in the block, as messages name it.
        remedy: what to do about it.

    Raises:
        UserError: a tensor is too large. It is not allocated.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    factories = {getattr(torch, name) for name in FACTORIES}

    class Adding(TorchFunctionMode):
        """Add up what the factories of torch allocate, before they do."""

        total = 0

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            given = kwargs or {}
            if func in factories:
                plain = {key: value for key, value in given.items() if key not in ("generator", "out", "pin_memory")}
                try:
                    self.total += int(func(*args, **{**plain, "device": "meta"}).nbytes)
                except (RuntimeError, OverflowError, TypeError) as error:
                    if "overflow" not in str(error).lower():
                        return func(*args, **given)  # because the arguments are wrong in another way
                    self.total = 2**63  # because the size is beyond int64
                require(self.total, what, remedy)
            return func(*args, **given)

    with Adding():
        yield
