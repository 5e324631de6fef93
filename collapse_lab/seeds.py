"""Draw all random numbers from (seed, generation, model, role) and from nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Seeds:
    """Represent a place in the tree of seeds. Two places share no random numbers; one place always gives the same ones.

    Settings that a sweep changes (ratio, guidance) are no part of the place. So the cells of a sweep draw the same
    random numbers, and their results can be compared in pairs.

    Attributes:
        seed: the run's seed.
        generation: 0 or more.
        model: the name of a member of the population, or `real`.
        role: what the numbers are for; a child adds its own role after a slash.
    """

    seed: int
    generation: int
    model: str
    role: str

    @property
    def path(self) -> list[int | str]:
        """Return the place as it enters a stage's key: seed, generation, model, role."""
        return [self.seed, self.generation, self.model, self.role]

    def child(self, role: str) -> Seeds:
        """Return the place below this one that has a role of its own."""
        return Seeds(self.seed, self.generation, self.model, f"{self.role}/{role}")

    @property
    def entropy(self) -> int:
        """Return 63 bits of SHA-256 over the path, an int in [0, 2^63).

        Sums or products of the parts would be equal for different places; these bits are not.
        """
        digest = hashlib.sha256("\x1f".join(map(str, self.path)).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def numpy(self) -> np.random.Generator:
        """Return a NumPy generator that is seeded by this place."""
        return np.random.default_rng(self.entropy)

    def torch(self) -> torch.Generator:
        """Return a torch generator on the CPU that is seeded by this place.

        Noise is drawn on the CPU and then moved, so a chain draws the same numbers on every device.
        """
        import torch

        return torch.Generator().manual_seed(self.entropy)

    @contextmanager
    def scoped(self, device: str = "cpu") -> Iterator[None]:
        """Seed torch's global generators from this place inside the block, and restore them after it.

        It serves code that takes no generator: the initialisation of parameters, and dropout.

        Args:
            device: cpu, or cuda where the block draws on the present GPU too.
        """
        import torch

        gpus = [torch.cuda.current_device()] if device == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            # Because torch.manual_seed would also wake GPUs that the run does not use, seed each generator by itself
            torch.default_generator.manual_seed(self.entropy)
            if gpus:
                torch.cuda.manual_seed(self.entropy)
            yield
