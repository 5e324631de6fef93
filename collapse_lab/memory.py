"""How much memory settings would take: refused by arithmetic, before anything is allocated.

The numbers are lower bounds. A run that passes may still need more, but a typing error of some zeros does not make the
machine swap until the kernel kills a process. What a GPU cannot hold is known only when it fails, and `gpu_too_small`
words that.
"""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

from collapse_lab.errors import UserError

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container

GPU_FREED = "end what else computes on this GPU, or give device=cpu"  # the remedy where no setting takes less memory


def gpu_too_small(to: str, remedy: str) -> UserError:
    """Return the error of what a GPU has no memory for.

    Args:
        to: what it is too small to do, such as "fit 64 rows at a time".
        remedy: what to do about it.
    """
    return UserError(f"the memory of the GPU is too small to {to}; {remedy}. What is finished is kept")


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
