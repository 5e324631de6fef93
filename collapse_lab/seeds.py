"""Randomness from (seed, generation, model, role) and from nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@cache
def _gpus() -> int:
    import torch

    return torch.cuda.device_count()  # looks for the driver's library each time that it is asked


@dataclass(frozen=True)
class Seeds:
    """A place in the tree of seeds. Two places share no randomness; the same place always gives the same.

    The swept knobs (ratio, guidance) are no part of the place, so the cells of a sweep are paired by construction.
    """

    seed: int
    generation: int
    model: str
    role: str

    @property
    def path(self) -> list[int | str]:
        """The place as it enters a stage's key."""
        return [self.seed, self.generation, self.model, self.role]

    def child(self, role: str) -> Seeds:
        """The place below this one."""
        return Seeds(self.seed, self.generation, self.model, f"{self.role}/{role}")

    @property
    def entropy(self) -> int:
        """63 bits of SHA-256 over the path: no sum or product of its parts can collide."""
        digest = hashlib.sha256("\x1f".join(map(str, self.path)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def numpy(self) -> np.random.Generator:
        return np.random.default_rng(self.entropy)

    def torch(self) -> torch.Generator:
        """A CPU generator: noise is drawn on the CPU and moved, so a chain draws the same on every device."""
        import torch

        return torch.Generator().manual_seed(self.entropy)

    @contextmanager
    def scoped(self) -> Iterator[None]:
        """Torch's global generators seeded from here inside the block, and as they were after it.

        For code that offers no generator argument: parameter initialisation and dropout.
        """
        import torch

        devices = list(range(_gpus()))
        with torch.random.fork_rng(devices=devices):
            # torch.manual_seed would also queue a call, with its stack, for GPUs that are not there
            torch.default_generator.manual_seed(self.entropy)
            if devices:
                torch.cuda.manual_seed_all(self.entropy)
            yield
