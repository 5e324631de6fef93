"""A family whose fit can be divided, of a few numbers in double precision, which comes to grief where it is told to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.distributed import get_rank

from collapse_lab.engine import lightning
from collapse_lab.engine.checkpoint import Resumable, global_streams
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.fitting import RandomRows
from collapse_lab.engine.ranks import share
from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.types import Budget, Checkpointing, FitRequest, Glance, Progress, Samples, Weights

PLACE = Seeds(0, 0, "model", "fit")
Grief = Literal["diverges", "fails", "is killed", "refuses"]


class Line(Resumable):
    """Fit y = x w + b to rows with noise by the mean squared error.

    Args:
        dropout: the share that is left out of x.
        grief: what happens to the last process at its third step; None where nothing does.
        pause: the seconds of a step.
    """

    divides: ClassVar[bool] = True
    resumes: ClassVar[bool] = True

    def __init__(self, dropout: float = 0.0, grief: Grief | None = None, pause: float = 0.0) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Dropout(dropout), torch.nn.Linear(3, 1)).double()
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.fill_(0.5)
        self.grief, self.pause = grief, pause

    def fit(
        self,
        data: Samples,
        budget: Budget,
        seeds: Seeds,
        progress: Progress,
        checkpoint: Checkpointing | None = None,
    ) -> None:
        self._rows, self._noise, self._budget = data.data, seeds.child("noise").torch(), budget
        with seeds.child("dropout").scoped():
            lightning.fit(self, RandomRows(len(data), budget, seeds), budget, progress, checkpoint=checkpoint)

    def streams(self) -> Mapping[str, torch.Generator]:
        return {"noise": self._noise, **global_streams("cpu")}

    def training_step(self, rows: Tensor) -> Tensor:
        time.sleep(self.pause)
        own = share(self, len(rows))
        noise = torch.randn(len(rows), generator=self._noise, dtype=torch.float64)[own]
        x = self._rows[rows[own]]
        loss: Tensor = (self.net(x)[:, 0] - x.sum(1) - 0.1 * noise).square().mean()
        if self.grief is not None and self.global_step == 2 and get_rank() == self._budget.devices - 1:
            return self.come_to(self.grief, loss)
        return loss

    def come_to(self, grief: Grief, loss: Tensor) -> Tensor:
        if grief == "fails":
            raise ValueError("of its own")
        if grief == "refuses":
            raise UserError("give another one")
        if grief == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return loss * torch.nan

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)

    def weights(self) -> Weights:
        return self.state_dict()

    def load(self, weights: Weights) -> None:
        self.load_state_dict(dict(weights))


class Told:
    """Keep what a progress is told, and act after one of the steps."""

    def __init__(self, act: Any = None, at: int = 0) -> None:
        self.total, self.glances, self._act, self._at = 0, list[Glance](), act, at

    def start(self, generation: int, model: str, phase: str, total: int) -> None: ...

    def stop(self) -> None: ...

    def advance(self, steps: int = 1) -> None:
        self.total += steps
        if self.total == self._at:
            self._act()

    def glance(self, glance: Glance) -> None:
        self.glances.append(glance)


def rows(n: int = 50) -> Samples:
    data = torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Samples(data, np.full(n, -1))


def fit(line: Any, budget: Budget, told: Told | None = None, kept: Checkpointing | None = None) -> Weights:
    """Fit a model as a run does, and return its weights."""
    Alone().fit(FitRequest(line, {}, rows(), budget, PLACE, told or Told(), kept))
    return {name: value.clone() for name, value in line.weights().items()}


def children() -> list[int]:
    """Return the processes that this one has started for fits, and that are still there."""
    listed = [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return [pid for pid in listed if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
