"""The optimisation of a fit by gradient descent: learning rate, its schedule, weight decay and moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from collapse_lab.errors import UserError
from collapse_lab.types import Budget, NonNegative, Positive, ProperShare

Decay = Literal["cosine", "cosine_epochs", "linear", "constant"]
State = Literal["reset", "kept"]
# Arguments of a family that act in warm fits alone, as `finetuning_only` of a family names them
FINETUNING_ONLY = frozenset(f"optimisation.finetune_{name}" for name in ("lr", "schedule", "warmup"))
LEAST = 1e-6  # the rate at which `cosine_epochs` would end, in the code of arXiv:2305.17493


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """Hold the settings of a fit's optimiser, and make the optimiser and the moving average from them.

    The number of steps and the batch size are not here: they belong to the budget of a fit (`trainer`).

    Args:
        lr: The learning rate after the warm-up; above 0.
        lr_schedule: How the learning rate goes on after the warm-up: to 0 along half a `cosine`, to 1e-6 along half a
            cosine that changes after each epoch alone (`cosine_epochs`, the code of arXiv:2305.17493), to 0 along a
            line (`linear`), or unchanged (`constant`).
        weight_decay: The weight decay of the optimiser; 0 or more.
        warmup: The share of the steps over which the learning rate rises linearly from 0, in [0, 1).
        ema_decay: The decay of the exponential moving average of the weights, in [0, 1). None means that the weights
            after the last step are kept. A family either has a moving average or has none, and refuses the other.
        finetune_lr: The learning rate after the warm-up in a fit that starts from an earlier generation's weights;
            above 0. None means `lr`.
        betas: The decay rates of Adam's two moving averages of the gradient, each in [0, 1). None means the family's
            own: (0.9, 0.99) of the diffusion models, (0.9, 0.999) of the others.
        finetune_schedule: How the learning rate goes on in a fit that starts from an earlier generation's weights. None
            means `lr_schedule`.
        finetune_warmup: The share of the steps of such a fit over which the learning rate rises, in [0, 1). None means
            `warmup`.
        finetune_state: The moments of AdamW with which such a fit begins: `reset` to nothing, or `kept` from the fit
            whose weights it starts from. Every fit is stored with its moments then, which take twice the room of what
            it trains. The diffusion models alone can keep them.

    Raises:
        UserError: `betas` is not two numbers.
    """

    version: ClassVar[int] = 1

    lr: Positive
    lr_schedule: Decay
    weight_decay: NonNegative
    warmup: ProperShare
    ema_decay: ProperShare | None = None
    finetune_lr: Positive | None = None
    betas: Sequence[ProperShare] | None = None
    finetune_schedule: Decay | None = None
    finetune_warmup: ProperShare | None = None
    finetune_state: State = "reset"

    def __post_init__(self) -> None:
        if self.betas is not None and len(self.betas) != 2:
            raise UserError(f"model.optimisation.betas is two numbers, such as [0.9, 0.999]; got {list(self.betas)}")

    def require_average(self, family: str) -> None:
        """Refuse settings without a moving average.

        Args:
            family: The family's name in the configuration.

        Raises:
            UserError: `ema_decay` is None.
        """
        if self.ema_decay is None:
            raise UserError(
                f"model={family} keeps a moving average of its weights, and model.optimisation.ema_decay is null; give "
                "a number in [0, 1), such as 0.995 (0 follows the weights at once)"
            )

    def refuse_average(self, family: str) -> None:
        """Refuse settings with a moving average.

        Args:
            family: The family's name in the configuration.

        Raises:
            UserError: `ema_decay` is a number.
        """
        if self.ema_decay is not None:
            raise UserError(
                f"model={family} keeps the weights after the last step and has no moving average, and "
                f"model.optimisation.ema_decay is {self.ema_decay}; give model.optimisation.ema_decay=null"
            )

    def refuse_kept(self, family: str) -> None:
        """Refuse to keep the moments of the optimiser.

        Args:
            family: The family's name in the configuration.

        Raises:
            UserError: `finetune_state` is kept.
        """
        if self.finetune_state == "kept":
            raise UserError(
                f"model={family} begins every fit without moments of its optimiser, and "
                "model.optimisation.finetune_state is kept; give model.optimisation.finetune_state=reset"
            )

    def rate(self, budget: Budget) -> float:
        """Return the learning rate of a fit after the warm-up: `finetune_lr` in a warm fit, if it is given, else `lr`.

        Args:
            budget: The budget of the fit, which says whether it is warm.
        """
        return self.finetune_lr if budget.warm and self.finetune_lr is not None else self.lr

    def schedule(self, budget: Budget) -> Decay:
        """Return how the learning rate of a fit goes on: by `finetune_schedule` in a warm fit, if it is given.

        Args:
            budget: The budget of the fit, which says whether it is warm.
        """
        return self.finetune_schedule if budget.warm and self.finetune_schedule is not None else self.lr_schedule

    def rising(self, budget: Budget) -> int:
        """Return the steps over which the learning rate rises, by `finetune_warmup` in a warm fit, if it is given.

        Args:
            budget: The budget of the fit: its number of steps, and whether it is warm.
        """
        given = self.finetune_warmup if budget.warm else None
        return round((self.warmup if given is None else given) * budget.steps)

    def betas_or(self, usual: tuple[float, float]) -> tuple[float, float]:
        """Return the decay rates of Adam's two moving averages: `betas`, or those of the family where it is None.

        Args:
            usual: The decay rates of the family.
        """
        return (self.betas[0], self.betas[1]) if self.betas is not None else usual

    def adamw(
        self, parameters: Iterable[Tensor], budget: Budget, *, betas: tuple[float, float] = (0.9, 0.999), fused: bool
    ) -> dict[str, Any]:
        """Return AdamW with the schedule of its learning rate, in the form that Lightning takes.

        Args:
            parameters: The parameters to train.
            budget: The budget of the fit: its number of steps, and whether it is warm.
            betas: The decay rates of the family, which hold where the settings have none.
            fused: Whether AdamW takes its fused step (`engine.lightning.fused`).

        Returns:
            The dictionary that `configure_optimizers` returns.
        """
        optimiser = torch.optim.AdamW(
            parameters,
            self.rate(budget),
            weight_decay=self.weight_decay,
            betas=self.betas_or(betas),
            fused=fused,
        )
        return self.scheduled(optimiser, budget)

    def scheduled(self, optimiser: torch.optim.Optimizer, budget: Budget) -> dict[str, Any]:
        """Return an optimiser with the schedule of its learning rate, in the form that Lightning takes.

        Args:
            optimiser: An optimiser whose learning rate is that of the fit (`rate`).
            budget: The budget of the fit: its number of steps, and the rows of a step and of an epoch.

        Returns:
            The dictionary that `configure_optimizers` returns.
        """
        if self.schedule(budget) == "constant" and self.rising(budget) == 0:
            return {"optimizer": optimiser}
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self.course(budget))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def course(self, budget: Budget) -> Callable[[int], float]:
        """Return what the learning rate after the warm-up is multiplied by after so many steps.

        Args:
            budget: The budget of the fit: its number of steps, and the rows of a step and of an epoch.
        """
        warmup, schedule = self.rising(budget), self.schedule(budget)
        if schedule == "cosine_epochs":
            return lambda step: self._by_epoch(step, warmup, budget)
        # Because importing diffusers takes a second, import it only where it is used
        from diffusers.optimization import get_scheduler

        name = "constant_with_warmup" if schedule == "constant" else schedule
        nothing = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
        made: Any = get_scheduler(name, nothing, num_warmup_steps=warmup, num_training_steps=budget.steps)
        course: Callable[[int], float] = made.lr_lambdas[0]
        return course

    def _by_epoch(self, step: int, warmup: int, budget: Budget) -> float:
        """Return what the rate of a fit is multiplied by after so many steps."""
        if step < warmup:
            return step / warmup
        rows = budget.rows or budget.steps * budget.batch_size
        epochs = math.ceil(budget.steps * budget.batch_size / rows)
        least = LEAST / self.rate(budget)
        return least + (1 - least) * (1 + math.cos(math.pi * (step * budget.batch_size // rows) / epochs)) / 2

    def average(self, parameters: Iterable[Tensor]) -> Any:
        """Return the exponential moving average of parameters, which starts at their present values.

        The decay of step k is 0 for k = 1, then the smaller of `ema_decay` and k / (9 + k), so that the average
        forgets the start quickly. Call `require_average` first.

        Returns:
            An `EMAModel` of diffusers.
        """
        from diffusers.training_utils import EMAModel

        assert self.ema_decay is not None
        return EMAModel(parameters, decay=self.ema_decay, foreach=True)
