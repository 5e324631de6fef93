"""Run denoising models of one architecture as one program: parameters are stacked, and calls are mapped over them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from collapse_lab.engine import lightning
from collapse_lab.engine.fitting import RandomRows
from collapse_lab.engine.glances import tell
from collapse_lab.errors import Diverged
from collapse_lab.models.diffusion import Diffusion
from collapse_lab.models.guided import GuidedDiffusion
from collapse_lab.nn.batches import given_or_usual
from collapse_lab.nn.samplers import Denoiser
from collapse_lab.nn.spans import spans
from collapse_lab.packing.everyone import Everyone
from collapse_lab.types import FitRequest, Glance, SampleRequest, Samples


class StackedModels(nn.Module):
    """Represent K models as one module, in which every parameter has K as its first axis.

    The methods of the first model are called. The parameters of the models themselves are copied and never changed.

    Args:
        members: K models of one architecture.

    Attributes:
        names: the names of the parameters, in their order.
        stacked: the parameters, each (K, *shape of the parameter in one model).
    """

    def __init__(self, members: Sequence[Diffusion]) -> None:
        super().__init__()
        stacked, _ = stack_module_state(list(members))
        self.names = list(stacked)
        # Because a list by itself makes parameters that are trained, whatever the models freeze
        self.stacked = nn.ParameterList(nn.Parameter(value, value.requires_grad) for value in stacked.values())
        self._code = (
            _Methods(members[0]),
        )  # in a tuple, because a module registers the parameters of an attribute that is a module

    def forward(self, method: str, *inputs: Tensor) -> Tensor:
        """Return what a method of every member returns, (K, …).

        Each member is called with its own parameters and its own entry of every input.

        Args:
            method: the name of a method of the family.
            inputs: each (K, …), or a tensor without axes, which is the same for all members.
        """

        def call_one(parameters: dict[str, Tensor], *own: Tensor) -> Tensor:
            output: Tensor = functional_call(self._code[0], parameters, (method, *own), tie_weights=False)
            return output

        parameters = {f"owner.{name}": value for name, value in zip(self.names, self.stacked, strict=True)}
        mapped = vmap(call_one, in_dims=(0, *(0 if tensor.ndim else None for tensor in inputs)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")
            result: Tensor = mapped(parameters, *inputs)
        return result

    def state_of(self, member: int) -> dict[str, Tensor]:
        """Return the parameters of one member by name."""
        return {name: value.detach()[member] for name, value in zip(self.names, self.stacked, strict=True)}


class PackedFit(pl.LightningModule):
    """Fit K models at once: each draws from its own random streams, and the sum of their losses is minimised.

    The loss of one model does not depend on the parameters of another, so the gradients are those of each model alone.
    AdamW and the moving average work element by element, so they act on the stacked parameters as on each model alone.
    Gradients are clipped to the norm of each member.

    Args:
        fits: the requests, which are alike (`groups.likeness`).
        models: the models of the requests, in their order.

    Attributes:
        stack: the models as one module.
        diverged: for each member, why its fit ended early; None where it did not. The other members go on.
    """

    def __init__(self, fits: Sequence[FitRequest], models: Sequence[Diffusion]) -> None:
        super().__init__()
        for fit, model in zip(fits, models, strict=True):
            model.begin(fit.data, fit.budget, fit.seeds)
        self._models, self.spec = tuple(models), models[0].spec
        self.stack = StackedModels(models)
        self._average = models[0].optimisation.average(self.stack.parameters())
        self.diverged: list[Diverged | None] = [None] * len(models)

    def on_fit_start(self) -> None:
        """Move the moving average to the device of the fit."""
        self._average.to(self.device)

    def transfer_batch_to_device(self, batch: list[Tensor], device: torch.device, dataloader_idx: int) -> list[Tensor]:
        """Return the row numbers as they are, because the rows are on the CPU."""
        return batch

    def training_step(self, rows: list[Tensor]) -> dict[str, Tensor]:
        """Return the sum of the losses as `loss`, and the loss of each member, (K,), as `losses`.

        Args:
            rows: the row numbers of each member's batch, K tensors (batch_size,).
        """
        drawn = [model.draw(own) for model, own in zip(self._models, rows, strict=True)]
        x, condition, t, noise = (torch.stack(parts).to(self.device) for parts in zip(*drawn, strict=True))
        noising, rows_of_all = self._models[0].noising, (x.flatten(0, 1), noise.flatten(0, 1), t.flatten())
        noisy = noising.add_noise(*rows_of_all).view_as(x)
        target = noising.target(*rows_of_all).view_as(x)
        predicted = self.stack("predict", noisy, t, self.stack("embed", condition))
        losses = vmap(self._models[0].norm)(predicted, target)
        return {"loss": losses.sum(), "losses": losses.detach()}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of each member to a norm, as `torch.nn.utils.clip_grad_norm_` does for one model."""
        if gradient_clip_val is None:
            return
        gradients = [parameter.grad for parameter in self.stack.stacked if parameter.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
        shrink = (gradient_clip_val / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(shrink.view(-1, *[1] * (gradient.ndim - 1)))

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Update the moving average of the weights."""
        self._average.step(self.stack.parameters())

    def configure_optimizers(self) -> Any:
        """Return the optimiser of the first model, over the stacked parameters."""
        return self._models[0].optimiser_of(self.stack.parameters(), lightning.fused(self))

    def hand_back(self) -> None:
        """Load the moving average of its weights into each model that has not diverged, and end the fit of each."""
        self._average.copy_to(self.stack.parameters())
        for number, model in enumerate(self._models):
            if self.diverged[number] is None:
                model.load(self.stack.state_of(number))
            model.end()


def fit_together(fits: Sequence[FitRequest]) -> list[Diverged | None]:
    """Fit the models of several requests as one program, and return why each fit ended early, None where it did not.

    Args:
        fits: 1 or more requests, which are alike (`groups.likeness`).

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    packed = PackedFit(fits, [_diffusion(fit) for fit in fits])
    rows = [RandomRows(len(fit.data), fit.budget, fit.seeds, fit.row_weights) for fit in fits]

    everyone = Everyone([fit.progress for fit in fits])
    try:
        lightning.fit(packed, _SideBySide(rows), fits[0].budget, everyone, lambda _: _WatchMembers(everyone, packed))
    except Diverged:  # because no member is left
        return packed.diverged
    packed.hand_back()
    return packed.diverged


@torch.no_grad()
def sample_together(requests: Sequence[SampleRequest]) -> list[Samples | Diverged]:
    """Return the samples of several requests, drawn as one program; a divergence for a member that gave none.

    Args:
        requests: 1 or more requests, which are alike (`groups.likeness`).
    """
    models = [_diffusion(request).eval() for request in requests]
    first, n = models[0], len(requests[0].conditions)
    stack, progress = StackedModels(models), Everyone([request.progress for request in requests])
    generators = [request.seeds.torch() for request in requests]
    condition = torch.stack(
        [model.condition(request.conditions)[:] for model, request in zip(models, requests, strict=True)]
    )
    noise = torch.stack([torch.randn(n, *first.spec.shape, generator=generator) for generator in generators])
    images = [
        first.sampler.run(
            _denoiser(stack, models, condition[:, span].to(first.device)),
            noise[:, span].to(first.device),
            first.noising.config,
            generators,
            lambda rows=span.stop - span.start: progress.advance(rows),  # type: ignore[misc]
        ).cpu()
        for span in spans(n, given_or_usual(first.sampling_batch, first.usual_batch))
    ]
    return [
        _published(model, own, request)
        for model, own, request in zip(models, torch.cat(images, dim=1), requests, strict=True)
    ]


def _denoiser(stack: StackedModels, models: Sequence[Diffusion], condition: Tensor) -> Denoiser:
    """Return the denoiser of all members.

    Where one member is guided, all are: guidance of scale 1 gives what no guidance gives.
    """
    scales = [model.guidance_scale if isinstance(model, GuidedDiffusion) else 1.0 for model in models]
    if all(scale == 1 for scale in scales):
        embedded = stack("embed", condition)
        return lambda x, t: stack("predict", x, t, embedded)
    both, scale = stack("embed_both", condition), torch.tensor(scales, device=condition.device)
    return lambda x, t: stack("steer", x, t, both, scale)


def _published(model: Diffusion, images: Tensor, request: SampleRequest) -> Samples | Diverged:
    try:
        return model.published(images, request.conditions)
    except Diverged as diverged:
        return diverged


def _diffusion(request: FitRequest | SampleRequest) -> Diffusion:
    assert isinstance(request.model, Diffusion)
    return request.model


class _Methods(nn.Module):
    """Call any method of a module by name, because `functional_call` calls `forward` alone."""

    def __init__(self, owner: nn.Module) -> None:
        super().__init__()
        self.owner = owner

    def forward(self, method: str, *inputs: Tensor) -> Any:
        return getattr(self.owner, method)(*inputs)


class _SideBySide:
    """Iterate over lists that hold the next batch of each fit."""

    def __init__(self, rows: Sequence[RandomRows]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows[0])

    def __iter__(self) -> Iterator[list[Tensor]]:
        return (list(batches) for batches in zip(*self._rows, strict=True))


class _WatchMembers(lightning.Watch):
    """Mark the members whose loss is not finite or out of bounds, and end the fit once no other member is left."""

    def __init__(self, progress: Everyone, packed: PackedFit) -> None:
        super().__init__(progress)
        self._members, self._diverged = progress.members, packed.diverged

    def look(self, outputs: Any, step: int) -> None:
        """Check the loss of each member at a step.

        Raises:
            Diverged: every member has diverged.
        """
        for member, loss in enumerate(outputs["losses"].tolist()):
            self._diverged[member] = self._diverged[member] or self.judge(loss, step)
        if all(self._diverged):
            raise Diverged(f"all {len(self._diverged)} members had by step {step}")

    def show(self, outputs: Any, glance: Glance) -> None:
        """Tell the progress of each member that still learns its own loss."""
        for member, loss, diverged in zip(self._members, outputs["losses"].tolist(), self._diverged, strict=True):
            if diverged is None:
                tell(member, replace(glance, loss=loss))
