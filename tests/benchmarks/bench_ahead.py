"""Fits whose steps are drawn ahead by a thread, against fits whose steps are drawn in turn.

`python -m tests.benchmarks.bench_ahead [cuda]`: the same fits take turns, and the medians are compared; above 1.00 the
thread pays. Beside it stands what drawing takes of a step that is drawn in turn, and how much of the drawing is random
numbers: that part stays on the CPU whatever else moves to a GPU, because a run's numbers are the same on both.
"""

from __future__ import annotations

import statistics
import sys
from contextlib import AbstractContextManager
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from collapse_lab.engine.ahead import AHEAD, Drawing
from collapse_lab.engine.silent import Silent
from collapse_lab.models.ddpm import DDPM
from collapse_lab.models.vae import VAE
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Samples, Spec
from tests.benchmarks.bench_phases import seconds

ROWS, TURNS = 2000, 5
# name, family, shape of an image, rows of a step, steps of a fit on a CPU and on a GPU
SIZES = [
    ("U-Net, 8x8 x 48", DDPM, (1, 8, 8), 48, 60, 1000),
    ("U-Net, 32x32x3 x 64", DDPM, (3, 32, 32), 64, 8, 500),
    ("VAE, 28x28 x 64", VAE, (1, 28, 28), 64, 60, 1000),
]
SEEDS = Seeds(0, 0, "bench", "fit")


def data(shape: tuple[int, ...]) -> tuple[Spec, Samples]:
    images = torch.randint(256, (ROWS, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Spec("image", shape, classes=("one", "other")), Samples(images, np.arange(ROWS) % 2)


def ahead_by(steps: int) -> AbstractContextManager[object]:
    """Return the block in which every fit draws so many steps ahead."""
    return patch.object(Drawing, "steps_ahead", lambda module, device: steps)


class Drawn:
    """Draw as a model does, and take the time.

    Attributes:
        seconds: of all that was drawn.
        random: of as many random numbers alone.
    """

    def __init__(self, model: Drawing) -> None:
        self._draw, self._noise = model.draw, torch.Generator()
        self.seconds = self.random = 0.0

    def __call__(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return what a step trains on."""
        parts: list[tuple[Tensor, ...]] = []
        self.seconds += seconds(lambda: parts.append(self._draw(rows)))
        self.random += seconds(lambda: torch.randn(parts[0][-1].shape, generator=self._noise))
        return parts[0]


def main(device: str = "cpu") -> None:
    for name, family, shape, batch, on_cpu, on_gpu in SIZES:
        spec, rows = data(shape)
        steps = on_cpu if device == "cpu" else on_gpu
        budget, model = Budget(steps, batch, device=device), family(spec)

        def fit(ahead: int, model: DDPM | VAE = model, budget: Budget = budget, rows: Samples = rows) -> float:
            with ahead_by(ahead):
                return seconds(lambda: model.fit(rows, budget, SEEDS, Silent()))

        fit(0), fit(AHEAD)
        turns = [(fit(0), fit(AHEAD)) for _ in range(TURNS)]
        in_turn, ahead = (statistics.median(each) for each in zip(*turns, strict=True))
        drawn = Drawn(model)
        with patch.object(model, "draw", drawn):
            fit(0)
        whole = drawn.seconds / steps
        print(
            f"{name:20} in turn / ahead: {in_turn / ahead:.2f}; a step {1e3 * in_turn / steps:.1f} ms, of which "
            f"drawing {1e3 * whole:.2f} ms ({whole / in_turn * steps:.1%}), {drawn.random / drawn.seconds:.0%} of it "
            "random numbers"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
