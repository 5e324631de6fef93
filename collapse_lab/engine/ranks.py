"""The processes that compute one fit: which one this is, its share of the rows of a step, and what all agree on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from collapse_lab.types import Budget

if TYPE_CHECKING:
    import pytorch_lightning as pl

T = TypeVar("T")
# Because the process that has started the others notices when one of them dies, none of them needs a limit of its own,
# which would end a fit whose checkpoint takes long to write
PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Ranks:
    """Say which of the processes of a fit this one is, and let them agree.

    Every process walks through the batches of all rows and draws all random numbers of a step, so that the batches are
    the same for any number of processes. Then it computes its share (`share`), and the gradients are averaged.

    Attributes:
        rank: the number of this process, the first one being 0.
        number: how many processes there are; 1 where the fit is not divided.
        group: what they agree through, on the CPU; None for one process.
    """

    rank: int = 0
    number: int = 1
    group: Any = None

    @classmethod
    def of(cls, budget: Budget) -> Ranks:
        """Return the processes that compute a fit of this budget.

        Raises:
            RuntimeError: the fit is to be divided, and nothing has started its processes.
        """
        if budget.devices == 1:
            return cls()
        if not distributed.is_initialized() or distributed.get_world_size() != budget.devices:
            raise RuntimeError(
                f"a fit over {budget.devices} processes is started by engine.executor.Alone.fit, not by a family's fit"
            )
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        return cls(distributed.get_rank(), budget.devices, group)

    @property
    def environment(self) -> LightningEnvironment:
        """Return what tells Lightning of these processes, so that it starts none and asks no job scheduler."""
        return LightningEnvironment() if self.number == 1 else _Started(self.rank)

    @property
    def strategy(self) -> str | DDPStrategy:
        """Return how Lightning computes a step."""
        return "auto" if self.number == 1 else DDPStrategy(timeout=PATIENCE)

    def part_streams(self, device: str) -> None:
        """Seed torch's global generators by this process, because its rows should have a dropout of their own.

        Args:
            device: cpu, or cuda where the fit draws on the present GPU too.
        """
        if self.rank:
            torch.default_generator.manual_seed(torch.default_generator.initial_seed() + self.rank)
            if device == "cuda":
                torch.cuda.manual_seed(torch.cuda.initial_seed() + self.rank)

    def first_says(self, wish: bool) -> bool:
        """Return what the first process wishes, in every process."""
        if self.number == 1:
            return wish
        said = torch.tensor([wish])
        distributed.broadcast(said, 0, self.group)
        return bool(said)

    def least(self, value: int) -> int:
        """Return the smallest value of all processes."""
        return min(self.gathered(value))

    def gathered(self, value: T) -> list[T]:
        """Return the values of all processes, in their order."""
        if self.number == 1:
            return [value]
        values: list[Any] = [None] * self.number
        distributed.all_gather_object(values, value, self.group)
        return values


def share(module: pl.LightningModule, rows: int) -> slice:
    """Return which rows of a step this process computes; all of them where the fit is not divided.

    Args:
        module: what is fitted.
        rows: how many rows there are; the number of processes divides them.
    """
    trainer = module._trainer
    if trainer is None or trainer.world_size == 1:
        return slice(0, rows)
    each = rows // trainer.world_size
    return slice(each * trainer.global_rank, each * (trainer.global_rank + 1))


class _Started(LightningEnvironment):
    """Be an environment whose processes on this machine are started already, with a process group that stands.

    Args:
        rank: the number of this process.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        """Return that Lightning starts no process."""
        return True

    def local_rank(self) -> int:
        """Return the number of this process."""
        return self._rank

    def node_rank(self) -> int:
        """Return the number of this machine, the only one."""
        return 0
