"""What a fit shows of itself while it goes on: loss, learning rate, size of a step, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from collapse_lab.types import Glance, Progress

if TYPE_CHECKING:
    import pytorch_lightning as pl


def glance_at(trainer: pl.Trainer, module: pl.LightningModule, batch: Any, step: int, loss: float) -> Glance:
    """Return what is seen of a fit at a step. Of a step in parts, the loss is that of the last part.

    Args:
        trainer: the fit's.
        module: what is fitted. Where it has a `spec`, the units of a step are images or tokens, and otherwise rows.
        batch: the row numbers of a step's last part, or a list of such, one for each model of a packed fit.
        step: the number of the step, the first one being 1.
        loss: as Lightning gives it, divided by the number of parts.
    """
    rows = len(batch[0] if isinstance(batch, list) else batch) * trainer.accumulate_grad_batches
    spec = getattr(module, "spec", None)
    if spec is not None and spec.modality == "tokens":
        size, unit = rows * spec.shape[0], "tokens"
    else:
        size, unit = rows, "images" if spec is not None and spec.modality == "image" else "rows"
    memory = torch.cuda.max_memory_allocated(module.device) if module.device.type == "cuda" else None
    rate = float(trainer.optimizers[0].param_groups[0]["lr"])
    return Glance(step, loss * trainer.accumulate_grad_batches, rate, size, unit, memory)


def tell(progress: Progress, glance: Glance) -> None:
    """Show a glance to a progress that wants it."""
    show = getattr(progress, "glance", None)
    if show is not None:
        show(glance)
